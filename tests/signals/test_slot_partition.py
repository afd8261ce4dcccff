from __future__ import annotations

import numpy as np
import pytest

from guard.signals.slot_partition import PLUGIN
from tests.signals.groups_made_up import (
    DAY,
    START,
    Made,
    course,
    degenerate,
    harness,
    last,
    made,
    paced,
    people,
    queue,
    rng_of,
    sample_of,
)

SIGNAL = PLUGIN()
SEEDS = range(4)


def nats(group: Made) -> float:
    return SIGNAL.weigh(sample_of(group)).nats


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_homework_exonerates(seed: int) -> None:
    """A class from early on, one exercise of it, a benchmark that some owners run."""
    rng = rng_of(seed)
    assert nats(course(rng, 120, 3)) < -5
    assert nats(Made(*(column[:100] for column in course(rng, 60, 1)))) < -3
    assert nats(made(rng, paced(rng, 80, 1), np.arange(80), slot=np.where(rng.random(80) < 0.95, 7, 8))) < -5
    assert nats(harness(rng, 8)) < -5
    assert nats(last(harness(rng, 20), 1500)) < -5


@pytest.mark.parametrize("seed", SEEDS)
def test_questions_that_never_come_again_say_nothing(seed: int) -> None:
    """Neither a queue's nor people's; nor do the few that any queue asks again."""
    rng = rng_of(seed)
    whole = queue(rng, paced(rng, 1000, 3), 200)
    assert nats(whole) == 0
    again = whole.slot.copy()
    again[rng.random(1000) < 0.05] = again[0]
    assert nats(whole._replace(slot=again)) == 0
    assert nats(last(people(rng, 200, 4), 800)) == 0


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("samples_each", [2, 4, 8])
def test_several_samples_of_each_question_convict(seed: int, samples_each: int) -> None:
    """Each question equally often, over accounts that see few of them: no class looks like that."""
    rng = rng_of(seed)
    slot = np.repeat(np.arange(1, 1200 // samples_each + 1), samples_each)
    group = queue(rng, paced(rng, len(slot), 3), 240)
    assert nats(group._replace(slot=slot.astype(np.uint64))) > 50


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("each", [(2, 3, 4), (3, 4, 5)])
def test_so_do_unequal_numbers_if_chance_would_spread_them_more(seed: int, each: tuple[int, ...]) -> None:
    """Whoever wants preference pairs takes two to four answers of each question."""
    rng = rng_of(seed)
    slot = np.repeat(np.arange(1, 301), rng.choice(each, 300))
    group = queue(rng, paced(rng, len(slot), 3), 240)
    assert nats(group._replace(slot=slot.astype(np.uint64))) > 6


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("liked", [0.5, 1.0, 2.0, 4.0])
@pytest.mark.parametrize("alike", [0.3, 1.0, 100.0])
def test_what_everybody_chooses_is_spread_as_chance_would_have_it(seed: int, liked: float, alike: float) -> None:
    """Pupils of one book: some exercises are liked more than others, or all the same."""
    rng = rng_of(seed)
    slot = rng.permutation(np.repeat(np.arange(1, 501), rng.poisson(rng.gamma(alike, liked / alike, 500))))
    group = queue(rng, paced(rng, len(slot), 3), 240)
    assert nats(group._replace(slot=slot.astype(np.uint64))) <= 0.5


@pytest.mark.parametrize("seed", SEEDS)
def test_half_of_those_who_are_told_what_to_ask_say_nothing(seed: int) -> None:
    """Three peers read each essay, and half of them ask a model about it."""
    rng = rng_of(seed)
    slot = np.repeat(np.arange(1, 501), rng.binomial(3, 0.5, 500))
    group = queue(rng, paced(rng, len(slot), 3), 240)
    assert nats(group._replace(slot=slot.astype(np.uint64))) <= 0.5


@pytest.mark.parametrize("seed", SEEDS)
def test_unequal_numbers_of_samples_exonerate_nobody(seed: int) -> None:
    """Many questions, each asked by a few of many accounts, are no class either."""
    rng = rng_of(seed)
    slot = rng.permutation(np.repeat(np.arange(1, 401), rng.geometric(1 / 3, 400)))
    group = queue(rng, paced(rng, len(slot), 3), 240)
    assert nats(group._replace(slot=slot.astype(np.uint64))) > -1


@pytest.mark.parametrize("seed", SEEDS)
def test_one_trivial_question_buys_little(seed: int) -> None:
    """Two fifths of "hello" between the real questions don't make a class."""
    rng = rng_of(seed)
    group = queue(rng, paced(rng, 1000, 3), 200)
    assert nats(group._replace(slot=np.where(rng.random(1000) < 0.4, 5, group.slot).astype(np.uint64))) > -2


def test_follow_ups_are_no_repeats() -> None:
    """A "thanks" in the fifth message is the same for everybody and means nothing."""
    rng = rng_of(1)
    group = queue(rng, paced(rng, 900, 3), 150, deal="sticky")
    slot = np.where(group.turns > 2, 9, group.slot).astype(np.uint64)
    assert nats(group._replace(slot=slot)) == 0


def test_the_same_check_every_day_exonerates_a_little() -> None:
    """A monitor asks its own question again and again."""
    at = START + np.tile(np.arange(10), 12) * DAY / 2 + np.repeat(np.arange(12), 10)
    who = np.repeat(np.arange(12), 10)
    group = made(rng_of(2), at, who, slot=who + 1)
    assert -3 < nats(group) < -1


@pytest.mark.parametrize("kind", [kind for kind in degenerate() if kind != "always the same"])
def test_little_says_nothing(kind: str) -> None:
    """Degenerate samples never raise, and don't weigh."""
    assert SIGNAL.weigh(degenerate()[kind]).nats == 0


def test_one_question_by_everybody_exonerates() -> None:
    """Where all ask the same there is nothing to extract."""
    assert SIGNAL.weigh(degenerate()["always the same"]).nats < -5
