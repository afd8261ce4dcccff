"""Time is an argument everywhere; the edges take it from here.

``Clock.now()`` is seconds since 1970, UTC, and never goes back: limits must neither forget nor invent budget when
somebody sets the machine's clock (a step forward is only believed as far as the monotonic clock went).
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since 1970, UTC, never less than the call before."""
        ...


class SystemClock:
    """Wall time at construction, carried on by the monotonic clock."""

    __slots__ = ("_monotonic", "_offset_s")

    def __init__(self) -> None:
        self._monotonic = time.monotonic
        self._offset_s = time.time() - time.monotonic()

    def now(self) -> float:
        return self._offset_s + self._monotonic()


class ManualClock:
    """A clock that stands still until it is told otherwise; for tests and replays."""

    __slots__ = ("_now_s",)

    def __init__(self, now_s: float = 1_700_000_000.0) -> None:
        self._now_s = now_s

    def now(self) -> float:
        return self._now_s

    def set(self, now_s: float) -> None:
        """Moves to that moment; a moment before the present one is ignored."""
        self._now_s = max(self._now_s, now_s)

    def advance(self, seconds: float) -> None:
        self.set(self._now_s + seconds)
