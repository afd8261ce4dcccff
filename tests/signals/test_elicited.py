from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from guard.signals.elicited import PLUGIN
from tests.signals.groups_made_up import BASELINE, degenerate, paced, queue, rng_of, sample_of

SIGNAL = PLUGIN()
GROUP = queue(rng_of(1), paced(rng_of(1), 200, 1), 40, deal="round_robin")


def nats(share: float, usual: float = 0.05, group: object = None) -> float:
    reading = (np.arange(200) // 40 < 5 * share).astype(np.float32)
    return SIGNAL.weigh(sample_of(GROUP, replace(BASELINE, reading=usual), reading=reading)).nats


def test_a_group_that_asks_for_reasoning_throughout_is_noticed() -> None:
    """As one observation: however many exchanges, no more than 2.5 to 3 nats."""
    assert 2 < nats(1.0) < 3
    assert 0 < nats(0.6) < nats(0.8) < nats(1.0)
    assert -1 < nats(0.0) < -0.5


def test_where_everybody_asks_for_it_it_says_little() -> None:
    """On a platform for mathematics."""
    assert nats(1.0, usual=0.5) < 0.5


def test_exchanges_that_were_not_read_do_not_count() -> None:
    """The first exchanges of a family are kept without their content."""
    reading = np.ones(200, np.float32)
    reading[:100] = 0
    slot = GROUP.slot.copy()
    slot[:100] = 0
    assert SIGNAL.weigh(sample_of(GROUP._replace(slot=slot), reading=reading)).nats == pytest.approx(nats(1.0))


@pytest.mark.parametrize("kind", degenerate())
def test_little_says_little(kind: str) -> None:
    """Degenerate samples never raise, and hardly weigh."""
    assert abs(SIGNAL.weigh(degenerate()[kind]).nats) <= 1
