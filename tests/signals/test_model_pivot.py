from __future__ import annotations

import numpy as np
import pytest

from guard.signals.model_pivot import PLUGIN
from tests.signals.groups_made_up import DAY, START, degenerate, paced, queue, rng_of, sample_of

SIGNAL = PLUGIN()
GROUP = queue(rng_of(1), paced(rng_of(1), 900, 3), 60)


def nats(moved_at_day: float, share: float) -> float:
    """From that day on, that share of the exchanges asks for another model."""
    late = GROUP.at > START + moved_at_day * DAY
    moved = late & (rng_of(2).random(900) < share)
    return SIGNAL.weigh(sample_of(GROUP, model=np.where(moved, 2, 1).astype(np.uint32))).nats


def test_a_group_that_moves_together_is_noticed() -> None:
    """Half of its traffic, with nearly all accounts, within a day."""
    assert nats(2.1, 0.5) > 1.5
    assert nats(2.1, 1.0) > 1.5


def test_a_few_that_try_something_else_are_not() -> None:
    """Nor a group that had moved before, or never does."""
    assert nats(2.1, 0.1) == 0
    assert nats(1.0, 0.5) == 0
    assert nats(9.0, 1.0) == 0


def test_one_account_that_moves_is_not_the_group() -> None:
    """Half of the traffic may be one busy owner's."""
    account = np.where(np.arange(900) % 2 == 0, 0, 1 + GROUP.account % 40)
    model = np.where((account == 0) & (GROUP.at > START + 2.1 * DAY), 2, 1).astype(np.uint32)
    assert SIGNAL.weigh(sample_of(GROUP._replace(account=account), model=model)).nats < 0


@pytest.mark.parametrize("kind", degenerate())
def test_little_says_nothing(kind: str) -> None:
    """Degenerate samples never raise, and don't weigh."""
    assert SIGNAL.weigh(degenerate()[kind]).nats == 0
