"""Families: a third account makes one, one account never does, and there is a bound on all of it."""

from __future__ import annotations

import random
import tracemalloc

from guard.recognition.families import LEAD_S, MARK, Families, Family
from guard.recognition.groups import Group

NOW = 1_790_000_000.0


def spread(n: int) -> int:
    """The nth trait: as a keyed hash would, they differ all over."""
    return (n + 1) * 0x9E37_79B9_7F4A_7C15 % 2**64


def meet(families: Families, value: int, number: int, now: float) -> Family | None:
    """The family of the one trait that is shown; None: there is none yet."""
    return next(iter(families.meet((value,), number, now)), None)


def test_the_third_account_makes_a_family() -> None:
    """Two have none; the third has, and it is the same for all that follow."""
    families = Families(100)
    assert meet(families, 5, 1, NOW) is None
    assert meet(families, 5, 2, NOW) is None
    family = meet(families, 5, 3, NOW + 1)
    assert family is not None
    assert (family.value, family.first_at, len(families)) == (5, NOW + 1, 1)
    assert meet(families, 5, 4, NOW + 2) is family is families.find(5)


def test_one_account_alone_makes_none() -> None:
    """However often it repeats itself."""
    families = Families(100)
    assert [meet(families, 5, 1, NOW + n) for n in range(1_000)] == [None] * 1_000
    assert families.find(5) is None


def test_two_accounts_alone_make_none() -> None:
    """Nor do two in turn."""
    families = Families(100)
    assert [meet(families, 5, 1 + n % 2, NOW + n) for n in range(100)] == [None] * 100


def test_random_traits_cost_nothing() -> None:
    """SECURITY 74, 115: a hundred thousand traits, each shown once by an account of its own, leave no family and no memory."""
    families = Families(200_000)
    dice = random.Random(1)
    values = [dice.getrandbits(64) for _ in range(100_000)]
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number, value in enumerate(values):
            meet(families, value, number, NOW)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(families) == 0
    assert after - before < 100_000


def test_what_comes_again_and_again_outlives_a_flood_in_the_gate() -> None:
    """A campaign's trait becomes a family although four of five cells of the gate are overwritten meanwhile."""
    families = Families(200_000)
    dice = random.Random(2)
    met = 0
    for number in range(12):
        for _ in range(20_000):
            meet(families, dice.getrandbits(64), dice.getrandbits(30), NOW)
        met += meet(families, 77, number, NOW) is not None

    assert met >= 6


def test_there_are_never_more_than_there_is_room_for_and_the_idlest_goes() -> None:
    """Those with a group stay, whatever comes; of the others the ones seen last are there in the end."""
    families = Families(200)
    kept = []
    for n in range(10_000, 10_010):
        for number in range(3):
            family = meet(families, spread(n), number, NOW)
        assert family is not None
        family.group = Group([])
        kept.append(family)
    later = [spread(n) for n in range(5_000)]
    for n, value in enumerate(later):
        for number in range(3):
            found = meet(families, value, number, NOW + n)
        assert found is not None
        assert len(families) <= 200

    assert [families.find(family.value) for family in kept] == kept
    assert all(families.find(value) is not None for value in later[-100:])


def test_a_family_without_a_group_stays_small() -> None:
    """At most a kilobyte, measured."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        held = [Family(value, NOW + value) for value in range(1_000)]
        for family in held:
            for n in range(24):
                family.numbers.append(n)
                family.times.append(NOW + n)
                family.slots.append(n)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (after - before) / 1_000 <= 1_024


def test_who_led_by_a_day_is_remembered() -> None:
    """Of the first two that showed a trait a family knows the marks, where they came a day before the third."""
    families = Families(100)
    for value, lead_s in ((5, LEAD_S + 43_200.0), (6, LEAD_S / 4)):
        meet(families, value, 1, NOW)
        meet(families, value, 2, NOW)
        family = meet(families, value, MARK + 4, NOW + lead_s)
        assert family is not None
        assert list(family.firsts) == ([1, 2] if lead_s > LEAD_S else [])
