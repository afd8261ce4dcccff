from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from guard.signals.same_tasks import PLUGIN
from tests.signals.groups_made_up import Made, degenerate, last, paced, people, queue, rng_of, sample_of

SIGNAL = PLUGIN()
SEEDS = range(4)


def nats(group: Made) -> float:
    return SIGNAL.weigh(sample_of(group)).nats


def course(rng: Any, tasks: int, students: int) -> Made:
    """Each works through all tasks in their order in an hour or two; what is his own of each is small."""
    begins = np.sort(rng.uniform(0, 4 * 3600, students))
    at = (begins[:, None] + rng.exponential(600, (students, tasks)).cumsum(1)).ravel()
    account = np.repeat(np.arange(students), tasks)
    list_of_them = rng.normal(size=(tasks, 32))
    gist = np.tile(list_of_them, (students, 1)) + 0.1 * rng.normal(size=(len(at), 32))
    order = np.argsort(at)
    group = queue(rng, at[order], students)
    return group._replace(account=account[order], gist=gist[order])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_class_asks_the_same_again(seed: int) -> None:
    """Ten tasks or twenty: after the first who did them nothing is new."""
    rng = rng_of(seed)
    assert nats(course(rng, 10, 60)) < -6
    assert nats(course(rng, 20, 60)) < -3


@pytest.mark.parametrize("seed", SEEDS)
def test_a_queue_goes_on_to_the_next(seed: int) -> None:
    """Whatever its order, and if each question is asked sixteen times by sixteen accounts: it earns nothing."""
    rng = rng_of(seed)
    group = queue(rng, paced(rng, 1_000, 3), 150)
    assert nats(group) == 0.0
    in_order = np.cumsum(rng.normal(size=group.gist.shape), axis=0)
    assert nats(queue(rng, paced(rng, 1_000, 3), 150, deal="round_robin")._replace(gist=in_order)) > -0.5
    repeated = np.repeat(rng.normal(size=(63, 32)), 16, axis=0)[:1_000]
    assert nats(group._replace(gist=repeated)) > -0.5


def test_half_of_it_repeated_earns_nothing() -> None:
    """An operator who asks every other question twice is no class."""
    rng = rng_of(1)
    group = queue(rng, paced(rng, 1_000, 3), 150)
    gist = group.gist.copy()
    gist[1::2] = gist[0]
    assert nats(group._replace(gist=gist)) > -0.5


def test_people_with_subjects_of_their_own_are_another_matter() -> None:
    """What one account asks again says nothing of others."""
    rng = rng_of(2)
    assert nats(last(people(rng, 150, 4), 800)) == pytest.approx(0.0, abs=0.2)


@pytest.mark.parametrize("kind", degenerate())
def test_little_says_little(kind: str) -> None:
    """Degenerate samples never raise, and never speak against anybody."""
    assert -8 <= SIGNAL.weigh(degenerate()[kind]).nats <= 0
