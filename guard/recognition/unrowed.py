"""Traits that too few accounts without standing have shown for a row among the ceilings: who has shown them so far.

What accounts of standing have long shown is not new because others begin to show it, so both kinds are counted: of those without
standing which of 64 cells they hit, of those of standing how many there were, each once a day, by half less from day to day.

Two generations of at most so many traits each, the older goes: some 110 bytes a trait. What a hundredth of the accounts of standing
show is met again, and so moves to the younger, long before that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

_CELLS = (1 << 64) - 1
_STEPS = 64
_ONE = _STEPS << 64
"""A trait's number holds its cells, and above them its accounts of standing, in 64ths."""
_SAYS = 0.01
"""What fewer than this share of the accounts of standing show is not kept over a restart: it is far from common, and allows little."""
_SLICE = 1_024


class Unrowed:
    """Counts for what has no row. ``most``: traits of one generation."""

    __slots__ = ("_most", "_new", "_old")

    def __init__(self, most: int) -> None:
        self._most = most
        self._new: dict[int, int] = {}
        self._old: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._new) + len(self._old)

    def hit(self, value: int, cell: int) -> int:
        """An account without standing shows a trait: all cells that were hit by now."""
        held = self._new[value] = self._held(value) | cell
        return held & _CELLS

    def show(self, value: int) -> None:
        """An account of standing shows it, in its first exchange of the day."""
        self._new[value] = self._held(value) + _ONE

    def take(self, value: int) -> float:
        """Forgets a trait that gets a row: how many accounts of standing have shown it."""
        return (self._new.pop(value) >> 64) / _STEPS

    def _held(self, value: int) -> int:
        held = self._new.get(value)
        if held is None:
            if len(self._new) >= self._most:
                self._old, self._new = self._new, {}
            held = self._old.pop(value, 0)
        return held

    def turn_day(self) -> Iterator[None]:
        """A new day begins. In slices of less than a millisecond."""
        for held in (self._old, self._new):
            for count, value in enumerate(list(held), 1):
                both = held.get(value, 0)
                if both > _CELLS:
                    held[value] = both >> 65 << 64 | both & _CELLS
                if count % _SLICE == 0:
                    yield

    # -- over a restart -------------------------------------------------------------------------------------------

    def pieces(self, reference: float) -> Iterator[list[list[Any]]]:
        """What accounts of standing have shown, as plain data, of about a thousand traits a piece. ``reference``: how many there are."""
        least = int(max(1.0, _SAYS * reference) * _STEPS) << 64
        for held in (self._old, self._new):
            values = list(held)
            for first in range(0, len(values), _SLICE):
                some = [(value, held.get(value, 0)) for value in values[first : first + _SLICE]]
                yield [[value, (both >> 64) / _STEPS] for value, both in some if both >= least]

    def restore(self, piece: Sequence[Sequence[Any]]) -> None:
        """Takes up one piece. Raises ``ValueError`` or ``TypeError`` for what is none."""
        for value, shown in piece:
            if not 0.0 <= shown < _CELLS:
                raise ValueError("how many accounts have shown a trait is no such number")
            self._new[value] = self._held(int(value)) & _CELLS | int(shown * _STEPS) << 64
