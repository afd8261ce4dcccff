"""Which accounts keep a queue's clock."""

from __future__ import annotations

import numpy as np
import pytest

from guard.recognition.in_time import Timing, beside, in_time, off_own_clocks, timing

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


def paced(at: np.ndarray, numbers: np.ndarray) -> Timing:
    return timing(at, numbers, off_own_clocks(at, numbers))


def near(at: np.ndarray, numbers: np.ndarray, times: np.ndarray) -> dict[int, float]:
    return beside(at, numbers, off_own_clocks(at, numbers), times, 2.0)


@pytest.mark.parametrize("seed", range(3))
def test_a_pace_is_told_from_chance_and_from_bursts(seed: int) -> None:
    """And each account's own, also of those who were not asked what the pace is."""
    at, whose = moments(np.random.default_rng(seed), "paced")
    queue = whose != STRANGER

    pace = paced(at[queue], whose[queue])

    assert pace.nats > 30.0
    assert pace.gaps > 700
    assert sum(pace.each[number] > 3.0 for number in POOL) >= 18
    half = queue & (whose < 10)
    others = near(at[~half], whose[~half], at[half])
    assert others[STRANGER] < 0.0
    for kind in ("at any time", "in bursts"):
        at, whose = moments(np.random.default_rng(seed), kind)
        assert paced(at, whose).nats < 2.0, kind


def test_chance_says_a_hundred_to_one_no_more_often_than_that() -> None:
    """e to the nats has a mean of 1 for independent owners, however busy the hour is."""
    dice, loud, worth = np.random.default_rng(5), 0, []
    for _ in range(400):
        at = np.sort(np.concatenate([dice.uniform(0.0, 86_400.0, 60), dice.normal(50_000.0, 3_000.0, 60)]))
        nats = paced(at, dice.integers(20, size=120)).nats
        loud += nats > 4.6
        worth.append(np.exp(nats))
    assert loud <= 4
    assert np.mean(worth) < 2.0


def test_two_that_alternate_for_a_while_are_no_queue() -> None:
    """Two agents side by side keep their phase; their gaps count a few times only."""
    dice, loud = np.random.default_rng(6), 0
    for _ in range(100):
        pairs = []
        for pair in range(8):
            begin = 10_000.0 * pair
            for number in (2 * pair, 2 * pair + 1):
                steps = begin + dice.uniform(0.0, 90.0) + np.cumsum(dice.normal(90.0, 25.0, 60).clip(5.0))
                pairs += [(at, number) for at in steps.tolist()]
        pairs.sort()
        loud += paced(np.array([at for at, _ in pairs]), np.array([number for _, number in pairs])).nats > 4.6
    assert loud <= 10


def test_who_comes_by_a_clock_of_his_own_says_nothing() -> None:
    """Timers that stand in the middle between two others do so for ever; a queue that deals in strict turn does not keep its time."""
    at = np.concatenate([[hour * 3_600.0 + minute for minute in (0.0, 1_200.0, 2_400.0)] for hour in range(40)])
    timers = paced(at, np.tile([1, 2, 3], 40))
    drift = np.exp(np.random.default_rng(1).normal(0.0, 0.4, 40)).cumsum() * 3_600.0
    turns = np.concatenate([drift[place] + np.array([0.0, 0.33, 0.66]) * 1_000.0 for place in range(40)])
    dealt = paced(turns, np.tile([1, 2, 3], 40))

    assert timers.gaps <= 3, "its first time a clock is none yet"
    assert dealt.gaps > 60


@pytest.mark.parametrize("jitter_s", [3.0, 30.0, 60.0])
def test_who_knows_when_anothers_timer_comes_cannot_make_it_keep_his_pace(jitter_s: float) -> None:
    """A queue that is timed so that somebody's job always lies in the middle (a victim's cheap traits)."""
    dice = np.random.default_rng(2)
    job = np.arange(400) * 600.0 + 300.0 + dice.uniform(-jitter_s, jitter_s, 400)
    around = np.sort(np.concatenate([np.arange(400) * 600.0 + 100.0, np.arange(400) * 600.0 + 500.0]))

    framed = near(job, np.full(400, 7), around)
    free = near(np.sort(dice.uniform(0.0, 240_000.0, 400)), np.full(400, 7), around)

    assert framed.get(7, 0.0) < 2.0
    assert free[7] < 0.0, "looked at, and not in time"


def test_nobody_is_beside_too_little() -> None:
    """Before the first and after the last there is no pace."""
    at, numbers = np.array([5.0, 15.0, 15.5, 95.0]), np.array([7, 7, 7, 8])

    assert near(at[:0], numbers[:0], np.array([0.0, 10.0, 20.0])) == {}
    assert near(at, numbers, np.array([10.0])) == {}
    said = near(at, numbers, np.array([0.0, 10.0, 20.0]))
    assert list(said) == [7]
    assert said[7] == pytest.approx(2 * np.log(1.5)), "twice in the middle; what lies between the same two counts once"
    assert paced(at[:1], numbers[:1]).gaps == paced(at[:0], numbers[:0]).gaps == 0
