"""Families: all exchanges that share one trait. Most traits are seen once; only what a third account shows becomes a family.

A family keeps its first exchanges (who, when): enough to see whether it is worth a closer look, and who was there first.
It costs less than a kilobyte. A family with enough accounts behind it gets a *group* (``groups.py``), which keeps more.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator

from guard.recognition.groups import Group

FOUNDERS = 24
"""Exchanges of which a family itself keeps who and when."""
_CELLS = 1 << 20
_MASK = _CELLS - 1
_TAG = (1 << 24) - 1
HALF_DAY_S = 43_200.0
LEAD_S = 86_400.0
"""Who showed a trait so long before those who show it now is none of theirs."""
MARK = (1 << 14) - 1
"""What is kept of the number of the account that showed a trait first."""


class Family:
    """All exchanges that share a trait."""

    __slots__ = (
        "convicted",
        "count",
        "first_at",
        "firsts",
        "group",
        "last_at",
        "numbers",
        "purity_due",
        "slots",
        "times",
        "value",
        "whole",
    )

    def __init__(self, value: int, now: float) -> None:
        self.value = value
        self.count = 0
        self.first_at = self.last_at = now
        self.numbers = array("I")
        """The accounts of its first exchanges, by number, when those came, and what they asked."""
        self.times = array("d")
        self.slots = array("Q")
        self.firsts = array("H")
        """The marks of those of the first two accounts that showed it a day before anybody else, as far as the gate remembers."""
        self.group: Group | None = None
        self.convicted = 0
        """The cluster that it was found to be when it was last weighed; 0: none."""
        self.whole = False
        """Whether it is one queue as far back as anything is kept of it, so that who showed it first is of the queue, too."""
        self.purity_due = 8
        """At how many exchanges its purity is worked out next."""

    def full(self) -> None:
        """All founders are there: what the arrays hold beyond them, a seventh of a family, is given back."""
        self.numbers, self.times, self.slots = self.numbers[:], self.times[:], self.slots[:]

    def begin_anew(self) -> None:
        """Forgets who was there first."""
        self.numbers, self.times, self.slots = array("I"), array("d"), array("Q")


class Gate:
    """Counts accounts behind a trait until there are three, in 8 MiB whatever is sent.

    A table of 2²⁰ cells by the low bits of the trait's keyed hash: 24 more bits to know it by, 14 bits each of the first and of the
    second account, 8 bits of when the first came (in half days), a count of 4. A newcomer that finds its cell taken lowers the count
    of what is there and gets the cell at zero (Misra and Gries 1982): what comes again and again outlives what comes once.
    """

    __slots__ = ("cells",)

    def __init__(self) -> None:
        # Not from bytes: memory of that size, once freed, makes the allocator keep large blocks for itself ever after.
        self.cells = array("Q", (0,)) * _CELLS

    def passes(self, value: int, number: int, now: float) -> tuple[int, ...] | None:
        """None: fewer than three accounts have shown the trait. At the third: the marks of those of the first two that had it a day
        before anybody else."""
        cells = self.cells
        place = value & _MASK
        cell = cells[place]
        tag = (value >> 20) & _TAG
        mark = number & MARK
        if cell >> 40 == tag and cell:
            first = (cell >> 26) & MARK
            if first == mark:
                if cell & 15 < 15:
                    cells[place] = cell + 1
                return None
            second = (cell >> 12) & MARK
            if second == mark:
                return None
            if second:
                cells[place] = 0
                lead = (int(now // HALF_DAY_S) - (cell >> 4)) & 255
                return (first, second) if lead >= LEAD_S // HALF_DAY_S else ()
            cells[place] = cell | mark << 12
        elif cell & 15 > 1:
            cells[place] = cell - 1
        else:
            cells[place] = tag << 40 | mark << 26 | (int(now // HALF_DAY_S) & 255) << 4 | 1
        return None


class Families:
    """The families there are, by trait. At most ``most``: then those go first that are small and idle."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.gate = Gate()
        self._held: dict[int, Family] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Family]:
        return iter(self._held.values())

    def find(self, value: int) -> Family | None:
        """The family of a trait; None: too few accounts have shown it."""
        return self._held.get(value)

    def apart(self, value: int) -> bool:
        """Whether the accounts that show a trait are known to live apart, each for itself."""
        family = self._held.get(value)
        return family is not None and family.group is not None and family.group.apart

    def clear(self) -> None:
        """Forgets all families; what the gate has counted stays."""
        self._held.clear()

    def add(self, family: Family) -> None:
        """Takes up a family that was kept over a restart."""
        self._held[family.value] = family

    def meet(self, values: Iterable[int], number: int, now: float) -> list[Family]:
        """The families of an exchange's traits, each made where this account is the one that makes it a family."""
        held, met = self._held, []
        for value in values:
            family = held.get(value)
            if family is None:
                firsts = self.gate.passes(value, number, now)
                if firsts is None:
                    continue
                if len(held) >= self._most:
                    self._make_room()
                family = held[value] = Family(value, now)
                family.firsts.extend(firsts)
            family.count += 1
            family.last_at = now
            met.append(family)
        return met

    def _make_room(self) -> None:
        """Drops a twentieth, the idlest of those without a group; then what has one goes back to the gate's mercy."""
        idle = sorted((f for f in self._held.values() if f.group is None), key=lambda f: (f.last_at, f.count, f.value))
        for family in idle[: max(1, self._most // 20)] or list(self._held.values())[:1]:
            del self._held[family.value]
