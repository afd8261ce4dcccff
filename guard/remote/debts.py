"""What this replica admitted by itself, to be charged in the store when it answers again: each once, under an id.

A local meter holds this replica's share of what was seen in the store, and on top of that what was admitted since. The lower
part drains first, as it would have in the store; what is left above it is the debt. A debt that was sent is *frozen*: it goes
out again, under the same id, until the store has confirmed it. An estimate that comes out lower after its debt was paid is
given back by the same way, at most what was paid and would not have drained since at the full rate: so much was surely still
there all the while (the bound of a trail, see ``meters.py``). Such a give-back goes out once; if it is lost, it stays charged.
"""

from __future__ import annotations

from typing import NamedTuple

from guard.charges import Charge
from guard.meters import COST_MAX, drained

Meter = tuple[str, str, str, str]
_LEAST = 1e-9
_MOST_METERS = 256


class Owed(NamedTuple):
    """To be applied once for each ``outage``, before anything else of the call: for each meter (limit, unit, ordinal, subject)
    level = max(level, base) + delta, not below 0. ``base`` is the level that was seen in the store, drained until now. A delta
    below 0 gives back."""

    outage: str
    rows: tuple[tuple[Meter, float, float], ...]


class Mark:
    """One meter: how much of its local level is no debt, and what is."""

    __slots__ = (
        "base",
        "base_now",
        "cap",
        "kind",
        "owes",
        "paid",
        "paid_now",
        "rate",
        "rate_here",
        "seeded",
        "seeded_now",
        "shard",
    )

    def __init__(self) -> None:
        self.kind = ""
        self.shard = 0
        self.seeded = self.seeded_now = 0.0
        """The part of the local level that is the store's business already, and when."""
        self.base = self.base_now = 0.0
        """The store's level as it was seen, and when."""
        self.rate = self.rate_here = 0.0
        self.cap = 0.0
        """A debt brings the store's level to this at most; 0: as high as it comes."""
        self.owes = 0.0
        """Admitted and corrected here and not sent yet; below 0: more was given back since it was sent."""
        self.paid = self.paid_now = 0.0
        """What was charged in the store of debts, as it would have drained, and when."""

    def charge(self, meter: Meter, cost: float) -> Charge:
        """A charge of the local meter that always has room."""
        return Charge(meter, cost, 2.0 * COST_MAX, self.rate_here, self.shard, guarded=self.kind)

    def collect(self, level: float, now: float) -> None:
        """What has drained is owed no longer. ``level`` is the local one."""
        if self.owes > 0.0:
            above = level - drained(self.seeded, self.seeded_now, self.rate_here, now)
            self.owes = min(self.owes, max(0.0, above))

    def freeze(self, level: float, now: float) -> float:
        """What is to be sent. From here on it is the store's business."""
        owes, self.owes = self.owes, 0.0
        self.seeded, self.seeded_now = level, now
        if owes < 0.0:
            left = drained(self.paid, self.paid_now, self.rate, now)
            owes = -min(-owes, left)
            self.paid, self.paid_now = left + owes, now
        return owes

    def aged(self, delta: float, since: float, now: float) -> float:
        """What was frozen at ``since``, as it stands now: it drains when nothing is left below it."""
        if delta <= 0.0 or self.rate <= 0.0:
            return delta
        below = drained(self.base, self.base_now, self.rate, since)
        idle_s = max(0.0, now - since - below / self.rate)
        return max(0.0, delta - idle_s * self.rate_here)

    def row(self, delta: float, now: float) -> tuple[float, float]:
        """Base and delta as they are sent."""
        base = drained(self.base, self.base_now, self.rate, now)
        if self.cap > 0.0 and delta > 0.0:
            delta = min(delta, max(0.0, self.cap - base))
        return base, delta


class Debt:
    """One account's. ``share`` is what its local meters hold of what the store's do."""

    __slots__ = ("_frozen", "_sent", "_since", "leases", "marks", "outage", "seeded", "server_at", "share", "told")

    def __init__(self) -> None:
        self.marks: dict[Meter, Mark] = {}
        self.share = 1.0
        self.server_at = 0.0
        """The view that the local meters were set from."""
        self.seeded: set[Meter] = set()
        """Those that were set from it."""
        self.leases = 0
        """Exchanges under way that may still change it."""
        self.outage = ""
        """The id of what was sent; ``""``: nothing is."""
        self.told = True
        """Whether the store has heard what was seen of the account."""
        self._since = 0.0
        self._frozen: dict[Meter, float] = {}
        self._sent = False

    def mark(self, meter: Meter) -> Mark | None:
        """None: the account has more meters than are kept count of (clients name users and models as they like)."""
        mark = self.marks.get(meter)
        if mark is None and len(self.marks) < _MOST_METERS:
            mark = self.marks[meter] = Mark()
        return mark

    def add(self, meter: Meter, amount: float) -> None:
        mark = self.marks.get(meter)
        if mark is not None:
            mark.owes += amount

    def unpaid(self, meter: Meter, now: float) -> tuple[float, float]:
        """What the store doesn't know yet of one meter: what was sent, and what wasn't."""
        mark = self.marks[meter]
        sent = self._frozen.get(meter, 0.0)
        return mark.aged(sent, self._since, now) if sent > 0.0 else 0.0, max(0.0, mark.owes)

    @property
    def owes(self) -> bool:
        """Whether there is anything to be sent."""
        return bool(self.outage) or any([mark.owes for mark in self.marks.values()])

    def freeze(self, outage: str, frozen: dict[Meter, float], now: float) -> None:
        """Puts what is owed under that id."""
        self._frozen = {meter: delta for meter, delta in frozen.items() if abs(delta) > _LEAST}
        self._since, self._sent = now, False
        self.outage = outage if self._frozen else ""

    def owed(self, now: float) -> Owed | None:
        """What is under the id; None: nothing any more."""
        if self._sent:
            self._frozen = {meter: delta for meter, delta in self._frozen.items() if delta > 0.0}
        self._sent = True
        rows = []
        for meter, delta in self._frozen.items():
            mark = self.marks[meter]
            rows.append((meter, *mark.row(mark.aged(delta, self._since, now), now)))
        if not rows:
            self.outage = ""
            return None
        return Owed(self.outage, tuple(rows))

    def paid(self, now: float) -> dict[Meter, float]:
        """The store has applied it: what it brought the meters to at least."""
        levels: dict[Meter, float] = {}
        for meter, delta in self._frozen.items():
            if delta > 0.0:
                mark = self.marks[meter]
                delta = mark.aged(delta, self._since, now)
                mark.paid = drained(mark.paid, mark.paid_now, mark.rate, now) + delta
                mark.paid_now = now
                levels[meter] = sum(mark.row(delta, now))
        self._frozen = {}
        self.outage = ""
        return levels


__all__ = ["Debt", "Mark", "Meter", "Owed"]
