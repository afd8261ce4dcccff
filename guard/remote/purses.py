"""What of a shared limit lies here: kinds of things bought, lots of them, and the purse that holds a kind's lots."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, floor, inf
from typing import Any, NamedTuple

from guard.charges import CONCURRENT, Metered, SlotLimit, Tariff
from guard.meters import SLACK, drained, wait_s

_HELD_S = 0.25
_OF_WINDOW = 0.05
_OF_LIMIT = 0.05
_SLOT_HELD_S = 2.0
_DEMAND_S = 1.0

Key = tuple[str, str, str, str]
"""Kind of subject, limit, unit (or ``concurrent``), subject."""


class Kind(NamedTuple):
    """What is bought for one unit of one limit. ``place``: the unit's among the costs, −1: slots."""

    limit: str
    unit: str
    place: int
    tariff: Tariff
    """How it is bought: all its meters as estimates, so that what isn't used goes back by their trails."""
    numbers: tuple[int, ...]
    """Of its charges in the bill: among the meters, or among the slots."""
    shadow: bool
    held_s: float
    most: float
    """So much may be bought in advance; 0.0: nothing."""


class Lot:
    """What was bought at once. ``lease`` is the buyer's own word for it."""

    __slots__ = ("bought_at", "closed", "ends_at", "lease", "left", "open", "purse", "spent")

    def __init__(self, purse: Purse, left: float, lease: Any, now: float, ends_at: float) -> None:
        self.purse = purse
        self.left = left
        self.lease = lease
        self.bought_at = now
        self.ends_at = ends_at
        self.open = 0
        """Exchanges under way that spend of it."""
        self.spent = 0.0
        self.closed = False


class Purse:
    """One kind's lots for one subject."""

    __slots__ = (
        "_demand",
        "_demand_at",
        "asking",
        "factor",
        "kind",
        "least",
        "levels",
        "lots",
        "refused_until",
        "seen_at",
        "used_at",
        "waiting",
    )

    def __init__(self, kind: Kind, now: float) -> None:
        self.kind = kind
        self.factor = 1.0
        self.lots: list[Lot] = []
        self.levels: tuple[float, ...] = ()
        """Of its meters as the store last said; empty: never."""
        self.seen_at = self.used_at = now
        self.refused_until = -inf
        self.asking = False
        self.waiting = 0.0
        """What those need who have found too little here since it was last asked for; ``least`` the smallest of it."""
        self.least = inf
        self._demand = 0.0
        self._demand_at = now

    def left(self) -> float:
        """What lies here."""
        return sum([lot.left for lot in self.lots])

    def lack(self, cost: float) -> None:
        """Somebody waits for so much."""
        self.waiting += cost
        self.least = min(self.least, cost)

    def answered(self, levels: Sequence[float], now: float) -> None:
        """The store has said something; who still lacks something will say so again."""
        self.asking = False
        self.waiting, self.least = 0.0, inf
        self.levels, self.seen_at = tuple(levels), now

    def demanded(self, cost: float, now: float) -> None:
        """Somebody has asked for so much, whether or not it was there."""
        passed = now - self._demand_at
        if passed > 0.0:
            self._demand *= exp(-passed / _DEMAND_S)
            self._demand_at = now
        self._demand += cost

    def ahead(self, now: float) -> float:
        """How much of it may lie here: what will soon be spent."""
        kind = self.kind
        if not kind.most:
            return 0.0
        demand = self._demand * exp(-max(0.0, now - self._demand_at) / _DEMAND_S)
        ahead = min(demand * kind.held_s / _DEMAND_S, kind.most * self.factor)
        return float(floor(ahead)) if kind.place == 0 else ahead

    def level(self, place: int, now: float) -> float:
        """A meter's level in the store as it was seen, drained since."""
        if not self.levels:
            return 0.0
        return drained(self.levels[place], self.seen_at, self.kind.tariff.meters[place].rate_per_s * self.factor, now)

    def room(self, cost: float, now: float) -> float:
        """How much fits, by what was last seen; a cost above the limit fits on an empty one."""
        meters = self.kind.tariff.meters
        return min(
            [
                max(meter.amount * self.factor, cost) - self.level(place, now) + SLACK
                for place, meter in enumerate(meters)
            ],
            default=inf,
        )

    def wait_s(self, cost: float, now: float) -> tuple[float, int]:
        """How long until so much fits, by what was last seen, and which meter says so."""
        longest, where = 0.0, 0
        for place, meter in enumerate(self.kind.tariff.meters):
            capacity, rate, level = meter.amount * self.factor, meter.rate_per_s * self.factor, self.level(place, now)
            if not level + cost <= max(capacity, cost) * (1.0 + SLACK) or not capacity > 0.0:
                wait = wait_s(level, cost, capacity, rate)
                if wait > longest:
                    longest, where = wait, place
        return longest, where


def kinds_of(tariff: Tariff) -> tuple[Kind, ...]:
    """What a tariff's charges are bought as."""
    made = []
    for limit, unit in dict.fromkeys([(meter.limit, meter.unit) for meter in tariff.meters]):
        numbers = tuple([n for n, meter in enumerate(tariff.meters) if (meter.limit, meter.unit) == (limit, unit)])
        meters = [tariff.meters[number] for number in numbers]
        made.append(_kind(tariff, limit, unit, meters, numbers))
    for number, slot in enumerate(tariff.slots):
        bought = Tariff(tariff.kind, (), (SlotLimit(slot.limit, slot.most),))
        made.append(Kind(slot.limit, CONCURRENT, -1, bought, (number,), slot.shadow, _SLOT_HELD_S, 0.0))
    return tuple(made)


def _kind(tariff: Tariff, limit: str, unit: str, meters: Sequence[Metered], numbers: tuple[int, ...]) -> Kind:
    place = meters[0].place
    least = min([meter.amount for meter in meters])
    windows = [meter.amount / meter.rate_per_s for meter in meters if meter.rate_per_s > 0.0]
    held_s = min([_HELD_S, *[_OF_WINDOW * window for window in windows]])
    most = _OF_LIMIT * least
    if not windows or (place == 0 and most < 1.0):
        most = 0.0  # bought one by one
    early_s = held_s if most else 0.0
    bought = [
        meter._replace(amount=meter.amount - early_s * meter.rate_per_s, place=1, shadow=False) for meter in meters
    ]
    return Kind(limit, unit, place, Tariff(tariff.kind, tuple(bought)), numbers, meters[0].shadow, held_s, most)


__all__ = ["Key", "Kind", "Lot", "Purse", "kinds_of"]
