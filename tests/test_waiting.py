from __future__ import annotations

from guard.waiting import WaitingRoom


def test_there_is_room_for_so_many() -> None:
    """The next one finds none, until somebody leaves."""
    room = WaitingRoom(8)
    assert all(room.enter(f"a{number}") for number in range(8))
    assert not room.enter("late")
    room.leave("a3")
    assert room.enter("late")
    assert (len(room), room.refused) == (8, 1)


def test_nobody_fills_it_alone() -> None:
    """One account gets an eighth."""
    room = WaitingRoom(16)
    assert [room.enter("greedy") for _ in range(4)] == [True, True, False, False]
    assert room.enter("other")
    room.leave("greedy")
    assert room.enter("greedy")


def test_leaving_is_counted_once() -> None:
    """Who isn't there can't leave, and nothing is kept of who has left."""
    room = WaitingRoom(8)
    room.enter("a")
    for _ in range(3):
        room.leave("a")
    assert len(room) == 0
    assert all(room.enter(f"a{number}") for number in range(8))
    assert not room.enter("b")
