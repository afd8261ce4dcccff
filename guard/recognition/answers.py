"""Who received which answer: a conversation up to and including an answer → the account it was given to. No content.

A table of 2²¹ places in buckets of four (40 MiB when full, none of it touched before it is needed): keyed hash, account, second,
conversation. A bucket that is full loses its oldest; nothing is held beyond ``KEPT_S``. An answer that two accounts have received
("Hello! How can I help?") or that two have gone on from (a transcript that somebody has published) is *public*, and from then on
tells nothing of anybody.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

MOST = 1 << 21
KEPT_S = 7 * 86_400
PUBLIC = 2
"""So many accounts that went on from an answer of somebody else's make it public."""
_BUCKET = 4
_SECONDS = (1 << 28) - 1
_GOERS = 15
_CHUNK = 16_384
_LOW = (1 << 32) - 1


class Received(NamedTuple):
    """Who received an answer, how long ago, in which conversation, and how many others went on from it before."""

    place: int
    number: int
    ago_s: int
    talk: int
    goers: int


class Answers:
    """At most ``MOST`` (a power of two). Times are whole seconds of the caller's clock."""

    __slots__ = ("_cells", "_keys", "_mask", "_talks", "_values")

    def __init__(self, most: int = MOST) -> None:
        self._mask = most - 1
        # Zero pages of the system's, and plain numbers out of them: an array of numpy itself would make an object of each.
        self._cells = (np.zeros(most, np.uint64), np.zeros(most, np.uint64), np.zeros(most, np.uint32))
        self._keys, self._values, self._talks = (memoryview(cells) for cells in self._cells)  # type: ignore[arg-type]

    def give(self, key: int, number: int, talk: int, now: float) -> None:
        """The account ``number`` received an answer, in the conversation ``talk`` (32 bits; 0: it begins with this answer)."""
        keys, values = self._keys, self._values
        second = int(now) & _SECONDS
        first = key & self._mask & -_BUCKET
        oldest, most_s = first, -1
        for place in range(first, first + _BUCKET):
            held = keys[place]
            if held == key:
                value = values[place]
                goers = value & _GOERS
                if value >> 32 != number:
                    number, goers = value >> 32, _GOERS
                values[place] = number << 32 | second << 4 | goers
                return
            ago_s = second - (values[place] >> 4) & _SECONDS if held else _SECONDS + 1
            if ago_s > most_s:
                oldest, most_s = place, ago_s
        keys[oldest] = key
        values[oldest] = number << 32 | second << 4
        self._talks[oldest] = talk & _LOW or key & _LOW or 1

    def find(self, key: int, now: float) -> Received | None:
        """Who received the answer with which a conversation goes on; None: nobody that is known, or it is public."""
        keys = self._keys
        first = key & self._mask & -_BUCKET
        for place in range(first, first + _BUCKET):
            if keys[place] == key:
                value = self._values[place]
                goers = value & _GOERS
                ago_s = int(now) - (value >> 4) & _SECONDS
                if goers == _GOERS or ago_s > KEPT_S:
                    return None
                return Received(place, value >> 32, ago_s, self._talks[place], goers)
        return None

    def gone_on(self, found: Received) -> bool:
        """Another account goes on from it; False: so many have that it is public."""
        if found.goers >= PUBLIC:
            self._values[found.place] |= _GOERS
            return False
        self._values[found.place] += 1
        return True

    def renumber(self, found: Received, number: int) -> None:
        """Whoever received it bears another number now."""
        self._values[found.place] = number << 32 | self._values[found.place] & _LOW

    def clear(self) -> None:
        """Forgets everything."""
        keys = self._cells[0]
        keys[np.flatnonzero(keys)] = 0  # what was never written stays the system's

    def went_on(self, key: int, goers: int) -> None:
        """So many have gone on from an answer, here or elsewhere."""
        first = key & self._mask & -_BUCKET
        for place in range(first, first + _BUCKET):
            if self._keys[place] == key:
                value = self._values[place]
                self._values[place] = value & ~_GOERS | max(value & _GOERS, min(goers, _GOERS))

    def forget(self, number: int) -> None:
        """Erases what an account has received. About 5 ms."""
        keys, values, _ = self._cells
        keys[(values >> np.uint64(32)) == number] = 0

    # -- over a restart -------------------------------------------------------------------------------------------

    def pieces(self) -> Iterator[list[Any]]:
        """What is held, as plain data, in pieces of about a millisecond: [first place, places in it, keys, values, talks]."""
        for first in range(0, self._mask + 1, _CHUNK):
            keys = self._cells[0][first : first + _CHUNK]
            held = np.flatnonzero(keys)
            if len(held):
                columns = [b64encode(cells[first : first + _CHUNK][held].tobytes()).decode() for cells in self._cells]
                yield [first, b64encode(held.astype(np.uint32).tobytes()).decode(), *columns]

    def restore(self, piece: Sequence[Any]) -> None:
        """Takes up one piece. Raises ``ValueError`` or ``TypeError`` for what is none."""
        first, *packed = piece
        places, *columns = [
            np.frombuffer(b64decode(one), kind)
            for one, kind in zip(packed, (np.uint32, np.uint64, np.uint64, np.uint32), strict=True)
        ]
        places = places.astype(np.int64) + int(first)
        if len(places) and not 0 <= int(places.min()) <= int(places.max()) <= self._mask:
            raise ValueError("answers of another table")
        for cells, column in zip(self._cells, columns, strict=True):
            cells[places] = column  # type: ignore[index]
