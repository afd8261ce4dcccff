from __future__ import annotations

import numpy as np
import pytest

from guard.signals.shared_clock import PLUGIN
from tests.signals.groups_made_up import (
    HOUR,
    START,
    Made,
    course,
    cron,
    degenerate,
    in_bursts,
    last,
    made,
    office,
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
SEEDS = range(5)


def nats(group: Made) -> float:
    return SIGNAL.weigh(sample_of(group)).nats


@pytest.mark.parametrize("seed", SEEDS)
def test_one_scheduler_is_seen_whether_it_paces_or_bursts(seed: int) -> None:
    """Through any deal, by day and night or in office hours, with replaced accounts and within few hundred exchanges."""
    rng = rng_of(seed)
    assert nats(queue(rng, paced(rng, 1000, 3), 240, deal="round_robin")) > 6
    assert nats(queue(rng, paced(rng, 1000, 3), 240)) > 6
    assert nats(queue(rng, office(paced(rng, 1000, 3)), 240)) > 6
    assert nats(queue(rng, in_bursts(rng, 1000, 3), 240)) > 6
    assert nats(queue(rng, paced(rng, 1000, 3), 60, life_days=1.0)) > 6
    assert nats(queue(rng, paced(rng, 150, 0.3), 100)) > 3


@pytest.mark.parametrize("seed", SEEDS)
def test_independent_owners_have_no_common_clock(seed: int) -> None:
    """People with sessions, of one country or many, businesses, a class: each keeps his own time."""
    rng = rng_of(seed)
    for group in (
        last(people(rng, 200, 5), 1000),
        last(people(rng, 200, 5, zones=1), 1000),
        last(people(rng, 200, 5, session=6, talk=True), 1000),
        template_users(rng, 50, 2),
        course(rng, 100, 2),
    ):
        assert nats(group) < -1


@pytest.mark.parametrize("seed", range(12))
def test_few_exchanges_of_owners_seldom_look_like_one_clock(seed: int) -> None:
    """At the first looks (16 to 54 exchanges) chance stays below what convicts."""
    rng = rng_of(seed)
    for n in (16, 24, 36, 54):
        assert nats(last(people(rng, 60, 4, session=1.5), n)) < 3.5


@pytest.mark.parametrize("seed", SEEDS)
def test_timers_are_no_scheduler(seed: int) -> None:
    """Jobs at the full hour come at once by themselves, and a few at minutes of their own keep their order for ever."""
    rng = rng_of(seed)
    assert nats(cron(rng, 30, 3, True)) < 1
    for count in (4, 6, 12):
        assert nats(cron(rng, count, 4, False)) < 1
    busy = together(last(people(rng, 100, 3), 500), cron(rng, 30, 3, True))
    assert nats(busy) < 1


@pytest.mark.parametrize("seed", SEEDS)
def test_machines_that_keep_step_by_chance_hardly_count(seed: int) -> None:
    """Five metronomes of the same period keep the same distances a thousand times: that is one observation, not a thousand."""
    rng = rng_of(seed)
    step = 97.0
    at = START + rng.uniform(0, step, 5)[:, None] + step * np.arange(300)[None, :] + rng.normal(0, 0.2, (5, 300))
    assert nats(made(rng, at.ravel(), np.repeat(np.arange(5), 300))) < 6


@pytest.mark.parametrize("seed", SEEDS)
def test_a_class_that_starts_at_the_bell_is_no_scheduler(seed: int) -> None:
    """Thirty students within two minutes, once an hour: busy, but each by himself."""
    rng = rng_of(seed)
    at = START + HOUR * np.repeat(np.arange(8), 30) + 400 + rng.uniform(0, 120, 240)
    assert nats(made(rng, at, np.tile(np.arange(30), 8))) < 1


def test_times_of_whole_seconds_are_read_as_such() -> None:
    """Ties and steps of a log that rounds don't make a clock."""
    rng = rng_of(5)
    group = last(people(rng, 300, 1, a_day=20), 2000)
    assert nats(group._replace(at=np.floor(group.at))) < 1
    scheduled = queue(rng, paced(rng, 1000, 2), 200)
    assert nats(scheduled._replace(at=np.floor(scheduled.at))) > 6


def test_a_twentieth_of_a_queue_looks_independent_and_that_is_known() -> None:
    """Thinning makes any clock Poisson: so the whole of a campaign is weighed, not one wording of it alone."""
    rng = rng_of(6)
    whole = queue(rng, paced(rng, 8000, 5), 240)
    kept = rng.random(8000) < 0.05
    assert nats(Made(*(column[kept] for column in whole))) < 3


@pytest.mark.parametrize("kind", degenerate())
def test_little_says_little(kind: str) -> None:
    """Degenerate samples never raise, and hardly weigh."""
    assert abs(SIGNAL.weigh(degenerate()[kind]).nats) < 5


def test_poisson_arrivals_of_a_queue_hide_it_from_this_signal() -> None:
    """Who waits at random before each request has no clock to be seen by; the load is still even."""
    rng = rng_of(7)
    assert nats(queue(rng, poisson(rng, 1000, 3), 240)) < 1
