from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from guard.signals.standing import PLUGIN
from tests.signals.groups_made_up import BASELINE, DAY, START, degenerate, paced, queue, rng_of, sample_of

SIGNAL = PLUGIN()
GROUP = queue(rng_of(1), paced(rng_of(1), 200, 1), 40, deal="round_robin")


def nats(standing: list[float], usual: float = 0.6, age_days: float = 60.0) -> float:
    born = np.full(len(standing), START - age_days * DAY)
    sample = sample_of(GROUP, replace(BASELINE, standing=usual), standing=np.array(standing, np.float32), born=born)
    return SIGNAL.weigh(sample).nats


def test_each_account_with_standing_speaks_against_a_campaign() -> None:
    """All of them: six nats; a few of them less."""
    assert nats([1.0] * 40) == pytest.approx(-6, abs=0.1)
    assert nats([0.5] * 40) == nats([1.0] * 40)
    assert nats([1.0] * 20 + [0.0] * 20) == pytest.approx(-3, abs=0.3)


def test_having_none_says_a_little() -> None:
    """At most a nat, and nothing where nobody has any."""
    assert 0.5 < nats([0.0] * 40) <= 1.0
    assert nats([0.4] * 40) == nats([0.0] * 40)
    assert nats([0.0] * 40, usual=0.0) == 0.0


def test_that_the_new_have_none_goes_without_saying() -> None:
    """How many are young is told by a signal of its own; one newcomer with standing still speaks for all."""
    assert nats([0.0] * 40, age_days=3.0) == 0.0
    assert nats([1.0] + [0.0] * 39, age_days=3.0) < 0.0


@pytest.mark.parametrize("kind", degenerate())
def test_little_says_little(kind: str) -> None:
    """Degenerate samples never raise, and hardly weigh."""
    assert abs(SIGNAL.weigh(degenerate()[kind]).nats) <= 1
