"""Full collections of garbage: how long they take is noted, and a server of guard's own keeps what lives on out of them."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from guard.collecting import LONG_S, WARNS_S, Collecting


class Time:
    """Seconds, set by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def collecting() -> Iterator[tuple[Collecting, Time]]:
    """Of a process that collects as before when the test is over."""
    time = Time()
    one = Collecting(time)
    yield one, time
    one.leave()
    gc.unfreeze()


def took(one: Collecting, time: Time, seconds: float, generation: int = 2) -> None:
    """What a collection of that length tells."""
    one._told("start", {"generation": generation})
    time.now += seconds
    one._told("stop", {"generation": generation, "collected": 0, "uncollectable": 0})


def test_a_long_pause_is_warned_of_for_an_hour(collecting: tuple[Collecting, Time]) -> None:
    """The longest counts, young generations don't, and what was long ago is over."""
    one, time = collecting
    took(one, time, WARNS_S + 0.1, generation=1)
    assert one.warnings() == []
    took(one, time, WARNS_S + 0.013)
    took(one, time, LONG_S)
    assert len(one.warnings()) == 1
    assert "63 ms" in one.warnings()[0]
    time.now += 3_601.0
    assert (one.longest_s(), one.warnings()) == (0.0, [])
    took(one, time, LONG_S)
    assert one.longest_s() == pytest.approx(LONG_S)


def test_watching_changes_nothing_and_ends(collecting: tuple[Collecting, Time]) -> None:
    """In somebody's app what is collected, and when, stays the app's."""
    one, time = collecting
    before = (gc.get_freeze_count(), gc.get_threshold(), gc.isenabled(), len(gc.callbacks))
    one.watch()
    one.watch()
    time.now += 1.0
    gc.collect()
    took(one, time, 1.0)
    assert one.spared == 0
    one.leave()
    one.leave()
    assert before == (gc.get_freeze_count(), gc.get_threshold(), gc.isenabled(), len(gc.callbacks))


def test_what_a_long_collection_went_through_is_spared_the_next_one(collecting: tuple[Collecting, Time]) -> None:
    """At once what there is, later what has grown; a short collection is worth nothing, and there is nothing to warn of."""
    one, time = collecting
    one.spare()
    frozen = gc.get_freeze_count()
    assert (one.spared, frozen > 10_000) == (1, True)
    grown = [[number] for number in range(50_000)]
    took(one, time, LONG_S / 2)
    assert (one.spared, gc.get_freeze_count()) == (1, frozen)
    took(one, time, 1.0)
    assert one.spared == 2
    assert gc.get_freeze_count() >= frozen + len(grown)
    assert one.warnings() == []


def test_collections_themselves_are_timed(collecting: tuple[Collecting, Time]) -> None:
    """Python tells of each; the moment it takes is noted."""
    real = Collecting()
    real.watch()
    try:
        gc.collect()
        assert 0.0 < real.longest_s() < 60.0
    finally:
        real.leave()
