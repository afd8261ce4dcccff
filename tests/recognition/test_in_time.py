"""Which accounts keep a queue's clock."""

from __future__ import annotations

import numpy as np
import pytest

from guard.recognition.in_time import beside, in_time, timing

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


@pytest.mark.parametrize("seed", range(3))
def test_a_pace_is_told_from_chance_and_from_bursts(seed: int) -> None:
    """And each account's own, also of those who were not asked what the pace is."""
    at, whose = moments(np.random.default_rng(seed), "paced")
    queue = whose != STRANGER

    pace = timing(at[queue], whose[queue])

    assert pace.nats > 100.0
    assert pace.gaps > 700
    assert sum(pace.each[number] > 3.0 for number in POOL) >= 18
    half = queue & (whose < 10)
    others = beside(at[~half], whose[~half], at[half], pace.shape)
    assert others[STRANGER] < 0.0
    for kind in ("at any time", "in bursts"):
        at, whose = moments(np.random.default_rng(seed), kind)
        assert timing(at, whose).nats < 2.0, kind


def test_chance_says_a_hundred_to_one_no_more_often_than_that() -> None:
    """e to the nats has a mean of 1 for independent owners, however busy the hour is."""
    dice, loud, worth = np.random.default_rng(5), 0, []
    for _ in range(400):
        at = np.sort(np.concatenate([dice.uniform(0.0, 86_400.0, 60), dice.normal(50_000.0, 3_000.0, 60)]))
        nats = timing(at, dice.integers(20, size=120)).nats
        loud += nats > 4.6
        worth.append(np.exp(min(nats, 10.0)))
    assert loud <= 8
    assert np.mean(worth) < 2.0


def test_who_comes_by_a_clock_of_his_own_says_nothing() -> None:
    """Timers that stand in the middle between two others do so for ever; a queue that deals in strict turn does not keep its time."""
    at = np.concatenate([[hour * 3_600.0 + minute for minute in (0.0, 1_200.0, 2_400.0)] for hour in range(40)])
    timers = timing(at, np.tile([1, 2, 3], 40))
    drift = np.random.default_rng(1).uniform(0.7, 1.3, 40).cumsum() * 3_600.0
    turns = np.concatenate([drift[place] + np.array([0.0, 0.33, 0.66]) * 2_000.0 for place in range(40)])
    dealt = timing(turns, np.tile([1, 2, 3], 40))

    assert timers.gaps <= 3, "its first time a clock is none yet"
    assert dealt.gaps > 60


def test_who_knows_when_anothers_timer_comes_cannot_make_it_keep_his_pace() -> None:
    """A queue that is timed so that somebody's hourly job always lies in the middle (a victim's cheap traits)."""
    dice = np.random.default_rng(2)
    job = np.arange(60) * 3_600.0 + dice.uniform(0.0, 3.0, 60)
    around = np.sort(np.concatenate([job - 20.0, job + 20.0]))

    framed = beside(job, np.full(60, 7), around, 2.0)
    member = beside(np.sort(dice.uniform(0.0, 3_600.0, 60) + job), np.full(60, 7), around, 2.0)

    assert framed.get(7, 0.0) < 2.0
    assert 7 in member


def test_nobody_is_beside_too_little() -> None:
    """Before the first and after the last there is no pace."""
    at, numbers = np.array([5.0, 15.0, 15.5, 95.0]), np.array([7, 7, 7, 8])

    assert beside(at[:0], numbers[:0], np.array([0.0, 10.0, 20.0]), 2.0) == {}
    assert beside(at, numbers, np.array([10.0]), 2.0) == {}
    said = beside(at, numbers, np.array([0.0, 10.0, 20.0]), 2.0)
    assert list(said) == [7]
    assert said[7] == pytest.approx(2 * np.log(1.5)), "twice in the middle; what lies between the same two counts once"
