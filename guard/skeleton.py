"""Counts a stream's events by what differs between them, so that most need no JSON parser.

The events of a streamed answer are one skeleton with another piece of text in it:

    {"id":"c-1","choices":[{"delta":{"content":"Hel"}}]}
    {"id":"c-1","choices":[{"delta":{"content":"lo"}}]}
     └───────── head ──────────────────────────┘  └─ tail ─┘

Two events that a parser has counted give head and tail (what they share) and how much their count exceeds what lies between.
From then on an event with that head and tail, and no quote and no backslash between them, is the same JSON with another
string there: the head ends within a string (it has an odd number of quotes and no backslash), so nothing between can end
it. Its count is known exactly. Any other event goes to the parser, which teaches a new skeleton.
"""

from __future__ import annotations


class Skeleton:
    """The skeleton of one stream. ``head`` is empty until there is one; ``stream.py`` compares events with it."""

    __slots__ = ("_bytes", "_characters", "_last", "fixed_bytes", "fixed_characters", "head", "tail")

    def __init__(self) -> None:
        self.head = b""
        self.tail = b""
        self.fixed_bytes = 0
        """What an event counts beyond the bytes between head and tail; likewise for characters."""
        self.fixed_characters = 0
        self._last = b""
        self._bytes = 0
        self._characters = 0

    def learn(self, event: bytes, text_bytes: int, characters: int) -> None:
        """Takes note of an event that the parser has counted."""
        last, self._last = self._last, event
        before, self._bytes = self._bytes, text_bytes
        before_characters, self._characters = self._characters, characters
        if not (last and text_bytes and before) or last == event:
            return
        start = _shared(last, event)
        end = _shared(last[start:][::-1], event[start:][::-1])
        head, tail = event[:start], event[len(event) - end :]
        piece, other = event[start : len(event) - end], last[start : len(last) - end]
        if b"\\" in head or head.count(b'"') % 2 == 0 or b'"' in piece + other or b"\\" in piece + other:
            return
        fixed = text_bytes - len(piece)
        fixed_characters = characters - length(piece)
        if fixed >= 0 and (fixed, fixed_characters) == (before - len(other), before_characters - length(other)):
            self.head, self.tail, self.fixed_bytes, self.fixed_characters = head, tail, fixed, fixed_characters

    def around(self) -> tuple[bytes, bytes] | None:
        """What of the string between head and tail stands in these already; None: it ends in an escape."""
        after = self.tail[: self.tail.find(b'"')]
        return None if b"\\" in after else (self.head[self.head.rfind(b'"') + 1 :], after)


def _shared(one: bytes, other: bytes) -> int:
    """The length of the longest common beginning."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def length(piece: bytes) -> int:
    """How many characters a piece of text has."""
    return len(piece) if piece.isascii() else len(piece.decode("utf-8", "replace"))
