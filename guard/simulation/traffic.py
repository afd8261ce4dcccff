"""A whole population's traffic in order of time, one exchange after another, as long as anybody reads on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heapreplace
from random import Random
from typing import NamedTuple

import orjson

from guard.simulation.campaigns import Shape, campaign
from guard.simulation.ordinary import KINDS, Stage
from guard.simulation.owners import DAY_S, JSONObject
from guard.simulation.prompts import OWN, Prompts

START = 1_767_571_200.0
"""Monday, 5 January 2026, midnight UTC: simulated traffic lies in the past, so that ``guard warm`` takes it."""


class Chosen(NamedTuple):
    """A campaign of the population. ``accounts``: how many at once."""

    shape: Shape
    accounts: int


class Population(NamedTuple):
    """What is simulated. ``accounts``: how many ordinary ones; all that is drawn follows from ``seed``."""

    days: float
    accounts: int
    seed: int
    campaigns: Sequence[Chosen] = ()
    prompts: Prompts = OWN

    @property
    def end(self) -> float:
        return START + self.days * DAY_S

    def stage(self, part: str) -> Stage:
        """What one part of the population is told; its dice are its own, so that no part changes another."""
        return Stage(START, self.end, self.prompts, Random(f"{self.seed} {part}"))

    def ordinary(self) -> Iterator[JSONObject]:
        """The exchanges of the ordinary accounts alone."""
        return merged(self._owners())

    def exchanges(self) -> Iterator[JSONObject]:
        """All exchanges, in order of time."""
        sources = self._owners()
        names: dict[str, int] = {}
        for shape, accounts in self.campaigns:
            names[shape.name] = names.get(shape.name, 0) + 1
            # Two campaigns of one shape are two operators'.
            name = shape.name if names[shape.name] == 1 else f"{shape.name}{names[shape.name]}"
            sources.append(campaign(self.stage(f"campaign {name}"), shape, name, accounts))
        return merged(sources)

    def lines(self) -> Iterator[bytes]:
        """The same as lines of an exchange log, without their ends."""
        return map(orjson.dumps, self.exchanges())

    def _owners(self) -> list[Iterator[JSONObject]]:
        return [
            asks
            for kind in KINDS
            for asks in kind.accounts(self.stage(kind.name), max(1, round(kind.share * self.accounts)))
        ]


def merged(sources: Sequence[Iterator[JSONObject]]) -> Iterator[JSONObject]:
    """Of each source its exchanges in order, of all together likewise; at one moment, in the order of the sources."""
    waiting: list[tuple[float, int, JSONObject, Iterator[JSONObject]]] = []
    for place, source in enumerate(sources):
        first = next(source, None)
        if first is not None:
            waiting.append((first["at"], place, first, source))
    heapify(waiting)
    while waiting:
        _, place, record, source = waiting[0]
        yield record
        following = next(source, None)
        if following is None:
            heappop(waiting)
        else:
            heapreplace(waiting, (following["at"], place, following, source))
