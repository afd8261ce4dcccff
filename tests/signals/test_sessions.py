from __future__ import annotations

import pytest

from guard.signals.sessions import PLUGIN
from tests.signals.groups_made_up import (
    Made,
    degenerate,
    in_bursts,
    last,
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
def test_people_stay_for_a_while(seed: int) -> None:
    """Several questions in a row, seen within a few hundred exchanges."""
    rng = rng_of(seed)
    assert nats(last(people(rng, 150, 4), 800)) < -2.5
    assert nats(last(people(rng, 80, 3, session=4), 300)) < -2.5


@pytest.mark.parametrize("seed", SEEDS)
def test_a_queue_gives_the_next_piece_to_anyone(seed: int) -> None:
    """By any clock, also where the accounts of a pool meet themselves more often because it is replaced daily."""
    rng = rng_of(seed)
    assert 0.5 < nats(queue(rng, paced(rng, 1500, 3), 100)) < 1.2
    assert 0.5 < nats(queue(rng, in_bursts(rng, 1500, 3), 100)) < 1.2
    assert nats(queue(rng, paced(rng, 1500, 4), 60, life_days=1.0)) > 0
    assert nats(queue(rng, poisson(rng, 800, 1), 6)) > 0


def test_conversations_alone_exonerate_by_one_nat() -> None:
    """A queue of conversations stays with its account for as long as people do."""
    rng = rng_of(2)
    assert nats(queue(rng, paced(rng, 1200, 3), 150, deal="sticky")) == -1.0


def test_single_questions_say_little() -> None:
    """An extension is asked one thing at a time: no more than a nat."""
    rng = rng_of(3)
    assert nats(last(people(rng, 200, 5, session=1.0), 1000)) < 1.2


@pytest.mark.parametrize("kind", degenerate())
def test_little_says_little(kind: str) -> None:
    """Degenerate samples never raise, and hardly weigh."""
    assert abs(SIGNAL.weigh(degenerate()[kind]).nats) < 1.2
