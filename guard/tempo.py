"""At most so many tokens a second: when the next bytes of an answer may go out. Time is an argument; nobody waits here.

A token is what it is everywhere in guard: a quarter of the UTF-8 bytes of the text that the dialect finds. Of a whole JSON answer
its own report counts, where it makes one. Bytes that bring more than ``SLICE_S`` worth of tokens are cut, so that no wait is
longer than that: a client's read timeout never runs out, and one that leaves is noticed at once.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import orjson

from guard.contracts import Dialect
from guard.sse import Splitter
from guard.types import Tally

SLICE_S: Final = 0.25
"""Also what may be made up for after a wait that took longer than it should."""
_BYTES_A_TOKEN: Final = 4


class Tempo:
    """The tempo of one answer. The first bytes go at once."""

    __slots__ = ("_due_at", "_rate")

    def __init__(self, tokens_per_s: float) -> None:
        self._rate = tokens_per_s
        self._due_at: float | None = None

    def slices(self, body: bytes, tokens: float) -> list[tuple[bytes, float]]:
        """``body`` in pieces that bring as many tokens each, at most ``SLICE_S`` worth."""
        count = min(len(body), max(1, -int(-tokens // (self._rate * SLICE_S))))
        if count <= 1:
            return [(body, tokens)]
        edges = [len(body) * number // count for number in range(count + 1)]
        pieces = [body[start:end] for start, end in pairwise(edges)]
        return [(piece, tokens * len(piece) / len(body)) for piece in pieces]

    def wait_s(self, tokens: float, now: float) -> float:
        """How long bytes that bring ``tokens`` have to wait from now on; books them."""
        due_at = now if self._due_at is None else max(self._due_at, now - SLICE_S)
        self._due_at = due_at + tokens / self._rate
        return max(0.0, due_at - now) if tokens else 0.0


class Scale:
    """How many tokens bytes bring. ``kind``: an event stream (``sse``), whole answers (``json``), or just ``bytes``."""

    __slots__ = ("_dialect", "_json", "_splitter", "_tally")

    def __init__(self, dialect: Dialect, kind: str) -> None:
        self._dialect = dialect
        self._splitter = Splitter() if kind == "sse" else None
        self._json = kind == "json"
        self._tally = Tally()

    def weigh(self, body: bytes) -> float:
        """The tokens of a chunk of a stream (those of the events that it ends), or of a whole answer."""
        if self._splitter is None:
            return self._whole(body)
        before = self._tally.text_bytes
        skipped = self._splitter.skipped_bytes
        for payload in self._splitter.feed(body):
            self._count(payload)
        text_bytes = self._tally.text_bytes - before + self._splitter.skipped_bytes - skipped
        return text_bytes / _BYTES_A_TOKEN

    def _whole(self, body: bytes) -> float:
        if not self._json or not self._count(body):
            return len(body) / _BYTES_A_TOKEN
        counted = self._tally.text_bytes / _BYTES_A_TOKEN
        reported = self._tally.output_tokens
        return float(reported) if 0 < reported <= 2 * counted else counted

    def _count(self, payload: bytes) -> bool:
        try:
            value = orjson.loads(payload)
        except orjson.JSONDecodeError:
            return False
        if type(value) is dict:
            self._dialect.count(value, self._tally)
        return type(value) is dict
