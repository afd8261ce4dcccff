from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from guard.signals.young_accounts import PLUGIN
from tests.signals.groups_made_up import BASELINE, DAY, START, degenerate, paced, queue, rng_of, sample_of

SIGNAL = PLUGIN()


def nats(ages_days: list[float], usual: float = 0.25, since_days: float = 60, **fields: Any) -> float:
    accounts = len(ages_days)
    group = queue(rng_of(1), paced(rng_of(1), 5 * accounts, 1), accounts, deal="round_robin")
    baseline = replace(BASELINE, young=usual, since=START + DAY - since_days * DAY)
    return SIGNAL.weigh(sample_of(group, baseline, born=START + DAY - np.array(ages_days) * DAY, **fields)).nats


def test_a_pool_made_for_the_purpose_is_young() -> None:
    """All of them a few days old, also where they are few."""
    assert nats([3.0] * 40) > 3
    assert nats([3.0] * 6) > 1.5


def test_a_group_like_all_others_says_little() -> None:
    """A quarter or two fifths young, where a quarter is usual."""
    assert nats([3.0] * 10 + [20.0] * 30) < 0
    assert nats([3.0] * 16 + [20.0] * 24) < 0.5


def test_where_most_are_young_it_says_little() -> None:
    """A deployment that opened last week has young accounts only."""
    assert nats([3.0] * 40, usual=0.95) < 1


def test_verified_accounts_are_not_young() -> None:
    """Somebody has looked at who owns them."""
    assert nats([3.0] * 40, verified=np.ones(40, np.int8)) < 0


def test_first_sight_is_no_age_in_the_first_weeks() -> None:
    """Where the operator states none, guard must have looked for a while itself."""
    undated = {"dated": np.zeros(40, np.bool_)}
    assert nats([3.0] * 40, since_days=5, **undated) == 0
    assert nats([3.0] * 40, since_days=60, **undated) > 3


@pytest.mark.parametrize("kind", degenerate())
def test_little_never_raises(kind: str) -> None:
    """Degenerate samples (of young accounts) never raise."""
    assert np.isfinite(SIGNAL.weigh(degenerate()[kind]).nats)
