"""A small model of the store's side, by the rules alone, and replicas that go on by themselves while it is away.

``Server`` holds records of meters and loses them when it is told to. ``Truth`` computes what was really admitted, at what it
really came to, and how far above its limit any meter ever stood: in any span of t seconds then no more was admitted than
capacity + that excess + rate · t.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from guard.charges import UNITS, Bill, Metered, SlotLimit, Slots, Spent, Tariff
from guard.meters import corrected, drained, enter, noted
from guard.remote.shadow import Owed, Seen, Shadow
from guard.remote.views import owner
from guard.settings import State
from guard.stores.memory import MemoryStore

T0 = 1_700_000_000.0
ACCOUNT = "a" * 32
Meter = tuple[str, str, str, str]


def tariff(*windows: tuple[str, float, float], slots: float = 0.0, kind: str = "account", **more: Any) -> Tariff:
    """Windows as (unit, amount, seconds); each is a limit of its own, named by its unit and number."""
    meters = tuple(
        Metered(f"{unit}{number}", unit, "0", amount, amount / window_s, UNITS.index(unit))
        for number, (unit, amount, window_s) in enumerate(windows)
    )
    return Tariff(kind, meters, (SlotLimit("slots", slots),) if slots else (), **more)


def bill(of: Tariff, tokens: float = 0.0, subject: str = ACCOUNT, factor: float = 1.0) -> Bill:
    return Bill(of, subject, (1.0, tokens, 0.0), factor)


@dataclass
class Kept:
    level: float
    as_of: float
    rate: float
    since_loss: float = 0.0
    trail: list[float] = field(default_factory=list)

    def note(self) -> None:
        """What is added will not be settled."""
        self.trail = list(noted(self.trail, self.level))


@dataclass
class Record:
    meters: dict[Meter, Kept] = field(default_factory=dict)
    made: float = 0.0
    touched: float = 0.0
    hits: float = 0.0
    lost_at: float = 0.0
    outages: set[str] = field(default_factory=set)


class Server:
    """The shared store. ``lag_s``: how far its clock is ahead of the replicas'."""

    def __init__(self, lag_s: float = 0.0) -> None:
        self.records: dict[str, Record] = {}
        self.lag_s = lag_s
        self.applied: list[str] = []

    def lose(self) -> None:
        self.records.clear()

    def take(
        self, bills: Sequence[Bill], seen: Seen, owed: Owed | None, now: float
    ) -> tuple[bool, list[list[float]], float, float, float]:
        """Admitted, the levels of each bill, the record's last touch, its hits, its last loss."""
        now += self.lag_s
        record = self.records.setdefault(owner(bills[0].tariff.kind, bills[0].subject), Record(made=now))
        missed = self._missed(record, seen.server_at, any(seen.bases), now)
        bases = iter(seen.bases)
        found: list[tuple[Kept, float, float]] = []
        for one in bills:
            for meter in one.tariff.meters:
                kept = self._meter(record, (*meter[:3], one.subject), meter.rate_per_s * one.factor, now)
                kept.rate = meter.rate_per_s * one.factor
                base = next(bases)
                if missed:
                    self._make_good(record, kept, base, now)
                found.append((kept, one.costs[meter.place], meter.amount * one.factor))
        if owed is not None:
            self._apply(record, owed, missed, now)
        fits = all(kept.level + cost <= max(room, cost) * (1 + 1e-9) for kept, cost, room in found)
        if fits:
            record.hits += 1
            for (kept, cost, _), meter in zip(
                found, [meter for one in bills for meter in one.tariff.meters], strict=True
            ):
                if meter.place and cost:
                    enter(kept.trail, kept.level, kept.level + cost, now)
                else:
                    kept.note()
                kept.level += cost
                kept.since_loss += cost
        record.touched = now
        levels = iter([kept.level for kept, _, _ in found])
        return (
            fits,
            [[next(levels) for _ in one.tariff.meters] for one in bills],
            record.touched,
            record.hits,
            record.lost_at,
        )

    def settle(self, bills: Sequence[Bill], spent: Spent, start: float, now: float) -> None:
        """Corrects what is still there of what was booked at ``start``; nothing in a record that was made since."""
        now += self.lag_s
        record = self.records.get(owner(bills[0].tariff.kind, bills[0].subject))
        if record is None or record.made > start + self.lag_s:
            return
        for one in bills:
            for meter in one.tariff.meters if record else ():
                kept = self._meter(record, (*meter[:3], one.subject), meter.rate_per_s, now)
                if not meter.place:
                    continue
                before, reserved = kept.level, one.costs[meter.place]
                trail, kept.level = corrected(
                    kept.trail, before, reserved, spent[meter.place] - reserved, start + self.lag_s
                )
                kept.trail = list(trail)
                kept.since_loss = max(0.0, kept.since_loss + kept.level - before)
                record.touched = now

    def pay(self, account: str, owed: Owed, seen_at: float, now: float) -> float:
        """A debt that comes by itself; the record's last touch."""
        record = self.records.setdefault(account, Record(made=now + self.lag_s))
        missed = self._missed(record, seen_at, True, now + self.lag_s)
        self._apply(record, owed, missed, now + self.lag_s)
        record.touched = now + self.lag_s
        return record.touched

    @staticmethod
    def _missed(record: Record, seen_at: float, used: bool, now: float) -> bool:
        """Whether the record lacks what was seen of it at that time."""
        lost = seen_at > record.touched and used
        if lost:
            record.lost_at = now
            for kept in record.meters.values():
                kept.since_loss = 0.0
        return lost or seen_at < record.lost_at or (seen_at < record.made and not record.lost_at)

    @staticmethod
    def _make_good(record: Record, kept: Kept, base: float, now: float) -> None:
        since = kept.since_loss
        if not record.lost_at:
            # Made anew by somebody who had seen nothing in it: all that is in it, and has drained, came since.
            since = kept.level + kept.rate * (now - record.made)
        kept.level = max(kept.level - since, base) + since if base else kept.level

    def _apply(self, record: Record, owed: Owed, missed: bool, now: float) -> None:
        if owed.outage in record.outages:
            return
        record.outages.add(owed.outage)
        self.applied.append(owed.outage)
        for meter, base, delta in owed.rows:
            kept = self._meter(record, meter, 0.0, now)
            kept.note()
            if missed and base:
                self._make_good(record, kept, base, now)
            kept.level = max(0.0, kept.level + delta)
            kept.since_loss = max(0.0, kept.since_loss + delta)

    def _meter(self, record: Record, meter: Meter, rate: float, now: float) -> Kept:
        kept = record.meters.setdefault(meter, Kept(0.0, now, rate))
        kept.level, kept.as_of = drained(kept.level, kept.as_of, kept.rate, now), max(now, kept.as_of)
        return kept


class Truth:
    """What was admitted of one meter, at what it came to."""

    def __init__(self, amount: float, window_s: float) -> None:
        self.amount = amount
        self.rate = amount / window_s
        self.events: list[list[float]] = []

    def admit(self, now: float, cost: float) -> list[float]:
        event = [now, cost]
        self.events.append(event)
        return event

    def excess(self) -> float:
        """How far above its capacity the meter ever stood, in parts of it."""
        level, at, most = 0.0, 0.0, 0.0
        for now, cost in sorted(self.events):
            level = drained(level, at, self.rate, now) + cost
            at = now
            most = max(most, level)
        return most / self.amount - 1.0

    def level(self, now: float) -> float:
        """The meter's level at that moment."""
        level, at = 0.0, 0.0
        for when, cost in sorted(self.events):
            level, at = drained(level, at, self.rate, when) + cost, when
        return drained(level, at, self.rate, now)

    def within(self, start: float, end: float) -> float:
        return sum(cost for now, cost in self.events if start <= now < end)


class Replica:
    """One process with its shadow. ``up``: it reaches the store."""

    def __init__(self, server: Server, name: str, replicas: int) -> None:
        self.server = server
        self.shadow = Shadow(MemoryStore(State(max_accounts=2_000)), 1_000, name, replicas)
        self.up = True
        self.leases: dict[int, tuple[int, Sequence[Bill], float]] = {}
        self.unsent: list[tuple[Sequence[Bill], Spent, float]] = []
        self._last = 0

    def take(self, bills: Sequence[Bill], now: float) -> int:
        """An exchange's number for ``settle``; 0: refused."""
        self._last += 1
        if not self.up:
            taken, lease = self.shadow.take(bills, Slots((), now + 900.0), now)
            if taken.refused >= 0:
                return 0
            self.leases[self._last] = (lease, bills, now)
            return self._last
        account = owner(bills[0].tariff.kind, bills[0].subject)
        owed = self.shadow.owed(account, now)
        fits, levels, at, hits, lost_at = self.server.take(bills, self.shadow.seen(bills, now), owed, now)
        if owed is not None:
            self.shadow.paid(account, owed.outage, now)
        for one, those in zip(bills, levels, strict=True):
            self.shadow.saw(one, those, at, hits, now, fits, lost_at)
        if not fits:
            return 0
        self.leases[self._last] = (0, bills, now)
        return self._last

    def settle(self, number: int, spent: Spent, now: float) -> None:
        lease, bills, start = self.leases.pop(number)
        if lease:
            self.shadow.settle(spent, lease, now)
        elif self.up:
            self.server.settle(bills, spent, start, now)
        else:
            self.unsent.append((bills, spent, start))

    def flush(self, now: float) -> None:
        """Brings home what is owed, as is done in the background."""
        for bills, spent, start in self.unsent:
            self.server.settle(bills, spent, start, now)
        self.unsent = []
        for account in self.shadow.owing():
            owed = self.shadow.owed(account, now)
            if owed is not None:
                account_seen = self.shadow.views.account(account)
                seen_at = account_seen.server_at if account_seen else 0.0
                touched = self.server.pay(account, owed, seen_at, now)
                self.shadow.paid(account, owed.outage, now, touched)
