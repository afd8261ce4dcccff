"""The bounded memory of what was used lately."""

from __future__ import annotations

import random

from guard.recent import Keys, Recent


def test_it_never_holds_more_than_its_bound() -> None:
    """A hundred thousand new keys leave at most ``most`` entries."""
    recent: Recent[int, int] = Recent(100)
    for number in range(100_000):
        recent.put(number, number)
        assert number < 1000 or len(recent._new) + len(recent._old) <= 100

    assert len(recent) <= 100
    assert recent.get(99_999) == 99_999
    assert recent.get(0) is None


def test_what_is_used_stays() -> None:
    """A key that is read between floods of new ones is not forgotten; one that isn't, is."""
    recent: Recent[int, str] = Recent(100)
    recent.put(-1, "used")
    recent.put(-2, "idle")
    for number in range(10_000):
        recent.put(number, "new")
        if number % 40 == 0:
            assert recent.get(-1) == "used"

    assert -1 in recent
    assert -2 not in recent


def test_a_dropped_key_is_gone_and_listed_once_before() -> None:
    """A key that stands in both halves is one entry, and dropping it drops both."""
    recent: Recent[str, int] = Recent(4)
    for key in "abc":
        recent.put(key, 1)
    recent.get("a")

    assert sorted(recent) == ["a", "b", "c"]
    recent.drop("a")
    assert recent.get("a") is None
    assert len(recent) == 2


def test_what_is_used_is_found_after_any_number_of_turns() -> None:
    """Against a plain dictionary: what is there has its last value, and what was used within half the bound is there."""
    recent: Recent[int, int] = Recent(20)
    known: dict[int, int] = {}
    lately: list[int] = []
    dice = random.Random(1)
    for step in range(20_000):
        key = dice.randrange(60)
        if dice.random() < 0.5:
            recent.put(key, step)
            known[key] = step
        else:
            value = recent.get(key)
            assert value == known.get(key) if value is not None else key not in lately
        if recent.get(key) is not None:
            lately = [*lately, key][-9:]


def test_keys_are_held_once_however_often_they_are_asked_for() -> None:
    """Another text that reads the same finds the one that is held, before and after there is no room any more."""
    keys = Keys(10)
    first = "".join(["k", "ey"])
    keys.add(first)
    for number in range(100):
        asked = "".join(["ke", "y"])
        assert asked is not first
        assert keys.get(asked) is first
        keys.add(asked)
        keys.add(str(number))

    assert [one for one in keys if one == "key"] == ["key"]
    assert all(one is first for one in keys if one == "key")
    assert len(keys) == len(list(keys)) == 10
    assert keys.get("0") is None


def test_as_many_keys_as_there_is_room_for_are_held() -> None:
    """Gone through round and round; half the room would not do."""
    keys = Keys(100)
    for _ in range(3):
        for number in range(100):
            keys.add(str(number))
            assert keys.get(str(number)) == str(number)

    assert len(keys) == 100
    assert all(str(number) in keys for number in range(100))


def test_a_flood_of_keys_in_use_costs_bounded_work() -> None:
    """Where all were used since they were looked at last, one goes all the same."""
    keys = Keys(1_000)
    for number in range(5_000):
        keys.add(str(number))
        for other in list(keys)[:: 100 if number % 100 else 1]:
            keys.get(other)

    assert len(keys) == 1_000
    assert "4999" in keys


def test_a_dropped_key_leaves_its_place() -> None:
    """For another, and nothing happens where it is not there."""
    keys = Keys(2)
    for key in "ab":
        keys.add(key)
    keys.drop("a")
    keys.drop("a")
    keys.add("c")

    assert list(keys) == ["b", "c"]
    assert "a" not in keys
