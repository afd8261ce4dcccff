"""Work beside the requests keeps its share of a core and lets go often."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from guard.pacing import SLICE_S, Pace


class Timer:
    """A timer that moves when the work says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, *pieces_s: float) -> Iterator[None]:
        for piece_s in pieces_s:
            self.now += piece_s
            yield


@pytest.fixture
def timer() -> Timer:
    return Timer()


def test_small_pieces_make_one_slice(timer: Timer) -> None:
    """Ten pieces of a quarter of a millisecond: requests get a turn after every fourth."""
    pace = Pace(0.25, 0.1, timer=timer)
    assert sum(1 for _ in pace.round(timer.work(*[SLICE_S / 4] * 10), 100.0)) == 2
    assert pace.longest_slice_s == pytest.approx(SLICE_S)
    assert pace.busy_s == pytest.approx(10 * SLICE_S / 4)


def test_time_that_others_take_between_slices_is_not_the_works(timer: Timer) -> None:
    pace = Pace(0.25, 0.1, timer=timer)
    for _ in pace.round(timer.work(0.001, 0.001, 0.001), 100.0):
        timer.now += 5.0
    assert pace.busy_s == pytest.approx(0.003)
    assert not pace.lags


def test_too_much_work_puts_the_next_round_off_and_says_so(timer: Timer) -> None:
    """Fifty milliseconds at a tenth of a core: the next round comes after half a second. A quick round ends that."""
    pace = Pace(0.25, 0.1, timer=timer)
    list(pace.round(timer.work(*[0.001] * 50), 100.0))
    assert pace.lags
    assert pace.period_s == pytest.approx(0.5)
    assert not pace.due(100.4)
    assert pace.due(100.51)
    list(pace.round(timer.work(0.001), 101.0))
    assert not pace.lags
    assert pace.lengthened == 1
    assert pace.due(101.25)


def test_a_round_that_is_given_up_counts_as_far_as_it_came(timer: Timer) -> None:
    pace = Pace(0.25, 0.1, timer=timer)
    work = pace.round(timer.work(*[0.01] * 10), 100.0)
    next(work)
    next(work)
    work.close()
    assert pace.busy_s == pytest.approx(0.02)


def test_no_round_before_that(timer: Timer) -> None:
    pace = Pace(10.0, 0.02, timer=timer)
    pace.no_sooner(130.0)
    assert not pace.due(129.0)
    assert pace.due(130.0)
