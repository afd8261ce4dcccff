"""What each account has taken today, and whether it has been seen: three bytes an account, by its number.

Accounts are numbered one after the other, so that a table with a place for each of ``max_accounts`` gives none to two of them.
"""

from __future__ import annotations

import zlib
from array import array
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from typing import Any

_CHUNK = 16_384
_MOST = 65_535


class Today:
    """Begins anew each day."""

    __slots__ = ("_mask", "_met", "_taken")

    def __init__(self, max_accounts: int) -> None:
        self._mask = (1 << max(10, (max_accounts - 1).bit_length())) - 1
        self.begin()

    def begin(self) -> None:
        """Nobody has been seen."""
        self._taken = array("H", bytes(2 * (self._mask + 1)))
        self._met = bytearray(self._mask + 1)

    def rank(self, number: int) -> int:
        """The so many-th exchange of this account today its next one will be."""
        return self._taken[number & self._mask] + 1

    def take(self, number: int) -> None:
        """It has taken one."""
        place = number & self._mask
        if self._taken[place] < _MOST:
            self._taken[place] += 1

    def put(self, number: int, taken: int) -> None:
        """It has taken so many."""
        self._taken[number & self._mask] = min(taken, _MOST)

    def meet(self, number: int) -> bool:
        """Whether this is the first time today that it is seen."""
        place = number & self._mask
        if self._met[place]:
            return False
        self._met[place] = 1
        return True

    def forget(self, number: int) -> None:
        """It has taken nothing and was not seen."""
        place = number & self._mask
        self._taken[place] = self._met[place] = 0

    def pieces(self) -> Iterator[list[Any]]:
        """Everything as plain data, in pieces of about a millisecond."""
        for first in range(0, self._mask + 1, _CHUNK):
            met = self._met[first : first + _CHUNK]
            if any(met):
                taken = self._taken[first : first + _CHUNK].tobytes()
                yield [self._mask, first, _packed(taken), _packed(met)]

    def restore(self, piece: Sequence[Any]) -> None:
        """Takes up one piece; one of a table of another size is left out. Raises ``ValueError`` or ``TypeError`` for what
        is none."""
        mask, first, taken, met = piece
        if mask == self._mask:
            size = min(_CHUNK, mask + 1)
            self._taken[first : first + size] = array("H", _unpacked(taken, 2 * size))
            self._met[first : first + size] = _unpacked(met, size)


def _packed(data: bytes | bytearray) -> str:
    return b64encode(zlib.compress(data, 1)).decode()


def _unpacked(text: str, size: int) -> bytes:
    try:
        data = zlib.decompressobj().decompress(b64decode(text, validate=True), size + 1)
    except zlib.error as error:
        raise ValueError("what accounts have taken today can't be unpacked") from error
    if len(data) != size:
        raise ValueError("what accounts have taken today is of another size")
    return data
