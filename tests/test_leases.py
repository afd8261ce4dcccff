"""Leases end when their exchange ends or when their time is over, and leave nothing behind."""

from __future__ import annotations

import random
import sys

from guard.leases import Leases

T0 = 1_000.0
SLOT = ("free", "concurrent", "0", "a")


def test_what_is_kept_follows_what_is_under_way_and_not_how_many_there_have_been() -> None:
    """Two hundred thousand leases of a quarter of an hour within a minute, three under way at a time."""
    leases, under_way = Leases(), []
    for number in range(200_000):
        now = T0 + number * 0.0003
        leases.expire(now)
        under_way.append(leases.open(now + 900.0, now, [SLOT], []))
        if len(under_way) > 3:
            assert leases.close(under_way.pop(0))

    assert len(leases.under_way) == 3
    assert leases.in_use == {SLOT: 3}
    assert sum(sys.getsizeof(getattr(leases, name)) for name in ("_sorted", "under_way", "in_use")) < 10_000


def test_a_lost_lease_ends_exactly_when_its_time_is_over() -> None:
    """Whatever order they end in; whoever asks a moment before finds the slot in use."""
    leases, chance = Leases(), random.Random(4)
    ends = [T0 + chance.randrange(1, 500) for _ in range(300)]
    numbers = [leases.open(end, T0, [SLOT], []) for end in ends]
    for number in numbers[::3]:
        leases.close(number)
    lost = [end for place, end in enumerate(ends) if place % 3]
    for half_seconds in range(1_002):
        now = T0 + half_seconds / 2
        if now >= leases.next_end:
            leases.expire(now)
        assert leases.in_use.get(SLOT, 0) == sum(end > now for end in lost)

    assert not leases.under_way


def test_a_lease_that_is_held_lives_on_and_is_never_shortened() -> None:
    leases = Leases()
    held = leases.open(T0 + 10.0, T0, [SLOT], [])
    leases.open(T0 + 20.0, T0, [SLOT], [])
    leases.hold(held, T0 + 30.0)
    leases.hold(held, T0 + 5.0)

    for now, in_use in ((T0 + 10.0, 2), (T0 + 20.0, 1), (T0 + 29.9, 1), (T0 + 30.0, 0)):
        if now >= leases.next_end:
            leases.expire(now)
        assert leases.in_use.get(SLOT, 0) == in_use


def test_a_lease_without_slots_ends_too() -> None:
    leases = Leases()
    number = leases.open(T0 + 10.0, T0, [], [])
    assert leases.next_end == T0 + 10.0
    leases.expire(T0 + 10.0)

    assert leases.close(number) is None


def test_a_lease_is_closed_once() -> None:
    leases = Leases()
    number = leases.open(T0 + 10.0, T0, [SLOT], ["booked"])

    assert leases.close(number) == (T0 + 10.0, T0, [SLOT], ["booked"])
    assert leases.close(number) is None
    assert leases.in_use == {}


def test_the_next_end_is_the_earliest_of_all() -> None:
    """Of those that are sorted and of those that came since, whichever ends first: whoever waits for it misses none."""
    leases = Leases()
    for end in (10.0, 100.0):
        leases.open(T0 + end, T0, [SLOT], [])
    leases.expire(T0 + 10.0)
    leases.open(T0 + 200.0, T0, [SLOT], [])
    assert leases.next_end == T0 + 100.0

    leases.open(T0 + 50.0, T0, [SLOT], [])
    leases.expire(T0 + 20.0)
    assert leases.next_end == T0 + 50.0
