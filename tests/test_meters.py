"""The arithmetic of one meter. What a trail is for is tested against an exact log in ``stores/test_memory.py``."""

from __future__ import annotations

from math import inf, nan

import pytest

from guard.meters import FOREVER_S, drained, enter, leave, lower, wait_s


@pytest.mark.parametrize(
    ("level", "cost", "capacity", "rate", "wait"),
    [
        (5.0, 1.0, 5.0, 0.5, 2.0),
        (4.0, 1.0, 5.0, 0.5, 0.0),
        (3.0, 9.0, 5.0, 0.5, 6.0),
        (5.0, 1.0, 5.0, 0.0, FOREVER_S),
        (0.0, 1.0, 0.0, 1.0, FOREVER_S),
        (0.0, inf, 5.0, 1.0, FOREVER_S),
        (0.0, nan, 5.0, 1.0, FOREVER_S),
        (5.0, 1.0, 5.0, 1e-30, FOREVER_S),
    ],
)
def test_the_wait_is_what_has_to_drain(level: float, cost: float, capacity: float, rate: float, wait: float) -> None:
    assert wait_s(level, cost, capacity, rate) == pytest.approx(wait, abs=1e-5)


def test_a_meter_drains_to_nothing_and_not_beyond() -> None:
    assert [drained(5.0, 100.0, 1.0, now) for now in (0.0, 100.0, 103.0, 105.0, 1e9)] == [5.0, 5.0, 2.0, 0.0, 0.0]


def test_no_more_comes_back_than_was_always_there() -> None:
    """100 booked at 0, drained to 30, 70 more booked: of an excess of 90 only 30 comes back, and then nothing more."""
    trail: list[float] = []
    enter(trail, 0.0, 100.0, 0.0)
    enter(trail, 30.0, 100.0, 7.0)

    assert leave(trail, 100.0, 90.0, 0.0) == 30.0
    assert leave(trail, 70.0, 70.0, 7.0) == 70.0
    assert trail == []


def test_what_one_gets_back_is_not_there_for_another() -> None:
    """Two of 100 at once, drained to 120 together: the first gets 90 back, and for the second 30 are left."""
    trail: list[float] = []
    enter(trail, 0.0, 100.0, 0.0)
    enter(trail, 100.0, 200.0, 0.0)

    assert leave(trail, 120.0, 90.0, 0.0) == 90.0
    assert leave(trail, 30.0, 90.0, 0.0) == 30.0


def test_an_estimate_from_before_the_meter_stood_empty_gets_nothing_back() -> None:
    trail: list[float] = []
    enter(trail, 0.0, 100.0, 50.0)

    assert leave(trail, 100.0, 90.0, 20.0) == 0.0


def test_a_trail_stays_short_and_its_lows_rise() -> None:
    """Ten thousand estimates, none settled: under a hundred triples, in order of time and of low."""
    trail: list[float] = []
    level = 0.0
    for second in range(10_000):
        before = max(0.0, level - 3.0)
        level = before + 5.0
        enter(trail, before, level, float(second))
    lower(trail, level - 10.0)

    assert len(trail) <= 3 * 97
    assert trail[0::3] == sorted(trail[0::3])
    assert trail[1::3] == sorted(trail[1::3])
    assert sum(trail[2::3]) == 10_000
