"""Traits without a row: who has shown them, in bounded memory."""

from __future__ import annotations

import json

from guard.recognition.unrowed import Unrowed


def turn(unrowed: Unrowed) -> None:
    """A day begins."""
    for _ in unrowed.turn_day():
        pass


def test_both_kinds_of_accounts_are_counted_apart() -> None:
    """Accounts without standing hit cells, those of standing are counted, and a trait that gets its row is forgotten."""
    unrowed = Unrowed(8)
    for _ in range(3):
        unrowed.show(7)
    assert unrowed.hit(7, 1 << 63) == 1 << 63
    assert unrowed.hit(7, 1) == 1 << 63 | 1
    unrowed.show(7)
    assert unrowed.take(7) == 4.0
    assert len(unrowed) == 0
    assert unrowed.hit(7, 2) == 2


def test_each_day_halves_what_accounts_of_standing_showed_and_no_cells() -> None:
    """In both generations, of however many traits; the cells stay."""
    unrowed = Unrowed(5_000)
    for value in range(9_000):
        unrowed.show(value)
        unrowed.hit(value, 4)
    turn(unrowed)
    turn(unrowed)
    assert {unrowed.hit(value, 1) for value in (0, 4_999, 5_000, 8_999)} == {5}
    assert [unrowed.take(value) for value in (0, 4_999, 5_000, 8_999)] == [0.25] * 4


def test_what_is_shown_again_and_again_outlives_a_flood() -> None:
    """A thousand traits that come once push out what came once, not what comes every thirty."""
    unrowed = Unrowed(64)
    unrowed.show(1)
    for n in range(1_000):
        unrowed.show(1_000 + n)
        if n % 30 == 0:
            unrowed.show(2)
        assert len(unrowed) <= 128
    for value in (1, 2):
        unrowed.hit(value, 1)
    assert unrowed.take(1) == 0.0
    assert unrowed.take(2) == 34.0


def test_over_a_restart_only_what_many_showed_is_kept() -> None:
    """From a hundredth of the accounts of standing on, and from one account; in both generations, and no cells."""
    unrowed = Unrowed(3)
    for value, times in ((1, 9), (2, 10), (3, 11), (4, 50)):
        for _ in range(times):
            unrowed.show(value)
    unrowed.hit(4, 2)
    kept = json.loads(json.dumps(list(unrowed.pieces(1_000.0))))
    assert sorted(row for piece in kept for row in piece) == [[2, 10.0], [3, 11.0], [4, 50.0]]
    other = Unrowed(3)
    for piece in kept:
        other.restore(piece)
    assert other.hit(4, 1) == 1
    assert other.take(4) == 50.0
    turn(unrowed)
    assert sorted(row for piece in unrowed.pieces(0.0) for row in piece)[0] == [1, 4.5]
