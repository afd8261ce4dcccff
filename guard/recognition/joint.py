"""Joint meters: what many accounts take together, by trait. A table of columns, about 190 bytes a trait, bounded.

A meter is a leaky bucket as those of the limits are (``meters.py``): ``room`` at once, ``rate`` a second. It also counts what was
taken on each of eight days.

*Fair*: above half of its room a meter serves the light accounts first. An exchange has a *rank*: it is its account's n-th today.
Of the exchanges that lately came, those with rank ≤ w number Σ min(demand, w) over accounts; so to serve the lowest ranks first, and
let w fall as room falls, is max-min fair sharing (Bertsekas and Gallager 1992, 6.5.2), and no account's share need be kept.
Where all accounts are equally heavy, whoever comes first is served.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from math import inf
from typing import Any, NamedTuple

ALL = 0
"""The row that every exchange falls under."""
FREE = 3
"""An account's first exchanges of a day, which only the meter of all stops."""
_NEAR = 0.5
_RANKS = 16
_EDGES = (4, 5, 6, 7, 9, 11, 14, 18, 24, 32, 44, 64, 128, 256, 1_024)
_BUCKET = bytes([sum(rank >= edge for edge in _EDGES) for rank in range(1_024)])
_DAYS = 7
_LOOKS = 8
_SLICE = 500
_HIGHEST = 0xFFFFFFFF


class Full(NamedTuple):
    """There is no room. ``trait``: whose meter it is that allows least (0: that of all), ``rate_per_s`` what it allows."""

    trait: int
    rate_per_s: float


class Joint:
    """The meters. Row ``ALL`` is there from the start; a room of infinity refuses nothing and only counts."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.rows: dict[int, int] = {}
        self._free: list[int] = []
        self.room, self.rate = array("f"), array("f")
        self._level, self._as_of = array("d"), array("d")
        self._days = [array("I") for _ in range(_DAYS + 1)]
        self._ranks = bytearray()
        self.day = 0
        self.weight = 1.0
        """What one exchange uses of a room; more where others take of it as well and nobody can add it up."""
        self._append()

    @property
    def size(self) -> int:
        """How many rows there are, free ones included."""
        return len(self._level)

    def take(self, values: Sequence[int], rank: int, now: float, *, enforced: bool) -> Full | None:
        """Books one exchange in the meter of all and in that of each of its traits once, or in none. ``rank``: it is its
        account's so many-th today. Not ``enforced``: it passes, and is booked, whatever is found."""
        rows, rooms, levels = self.rows, self.room, self._level
        hits = [ALL]
        for value in values:
            row = rows.get(value)
            if row is not None and row not in hits:
                hits.append(row)
        full = -1
        for row in hits:
            room = rooms[row]
            if room == inf:
                continue
            level, passed = levels[row], now - self._as_of[row]
            if passed > 0.0:
                level -= passed * self.rate[row]
                if level < 0.0:  # noqa: PLR1730 - the call of max() costs more than all the rest
                    level = 0.0
                levels[row] = level
                self._as_of[row] = now
            if level > _NEAR * room:
                served = self._serves(row, rank, level, room)
                if not served and (rank > FREE or row == ALL) and (full < 0 or self.rate[row] < self.rate[full]):
                    full = row
        if full >= 0 and enforced:
            return self._full(full, values)
        taken = self._days[self.day & _DAYS]
        for row in hits:
            taken[row] += 1
            room = rooms[row]
            if room != inf:
                level = levels[row] + self.weight
                # What passes a full meter leaves no debt behind.
                levels[row] = level if level < room else room
        return self._full(full, values) if full >= 0 else None

    def _full(self, row: int, values: Sequence[int]) -> Full:
        trait = next((value for value in values if self.rows.get(value) == row), 0) if row else 0
        return Full(trait, self.rate[row])

    def _serves(self, row: int, rank: int, level: float, room: float) -> bool:
        """Whether a meter that is more than half full has room for that rank. Notes that it came."""
        ranks, first = self._ranks, row * _RANKS
        at = first + (_BUCKET[rank] if rank < len(_BUCKET) else _RANKS - 1)
        ranks[at] += 1
        if ranks[at] == 255:
            for place in range(first, first + _RANKS):
                ranks[place] >>= 1
        left = (room - level) / (room - _NEAR * room)
        return level + 1.0 <= room and sum(ranks[first:at]) < left * sum(ranks[first : first + _RANKS])

    # -- beside the request path ----------------------------------------------------------------------------------

    def add(self, value: int, now: float) -> int | None:
        """A row for a trait that has none, without limit; None: all are in use."""
        if len(self.rows) >= self._most and not self._make_room(now):
            return None
        row = self._free.pop() if self._free else self._append()
        self.rows[value] = row
        self._level[row], self._as_of[row] = 0.0, now
        self.room[row], self.rate[row] = inf, 0.0
        self._ranks[row * _RANKS : (row + 1) * _RANKS] = bytes(_RANKS)
        for day in self._days:
            day[row] = 0
        return row

    def _append(self) -> int:
        for column, blank in ((self._level, 0.0), (self._as_of, 0.0), (self.room, inf), (self.rate, 0.0)):
            column.append(blank)
        for day in self._days:
            day.append(0)
        self._ranks += bytes(_RANKS)
        return self.size - 1

    def _make_room(self, now: float) -> bool:
        """Frees the row of a trait that has no limit and that nobody has used today or owes anything; looks at a few."""
        for _ in range(_LOOKS):
            value = next(iter(self.rows))
            row = self.rows.pop(value)
            if self.room[row] == inf and not self.taken(row, 0) and self._drained(row, now):
                self._free.append(row)
                return True
            self.rows[value] = row  # to the end of the queue
        return False

    def drop_idle(self, value: int, now: float) -> None:
        """Frees the row of a trait that nobody has used for a week."""
        row = self.rows.get(value)
        if row is not None and not any([day[row] for day in self._days]) and self._drained(row, now):
            del self.rows[value]
            self._free.append(row)

    def _drained(self, row: int, now: float) -> bool:
        return self.level(row, now) == 0.0

    def allow(self, row: int, room: float, rate_per_s: float, now: float) -> None:
        """Sets what a row is allowed from now on. What is used stays used."""
        self._level[row], self._as_of[row] = self.level(row, now), max(now, self._as_of[row])
        self.room[row], self.rate[row] = room, rate_per_s

    def level(self, row: int, now: float) -> float:
        """What is used of a row's room."""
        level = self._level[row]
        return max(0.0, level - max(0.0, now - self._as_of[row]) * self.rate[row]) if level else 0.0

    def used(self, row: int) -> tuple[float, float]:
        """What was used of a row's room, and when that was so."""
        return self._level[row], self._as_of[row]

    def use(self, row: int, level: float, as_of: float) -> None:
        """Sets that."""
        self._level[row], self._as_of[row] = level, as_of

    def drop(self, value: int) -> None:
        """Frees the row of a trait, if it has one."""
        row = self.rows.pop(value, None)
        if row is not None:
            self._free.append(row)

    def turn_day(self) -> None:
        """A new day begins."""
        self._days[self.day + 1 & _DAYS] = array("I", bytes(4 * self.size))
        self.day += 1

    def taken(self, row: int, days_ago: int) -> int:
        """What was taken today (0) or on one of the seven days before."""
        return self._days[self.day - days_ago & _DAYS][row]

    def write(self, row: int, days_ago: int, count: int) -> None:
        """Sets that."""
        self._days[self.day - days_ago & _DAYS][row] = min(count, _HIGHEST)

    def median(self, row: int, days: int) -> int:
        """The lower median of what was taken on that many days before today (at most seven; of none: 0)."""
        counts = sorted([self.taken(row, ago) for ago in range(1, min(days, _DAYS) + 1)])
        return counts[(len(counts) - 1) // 2] if counts else 0

    # -- over a restart -------------------------------------------------------------------------------------------

    def pieces(self) -> Iterator[list[list[Any]]]:
        """All rows as plain data, some hundred a piece: [trait (0: all), level, as of, room (−1: without limit), rate, today,
        yesterday, …]."""
        named = [(0, ALL), *self.rows.items()]
        for first in range(0, len(named), _SLICE):
            yield [
                [
                    value,
                    self._level[row],
                    self._as_of[row],
                    -1.0 if self.room[row] == inf else self.room[row],
                    self.rate[row],
                    *[self.taken(row, ago) for ago in range(_DAYS + 1)],
                ]
                for value, row in named[first : first + _SLICE]
                if row == ALL or self.rows.get(value) == row
            ]

    def restore(self, piece: Sequence[Sequence[Any]], now: float) -> None:
        """Takes up one piece, ``day`` being what it was. Raises ``ValueError`` or ``TypeError`` for what is none."""
        for value, level, as_of, room, rate, *days in piece:
            if len(days) != _DAYS + 1 or not (level >= 0.0 and as_of >= 0.0 and rate >= 0.0 and min(days) >= 0):
                raise ValueError("a joint meter's level, time, rate or days are no such numbers")
            row = self.add(int(value), now) if value else ALL
            if row is not None:
                self._level[row], self._as_of[row] = float(level), min(float(as_of), now)
                self.room[row], self.rate[row] = inf if room < 0.0 else float(room), float(rate)
                for ago, count in enumerate(days):
                    self.write(row, ago, int(count))
