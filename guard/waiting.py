"""Who may be kept waiting at once: a delayed request holds a connection and its body, so there is room for so many and no more.

One account gets at most an eighth of the room, so that nobody can fill it alone. Whoever finds no room is limited (429), not let
through undelayed: else a flood would switch the delay off for everybody whom the rule means.
"""

from __future__ import annotations

from collections.abc import Callable

MOST_WAITING = 1_024
_SHARES = 8


class WaitingRoom:
    """Counts who waits; ``most`` in all."""

    __slots__ = ("_count", "_most", "_most_of_one", "_waiting", "refused")

    def __init__(self, most: int = MOST_WAITING) -> None:
        self._most = most
        self._most_of_one = max(1, most // _SHARES)
        self._waiting: dict[str, int] = {}
        self._count = 0
        self.refused = 0
        """How many found no room, in all."""

    def __len__(self) -> int:
        return self._count

    def enter(self, account: str) -> bool:
        """Takes a place; False: there is none for that account."""
        mine = self._waiting.get(account, 0)
        if mine >= self._most_of_one or self._count >= self._most:
            self.refused += 1
            return False
        self._waiting[account] = mine + 1
        self._count += 1
        return True

    def show(self, watch: Callable[[str, Callable[[], float]], None]) -> None:
        """Tells ``watch`` where its numbers are read."""
        watch("waiting", lambda: float(self._count))
        watch("waiting_refused_total", lambda: float(self.refused))

    def leave(self, account: str) -> None:
        """Gives a place back."""
        mine = self._waiting.get(account, 0)
        if not mine:
            return
        self._count -= 1
        if mine > 1:
            self._waiting[account] = mine - 1
        else:
            del self._waiting[account]
