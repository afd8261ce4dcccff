from __future__ import annotations

import numpy as np
import pytest

from guard.samples import Sample
from guard.signals.even_load import PLUGIN
from tests.signals.groups_made_up import (
    Made,
    degenerate,
    in_bursts,
    last,
    made,
    paced,
    people,
    poisson,
    queue,
    rng_of,
    sample_of,
    template_users,
    together,
)

SIGNAL = PLUGIN()
SEEDS = range(4)


def nats(group: Made) -> float:
    return SIGNAL.weigh(sample_of(group)).nats


@pytest.mark.parametrize("seed", SEEDS)
def test_a_pool_that_is_dealt_work_carries_even_loads(seed: int) -> None:
    """In turn or at random with unequal shares, by any clock, in conversations, with few accounts or many."""
    rng = rng_of(seed)
    assert nats(queue(rng, paced(rng, 1200, 3), 200, deal="round_robin")) > 20
    assert nats(queue(rng, poisson(rng, 1200, 3), 200)) > 10
    assert nats(queue(rng, in_bursts(rng, 1200, 3), 200)) > 10
    assert nats(queue(rng, paced(rng, 4000, 3), 150, deal="sticky")) > 5
    assert nats(queue(rng, paced(rng, 400, 1), 8, deal="round_robin")) > 3


@pytest.mark.parametrize("seed", SEEDS)
def test_a_pool_that_is_replaced_daily_still_carries_even_loads(seed: int) -> None:
    """Accounts that were there for a day only count by their day."""
    rng = rng_of(seed)
    assert nats(queue(rng, paced(rng, 1200, 4), 60, life_days=1.0)) > 10


@pytest.mark.parametrize("seed", SEEDS)
def test_owners_differ(seed: int) -> None:
    """People with and without sessions, and businesses, use the same thing very unequally."""
    rng = rng_of(seed)
    assert nats(last(people(rng, 250, 5), 1200)) < -10
    assert nats(last(people(rng, 250, 5, spread=1.3, session=1.0), 1200)) < -10
    assert nats(template_users(rng, 60, 2)) < 1
    assert nats(last(people(rng, 60, 2), 120)) < 0


def test_few_exchanges_say_little() -> None:
    """Where hardly anybody asked twice, neither side is told from the other."""
    rng = rng_of(1)
    assert abs(nats(queue(rng, paced(rng, 60, 1), 400))) < 1
    assert abs(nats(last(people(rng, 500, 3, session=1.0), 40))) < 1.5


def test_a_few_stolen_accounts_change_little() -> None:
    """A tenth of strangers with loads of their own don't hide a pool."""
    rng = rng_of(3)
    pool = queue(rng, paced(rng, 1000, 3), 150)
    strangers = last(people(rng, 15, 3), 80)
    assert nats(together(pool, strangers)) > 5


@pytest.mark.parametrize("kind", degenerate())
def test_little_says_little(kind: str) -> None:
    """Degenerate samples never raise, and hardly weigh (one in which all accounts take turns is even, whatever else)."""
    sample: Sample = degenerate()[kind]
    assert abs(SIGNAL.weigh(sample).nats) < 8


@pytest.mark.parametrize("seed", SEEDS)
def test_a_crowd_that_comes_once_is_no_pool(seed: int) -> None:
    """A launch: thousands come within an hour, ask two or three things, as everybody does, and are gone."""
    rng = rng_of(seed)
    begins = np.sort(rng.beta(2, 3, 800)) * 3600.0
    visits = [begin + np.append(0.0, rng.lognormal(6.2, 1.0, rng.geometric(0.45) - 1)).cumsum() for begin in begins]
    at = np.concatenate(visits)
    account = np.repeat(np.arange(len(visits)), [len(visit) for visit in visits])
    order = np.argsort(at)
    crowd = made(rng, at[order], account[order])
    for many in (60, 200, 700, len(at)):
        assert nats(Made(*(column[:many] for column in crowd))) < 1.0


@pytest.mark.parametrize("seed", SEEDS)
def test_who_comes_back_hours_later_is_no_visitor(seed: int) -> None:
    """A large pool gets hardly two exchanges out of an account, but they lie as far apart as chance puts them."""
    rng = rng_of(seed)
    pool = queue(rng, paced(rng, 400, 1), 260)
    assert nats(pool) > 2.0
    # The same loads, all in one hour: that may be a crowd.
    assert nats(pool._replace(at=pool.at[0] + (pool.at - pool.at[0]) / 24.0)) < 1.0
