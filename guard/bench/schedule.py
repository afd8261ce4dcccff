"""What arrives when. Arrivals are due at a constant rate, whatever was answered by then: that is what makes a load open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

ORDINARY, EXTRACTOR = "ordinary", "extractor"
# A product such as 0.3 × 10 may lie a hair below the number it means.
_HAIR = 1e-9


class Arrival(NamedTuple):
    """One request to be: due ``at_s`` seconds after the start, for the endpoint of that place. Arrivals of one ``turn`` ask
    every endpoint the same."""

    at_s: float
    endpoint: int
    turn: int
    kind: str


@dataclass(frozen=True, slots=True)
class Schedule:
    """``rate`` arrivals a second over all endpoints together for ``for_s`` seconds; ``extractor`` of them (0 to 1) are the
    extractor's."""

    rate: float
    for_s: float
    endpoints: int
    extractor: float

    @property
    def turns(self) -> int:
        """How often every endpoint is asked: once at least."""
        return max(1, int(self.rate * self.for_s / self.endpoints + _HAIR))

    def __iter__(self) -> Iterator[Arrival]:
        for n in range(self.turns * self.endpoints):
            turn = n // self.endpoints
            # Each turn begins with another endpoint, so that none always meets the machine as the other left it.
            yield Arrival(n / self.rate, (n + turn) % self.endpoints, turn, self._kind(turn))

    def _kind(self, turn: int) -> str:
        before, after = (int(count * self.extractor + _HAIR) for count in (turn, turn + 1))
        return EXTRACTOR if after > before else ORDINARY
