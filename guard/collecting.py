"""How long full collections of garbage stand this process still, and a way to keep them short.

What a guard knows of accounts lives as long as the process and holds no cycles, yet each full collection goes through all of it. How
a process collects its garbage is not a library's to change: in somebody's app guard only watches, and warns. `guard serve` is a
process of guard's own, and keeps out of collections what they have gone through at length (``spare``).
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from time import perf_counter
from typing import Any

_FULL = 2
LONG_S = 0.010
"""What a collection that took longer has gone through is kept out of the next ones."""
WARNS_S = 0.050
_LATELY_S = 3600.0


class Collecting:
    """``clock``: seconds that pass evenly. Everything here is the whole process's."""

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self._spares = False
        self._begun = self._at = float("-inf")
        self._took_s = 0.0
        self.spared = 0
        """How often what there was has been kept out of the collections after it."""

    def watch(self) -> None:
        """From now on notes how long full collections take."""
        if self._told not in gc.callbacks:
            gc.callbacks.append(self._told)

    def leave(self) -> None:
        """Watches no more."""
        if self._told in gc.callbacks:
            gc.callbacks.remove(self._told)

    def spare(self) -> None:
        """Keeps all that there is now out of collections, and later what a long one has gone through. Only what is part of a cycle at
        such a moment and ends later is never freed: a few requests that run just then."""
        self._spares = True
        gc.collect()
        self._keep_out()
        self.watch()

    def longest_s(self) -> float:
        """The longest full collection of the last hour, in seconds."""
        return self._took_s if self._clock() - self._at <= _LATELY_S else 0.0

    def warnings(self) -> list[str]:
        """What is to be told of it, where nothing is done about it here."""
        longest_s = self.longest_s()
        if self._spares or longest_s < WARNS_S:
            return []
        return [
            f"collecting garbage stood this process still for {longest_s * 1000:.0f} ms within the last hour: call gc.freeze() when "
            "the app has started, so that what lives as long as the process is left out (`guard serve` does so by itself)"
        ]

    def _told(self, phase: str, about: dict[str, Any]) -> None:
        if about["generation"] != _FULL:
            return
        if phase == "start":
            self._begun = self._clock()
            return
        now = self._clock()
        took_s = now - self._begun
        if took_s >= self.longest_s():
            self._took_s, self._at = took_s, now
        if self._spares and took_s > LONG_S:
            self._keep_out()

    def _keep_out(self) -> None:
        gc.freeze()
        self.spared += 1
