"""Work beside the requests, in slices, and no more of it than a share of a core.

A slice ends after ``slice_s`` of work at the first place where the work lets go; then everybody who waits gets a turn. When a
round took more than its share of its period, the next one comes so much later that the share is kept. That is counted, and the
period in force can be read: who lags behind says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter

SLICE_S = 0.001
"""The work itself lets go about every millisecond, so that no slice takes more than two."""


class Pace:
    """The pace of one kind of work. ``period_s``: how often a round may begin at most; ``share``: of one core."""

    def __init__(self, period_s: float, share: float, *, timer: Callable[[], float] = perf_counter) -> None:
        self.period_s = period_s
        """How far apart rounds are now."""
        self.busy_s = 0.0
        """Time spent working, in all."""
        self.longest_slice_s = 0.0
        self.lengthened = 0
        """How many rounds were followed by a longer pause than the usual."""
        self._usual_s = period_s
        self._share = share
        self._timer = timer
        self.next_at = 0.0
        """When the next round may begin."""

    @property
    def lags(self) -> bool:
        """Whether rounds are further apart than they should be."""
        return self.period_s > self._usual_s

    def due(self, now: float) -> bool:
        """Whether a round may begin."""
        return now >= self.next_at

    def no_sooner(self, at: float) -> None:
        """The next round does not begin before that."""
        self.next_at = max(self.next_at, at)

    def round(self, work: Iterator[None], now: float) -> Iterator[None]:
        """One round of ``work``, to its end: yields between slices. One that is given up counts as far as it came."""
        timer, before_s = self._timer, self.busy_s
        began = timer()
        working = True
        try:
            for _ in work:
                if timer() - began >= SLICE_S:
                    self._book(timer() - began)
                    working = False
                    yield
                    working = True
                    began = timer()
        finally:
            if working:
                self._book(timer() - began)
            self.period_s = max(self._usual_s, (self.busy_s - before_s) / self._share)
            self.lengthened += self.lags
            self.next_at = now + self.period_s

    def _book(self, slice_s: float) -> None:
        self.busy_s += slice_s
        self.longest_slice_s = max(self.longest_slice_s, slice_s)
