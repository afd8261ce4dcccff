"""The demo's time: an hour passes in about a second, for its guard and its clients alike.

Recognition looks at hours and days of traffic; nobody watches a demo that long. Nothing else is different: thresholds, weights
and the work done for each exchange are those of any other guard.
"""

from __future__ import annotations

import asyncio
import time

HOUR_S = 3600.0


class Hours:
    """A clock for guard (``guard.clock.Clock``) that runs ahead. ``hour_s``: how many real seconds an hour takes;
    ``begin``: seconds since 1970 when it starts."""

    def __init__(self, begin: float, hour_s: float = 1.0) -> None:
        self.hour_s = hour_s
        self._begin = begin
        self._began_s = time.monotonic()

    def restart(self) -> None:
        """Hour 0 is now. Only before anything is decided: a clock never goes back."""
        self._begin, self._began_s = self.now(), time.monotonic()

    def now(self) -> float:
        """Seconds since 1970, as guard is told."""
        return self._begin + self.passed() * HOUR_S

    def passed(self) -> float:
        """Hours since it began."""
        return (time.monotonic() - self._began_s) / self.hour_s

    async def sleep(self, hours: float) -> None:
        """Waits so many of its hours."""
        await asyncio.sleep(max(0.0, hours) * self.hour_s)
