"""What was seen of one kind of traffic at one endpoint, and quantiles that don't forget who was never answered."""

from __future__ import annotations

from array import array
from collections import Counter, deque
from collections.abc import Sequence
from math import ceil, inf

_RECENT = 256


def quantile(sorted_s: Sequence[float], q: float, lost: int = 0) -> float:
    """The nearest-rank quantile of what took so long (ascending) and ``lost`` more that took for ever: ``inf`` where the rank
    is one of those; 0.0 where there is nothing at all."""
    rank = max(1, ceil(q * (len(sorted_s) + lost)))
    if rank <= len(sorted_s):
        return sorted_s[rank - 1]
    return inf if lost else 0.0


class Cell:
    """Counts and times of one kind of traffic at one endpoint. Seconds since the intended arrival.

    ``took_s``: whole answers with a status of 2xx; ``first_s``: their first byte, streams only; ``refused_s``: all other
    statuses. ``failed`` counts what was asked and not answered, by its name; ``dropped`` what was not even asked, since too
    much was in flight. offered = answered + failed + dropped + open.
    """

    __slots__ = ("answered", "dropped", "failed", "first_s", "offered", "recent_s", "refused_s", "statuses", "took_s")

    def __init__(self) -> None:
        self.offered = 0
        self.answered = 0
        self.dropped = 0
        self.statuses: Counter[int] = Counter()
        self.failed: Counter[str] = Counter()
        self.took_s: array[float] = array("d")
        self.first_s: array[float] = array("d")
        self.refused_s: array[float] = array("d")
        self.recent_s: deque[float] = deque(maxlen=_RECENT)

    @property
    def lost(self) -> int:
        """Offered, and never answered."""
        return self.dropped + self.failed.total()

    @property
    def open(self) -> int:
        """In flight at this moment; after the run, what it was broken off with."""
        return self.offered - self.answered - self.lost

    def answer(self, status: int, took_s: float, first_s: float, *, stream: bool) -> None:
        """Counts a whole answer."""
        self.answered += 1
        self.statuses[status] += 1
        if not 200 <= status < 300:
            self.refused_s.append(took_s)
            return
        self.took_s.append(took_s)
        self.recent_s.append(took_s)
        if stream:
            self.first_s.append(first_s)


class Tally:
    """All cells of a run, by the place of the endpoint and the kind of traffic. ``late_s``: how late each request was sent."""

    def __init__(self, endpoints: int, kinds: Sequence[str]) -> None:
        self.endpoints = endpoints
        self.cells = {(endpoint, kind): Cell() for endpoint in range(endpoints) for kind in kinds}
        self.late_s: array[float] = array("d")

    def answered(self, endpoint: int) -> int:
        """Answers of one endpoint, of whatever status."""
        return sum(cell.answered for (place, _), cell in self.cells.items() if place == endpoint)
