from __future__ import annotations

import random

import orjson
import pytest

from guard.recognition.answers import KEPT_S, Answers

NOW = 1_790_000_000.0


def test_who_received_an_answer_is_known_for_a_week() -> None:
    """The account, the conversation, and since when; then it is forgotten."""
    answers = Answers(1 << 10)
    answers.give(77, 5, 9, NOW)
    found = answers.find(77, NOW + 60)
    assert found is not None
    assert (found.number, found.talk, found.ago_s, found.goers) == (5, 9, 60, 0)
    assert answers.find(78, NOW) is None
    assert answers.find(77, NOW + KEPT_S + 1) is None


def test_an_answer_that_two_have_received_is_nobodys() -> None:
    """ "Hello! How can I help?" is given to everybody."""
    answers = Answers(1 << 10)
    answers.give(77, 5, 0, NOW)
    answers.give(77, 5, 0, NOW + 1)
    assert answers.find(77, NOW + 1) is not None
    answers.give(77, 6, 0, NOW + 2)
    assert answers.find(77, NOW + 3) is None


def test_an_answer_that_two_others_went_on_from_is_public() -> None:
    """A conversation that moves, moves once from each answer; a published one is gone on from by many."""
    answers = Answers(1 << 10)
    answers.give(77, 5, 0, NOW)
    gone = []
    while (found := answers.find(77, NOW)) is not None:
        gone.append(answers.gone_on(found))
    assert gone == [True, True, False]


def test_a_full_table_forgets_the_oldest_of_a_few() -> None:
    """It is bounded, and what came last is there."""
    answers, chance = Answers(1 << 10), random.Random(1)
    keys = [chance.getrandbits(64) for _ in range(5_000)]
    for second, key in enumerate(keys):
        answers.give(key, 1, 0, NOW + second)
    there = [answers.find(key, NOW + 5_000) is not None for key in keys]
    assert sum(there) <= 1 << 10
    assert sum(there[-200:]) > 190
    assert sum(there[:2_000]) < 100


def test_it_is_erased_and_comes_back_over_a_restart() -> None:
    """An erased account's are gone, the others' are read back as they were."""
    answers, chance = Answers(1 << 12), random.Random(2)
    keys = [chance.getrandbits(64) for _ in range(500)]
    for number, key in enumerate(keys):
        answers.give(key, number % 5, number, NOW)
    answers.forget(3)
    fresh = Answers(1 << 12)
    for piece in orjson.loads(orjson.dumps(list(answers.pieces()))):
        fresh.restore(piece)
    assert [fresh.find(key, NOW) for key in keys] == [answers.find(key, NOW) for key in keys]
    assert all((answers.find(key, NOW) is None) == (n % 5 == 3) for n, key in enumerate(keys))


@pytest.mark.parametrize("piece", [[0, "AAAA", "", "", ""], [1 << 20, "AAAAAA==", "", "", ""], [0], "abc"])
def test_what_is_no_piece_is_refused(piece: object) -> None:
    """Nothing is taken up of another table, or of something else."""
    with pytest.raises((ValueError, TypeError, IndexError)):
        Answers(1 << 10).restore(piece)  # type: ignore[arg-type]
