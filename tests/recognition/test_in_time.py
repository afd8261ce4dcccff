"""Which accounts keep a queue's clock."""

from __future__ import annotations

import numpy as np
import pytest

from guard.recognition.in_time import in_time

POOL, STRANGER = range(20), 20


def moments(dice: np.random.Generator, kind: str, count: int = 1_200) -> tuple[np.ndarray, np.ndarray]:
    """A queue's exchanges, dealt out by chance, and a stranger's among them at any time."""
    if kind == "paced":
        at = np.arange(count) * 60.0 + dice.uniform(0.0, 20.0, count)
    elif kind == "in bursts":
        at = np.sort(np.repeat(np.arange(count // 4) * 240.0, 4) + dice.uniform(0.0, 2.0, count))
    else:
        at = np.sort(dice.uniform(0.0, 60.0 * count, count))
    whose = dice.integers(len(POOL), size=count)
    extra = dice.uniform(0.0, float(at[-1]), 60)
    order = np.argsort(np.concatenate((at, extra)))
    return np.concatenate((at, extra))[order], np.concatenate((whose, np.full(60, STRANGER)))[order]


@pytest.mark.parametrize("kind", ["paced", "in bursts"])
@pytest.mark.parametrize("seed", range(3))
def test_the_queues_accounts_keep_its_clock_and_a_stranger_does_not(kind: str, seed: int) -> None:
    """Each of them by itself, for most of them a thousand to one."""
    said = in_time(*moments(np.random.default_rng(seed), kind))

    assert sum(said[number] > 6.9 for number in POOL) >= 18
    assert min(said[number] for number in POOL) > 0.0
    assert said[STRANGER] < 0.0


@pytest.mark.parametrize("seed", range(3))
def test_where_there_is_no_clock_nobody_keeps_one(seed: int) -> None:
    """A thousand to one for anybody would be a mistake."""
    said = in_time(*moments(np.random.default_rng(seed), "at any time"))

    assert max(said.values()) < 6.9
    assert sum(said.values()) < 6.9


def test_what_never_came_between_two_others_is_left_out() -> None:
    """The first and the last, one's own in a row, what came at the same moment, and what lies hours apart."""
    at = np.array([0.0, 10.0, 20.0, 20.0, 20.0, 9_000.0, 20_000.0])

    assert in_time(at, np.array([1, 2, 2, 3, 4, 5, 6])) == {}
    assert in_time(at[:2], np.array([1, 2])) == {}
    assert in_time(at[:0], np.zeros(0, np.int64)) == {}
    assert list(in_time(np.array([0.0, 10.0, 20.0]), np.array([1, 2, 3]))) == [2]
