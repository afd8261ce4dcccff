from __future__ import annotations

import pytest

from guard.signals.private_rhythm import PLUGIN
from tests.signals.groups_made_up import (
    Made,
    cron,
    degenerate,
    last,
    office,
    paced,
    people,
    poisson,
    queue,
    rng_of,
    sample_of,
)

SIGNAL = PLUGIN()
SEEDS = range(4)


def nats(group: Made) -> float:
    return SIGNAL.weigh(sample_of(group)).nats


@pytest.mark.parametrize("seed", SEEDS)
def test_people_come_back_at_their_hours(seed: int) -> None:
    """In all time zones, with sessions or without."""
    rng = rng_of(seed)
    assert nats(people(rng, 100, 5)) < -2.5
    assert nats(people(rng, 100, 5, session=1.0)) < -2.5


@pytest.mark.parametrize("seed", SEEDS)
def test_a_queue_that_runs_round_the_clock_has_none(seed: int) -> None:
    """At random; also where accounts live for a day or two. In strict turn it is at least no proof of owners."""
    rng = rng_of(seed)
    assert nats(queue(rng, paced(rng, 1500, 4), 150, deal="round_robin")) > -1
    assert nats(queue(rng, paced(rng, 1500, 4), 240, deal="round_robin")) > -1
    assert nats(queue(rng, poisson(rng, 1500, 4), 150)) > 1.5
    assert nats(queue(rng, paced(rng, 1500, 4), 60, life_days=2.0)) > 0.5
    assert nats(queue(rng, paced(rng, 1500, 4), 60, life_days=1.0)) > -0.5


@pytest.mark.parametrize("seed", SEEDS)
def test_one_phase_for_all_weighs_little(seed: int) -> None:
    """A queue in office hours looks like the users of one country, and those are many and honest."""
    rng = rng_of(seed)
    assert -0.5 < nats(queue(rng, office(paced(rng, 1500, 4)), 150)) < 1
    assert nats(people(rng, 100, 5, zones=1)) < 1


def test_timers_are_not_held_against_anybody() -> None:
    """Programs that run every hour have no hours of their own, but a minute."""
    assert nats(cron(rng_of(1), 20, 3, False)) <= 0
    assert nats(cron(rng_of(1), 20, 3, True)) <= 0


def test_its_absence_is_bounded() -> None:
    """One honest group in twelve has no rhythm: 2.5 nats at most."""
    rng = rng_of(2)
    assert nats(queue(rng, poisson(rng, 2000, 6), 50)) < 2.6


def test_a_short_sample_says_nothing() -> None:
    """Within a day nobody has come back yet."""
    rng = rng_of(3)
    assert nats(queue(rng, paced(rng, 1000, 1.1), 100)) == 0
    assert nats(last(people(rng, 300, 1.0), 800)) == 0


@pytest.mark.parametrize("kind", degenerate())
def test_little_says_little(kind: str) -> None:
    """Degenerate samples never raise, and hardly weigh."""
    assert abs(SIGNAL.weigh(degenerate()[kind]).nats) < 2.6
