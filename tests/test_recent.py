"""The bounded memory of what was used lately."""

from __future__ import annotations

import random

from guard.recent import Recent


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
