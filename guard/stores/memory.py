"""The memory store: one process, nothing to install, every verb a plain function body and therefore atomic.

A meter drains at the rate of its last touch, so that a later change of f or of the policy never rewrites the past. Subjects
of which clients can make up as many as they like live in tables of bounded size. Where such a table is full of subjects
that are not drained, a newcomer is charged to one of 256 overflow meters by its network: it is served as long as its
neighbourhood is quiet, and nobody is washed clean to make room for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush
from math import inf
from typing import Any, ClassVar

from guard.contracts import Charge, Slots, Taken
from guard.errors import StateError
from guard.meters import COST_MAX, SLACK, enter, leave, lower, wait_s
from guard.settings import State
from guard.subjects import DROPPED, Layouts, Subject, Table, pieces, restore_piece

Meter = tuple[str, str, str, str]
Place = tuple[str, ...]
# subject, place of the meter in it, level, as of, rate, cost, where it is booked, the charge
Found = tuple[Subject, int, float, float, float, float, Meter, Charge]
_PROVISIONAL = 4_096
_NAMES = 4_096
# A slot that is taken comes back when an answer ends, which nobody knows.
_SLOT_WAIT_S = 1.0
_OVERFLOW = "overflow"
_ROOM = 1.0 + SLACK
_SWEEP = 1_024
_NOBODY: frozenset[str] = frozenset()
_taken = tuple.__new__
_NOTHING = Taken(-1, 0.0, (), ())


class MemoryStore:
    """See the module. ``state.max_accounts`` bounds the subjects of each kind; models and regions have 4,096 places."""

    name: ClassVar[str] = "memory"
    schemes: ClassVar[tuple[str, ...]] = ("memory",)

    def __init__(self, state: State = State()) -> None:  # noqa: B008 - a frozen value
        self._max_accounts = state.max_accounts
        self._tables: dict[str, Table] = {}
        self._known: dict[str, Table] = {}
        self._strangers: dict[str, Table] = {}
        self._layouts = Layouts()
        # Ends at, began at, slots, meters. A lease outlives its request only where that was lost.
        self._leases: dict[int, tuple[float, float, tuple[Place, ...], list[Found]]] = {}
        self._sweep_at = _SWEEP
        self._ends: list[tuple[float, int]] = []
        self._last_lease = 0
        self._in_use: dict[Place, float] = {}
        self.overflowed = 0
        """How many charges found no room in their table and went to an overflow meter."""

    # -- the verbs -------------------------------------------------------------------------------------------------

    def take(self, charges: Sequence[Charge], slots: Slots, now: float) -> tuple[Taken, int]:
        """See ``contracts.Store``. Nothing is written before all have been found to fit."""
        if self._ends and self._ends[0][0] <= now:
            self._expire(now)
        places, known, strangers = self._layouts.places, self._known, self._strangers
        found: list[Found] = []
        refused, longest_s = -1, -1.0
        lacking: list[int] = []
        for charge in charges:
            meter, cost, capacity, rate, shard, provisional, book, guarded, shadow, _ = charge
            tables = strangers if provisional else known
            table = tables[guarded] if guarded in tables else self._open(guarded, provisional)
            subject = table.subjects.get(meter[3])
            if subject is None:
                subject, meter = self._enrol(table, meter, shard, provisional, book, now)
            column = meter[:3]
            at = places[subject[0]].get(column)
            if at is None:
                at = self._layouts.widen(subject, column, rate, now)
            level = subject[at]
            as_of = subject[at + 1]
            if now > as_of:
                if level:
                    level -= (now - as_of) * subject[at + 2]
                    if level < 0.0:  # noqa: PLR1730 - the call of max() costs more than all the rest
                        level = 0.0
                as_of = now
            if not 0.0 <= cost <= COST_MAX:
                cost = 0.0 if cost < 0.0 else inf
            room = capacity if capacity >= cost else cost
            if not level + cost <= room * _ROOM or cost == inf or capacity <= 0.0:
                if shadow:
                    lacking.append(len(found))
                else:
                    wait = wait_s(level, cost, capacity, rate)
                    if wait > longest_s:
                        refused, longest_s = len(found), wait
            if level and rate < subject[at + 2] and meter[3].startswith(_OVERFLOW):
                # One of many sharers: what it alone is allowed must not slow the others down.
                rate = subject[at + 2]
            found.append((subject, at, level, as_of, rate, cost, meter, charge))
        levels: list[float]
        held: tuple[Place, ...] = ()
        wanted = slots.wanted
        if wanted:
            refused, longest_s = self._slots_lacking(wanted, lacking, refused, longest_s, len(found))
        elif not found:
            return _NOTHING, 0
        if refused >= 0:
            for subject, at, level, as_of, rate, _, _, _ in found:
                if subject[at + 2] != rate:
                    # Nothing is taken, but from now on it drains at the new rate.
                    subject[at : at + 3] = (level, as_of, rate)
            levels = [entry[2] for entry in found]
            levels += [self._in_use.get(slot.meter, 0) for slot in wanted]
            return Taken(refused, longest_s, tuple(levels), (), tuple(lacking)), 0
        every = (*charges, *wanted) if lacking else ()
        spared = {every[number].meter[0] for number in lacking} if lacking else _NOBODY
        levels = []
        meters = []
        for subject, at, level, as_of, rate, cost, place, charge in found:
            if charge[6] and not (spared and charge[0][0] in spared):
                after = level + cost
                if charge[9] and cost:
                    trail = subject[at + 3]
                    if trail and level:
                        enter(trail, level, after, as_of)
                    else:
                        subject[at + 3] = [as_of, after, 1]
                level = after
            subject[at] = level
            subject[at + 1] = as_of
            subject[at + 2] = rate
            levels.append(level)
            meters.append(place)
        lease = self._last_lease = self._last_lease + 1
        if wanted:
            held = tuple([slot.meter for slot in wanted if slot.book and slot.meter[0] not in spared])
            for slot_meter in held:
                self._in_use[slot_meter] = self._in_use.get(slot_meter, 0) + 1
            levels += [self._in_use.get(slot.meter, 0) for slot in wanted]
            heappush(self._ends, (slots.ends_at, lease))
        self._leases[lease] = (slots.ends_at, now, held, found)
        if len(self._leases) > self._sweep_at:
            self._sweep(now)
        return _taken(Taken, (-1, 0.0, tuple(levels), tuple(meters), tuple(lacking))), lease

    def settle(self, corrections: Sequence[tuple[Place, float]], lease: int, now: float) -> bool:
        """See ``contracts.Store``."""
        held = self._leases.pop(lease, None)
        if held is None:
            return False
        _, start, slots, found = held
        if slots:
            self._release(slots)
        entries = iter(found)
        for place, amount in corrections:
            for entry in entries:
                if entry[6] is place or entry[6] == place:
                    break
            else:
                raise ValueError(
                    "a correction names no meter of its lease, or they stand in another order than in Taken"
                )
            subject = entry[0]
            at = entry[1]
            if subject[0] == DROPPED:
                if amount <= 0.0:
                    continue
                subject, at = self._again(entry[7], now)
            level = subject[at]
            as_of = subject[at + 1]
            if now > as_of:
                level = max(0.0, level - (now - as_of) * subject[at + 2])
                subject[at + 1] = now
            trail = subject[at + 3]
            if trail and level:
                if entry[5]:
                    level -= leave(trail, level, -amount if amount < 0.0 else 0.0, start)
                else:
                    lower(trail, level)  # an estimate of nothing has left no trace there
                if amount > 0.0:
                    level += amount
                if not (trail and level):
                    subject[at + 3] = ()
            else:
                if trail:
                    subject[at + 3] = ()
                if trail is None or amount > 0.0:
                    level += amount
            subject[at] = level if 0.0 <= level <= COST_MAX else min(max(0.0, level), COST_MAX)
        return True

    def hold(self, lease: int, ends_at: float) -> None:
        """See ``contracts.Store``. A lease is never shortened."""
        held = self._leases.get(lease)
        if held is not None and ends_at > held[0]:
            self._leases[lease] = (ends_at, *held[1:])

    def forget(self, subject: str) -> int:
        """See ``contracts.Store``. Slots in use come back when their answers end."""
        return sum(table.forget(subject) for table in self._tables.values())

    # -- over a restart --------------------------------------------------------------------------------------------

    def pieces(self) -> Iterator[dict[str, Any]]:
        """All meters (no slots: their answers end with the process) as plain data, piece by piece, about 1 ms each."""
        return pieces(list(self._tables.values()), self._layouts)

    def restore(self, piece: dict[str, Any], now: float) -> int:
        """Takes up one piece of ``pieces``; how many subjects. Raises ``StateError`` for what is none."""
        try:
            name = str(piece["table"])
            guarded = name.removesuffix("?")
            tables = self._strangers if name.endswith("?") else self._known
            table = tables[guarded] if guarded in tables else self._open(guarded, name.endswith("?"))
            return restore_piece(piece, table, self._layouts, now)
        except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
            raise StateError(
                f"the limits kept are none of this store's ({type(error).__name__}); to start with empty ones, move the "
                "files in state_dir away"
            ) from error

    def counts(self) -> dict[str, int]:
        """What is held, in numbers, for the operator: subjects of each kind, leases, slots in use, overflows."""
        subjects = {f"subjects_{table.name or 'joint'}": len(table.subjects) for table in self._tables.values()}
        return {
            **subjects,
            "leases": len(self._leases),
            "slots_in_use": int(sum(self._in_use.values())),
            "overflowed": self.overflowed,
        }

    # -- inside ----------------------------------------------------------------------------------------------------

    def _open(self, guarded: str, provisional: bool) -> Table:
        """The table of a kind of subject, made at its first use."""
        if not guarded or guarded == _OVERFLOW:
            bound = 0
        elif provisional:
            bound = _PROVISIONAL
        else:
            bound = self._max_accounts if set(guarded.split("/")) - {"model", "region"} else _NAMES
        table = Table(guarded + "?" if provisional else guarded, bound)
        (self._strangers if provisional else self._known)[guarded] = table
        self._tables[table.name] = table
        return table

    def _enrol(  # noqa: PLR0917
        self, table: Table, meter: Meter, shard: int, provisional: bool, book: bool, now: float
    ) -> tuple[Subject, Meter]:
        """Where a subject without a record is booked: in a new one, in one thrown away (nothing will be), or in overflow."""
        subject: Subject
        if table.has_room(now):
            subject = [0]
            if book:
                table.add(meter[3], subject)
            return subject, meter
        self.overflowed += 1
        tables = self._strangers if provisional else self._known
        table = tables[_OVERFLOW] if _OVERFLOW in tables else self._open(_OVERFLOW, provisional)
        name = f"{_OVERFLOW}/{shard}"
        subject = table.subjects.get(name, [])
        if not subject:
            subject.append(0)
            table.add(name, subject)
        return subject, (*meter[:3], name)

    def _again(self, charge: Charge, now: float) -> tuple[Subject, int]:
        """A meter of a subject that drained and was dropped while its answer ran, which came out dearer than estimated."""
        table = (self._strangers if charge.provisional else self._known)[charge.guarded]
        meter = charge.meter
        subject = table.subjects.get(meter[3])
        if subject is None:
            subject, meter = self._enrol(table, meter, charge.shard, charge.provisional, True, now)
        at = self._layouts.places[subject[0]].get(meter[:3])
        return subject, at or self._layouts.widen(subject, meter[:3], charge.rate_per_s, now)

    def _slots_lacking(
        self, wanted: Sequence[Charge], lacking: list[int], refused: int, longest_s: float, first: int
    ) -> tuple[int, float]:
        """Which slot, if any, is a reason to refuse that takes longer to clear than what was found so far."""
        for number, slot in enumerate(wanted, first):
            if self._in_use.get(slot.meter, 0) + slot.cost > slot.capacity:
                if slot.shadow:
                    lacking.append(number)
                elif longest_s < _SLOT_WAIT_S:
                    refused, longest_s = number, _SLOT_WAIT_S
        return refused, longest_s

    def _expire(self, now: float) -> None:
        """Ends the leases on slots whose time is over."""
        while self._ends and self._ends[0][0] <= now:
            _, lease = heappop(self._ends)
            held = self._leases.get(lease)
            if held is None:
                continue
            if held[0] > now:
                heappush(self._ends, (held[0], lease))
            else:
                del self._leases[lease]
                self._release(held[2])

    def _sweep(self, now: float) -> None:
        """Ends every lease whose time is over, also those without slots, and forgets ends that mean nothing any more."""
        self._expire(now)
        self._leases = {lease: held for lease, held in self._leases.items() if held[0] > now}
        self._ends = [(held[0], lease) for lease, held in self._leases.items() if held[2]]
        heapify(self._ends)
        self._sweep_at = 2 * len(self._leases) + _SWEEP

    def _release(self, slots: tuple[Place, ...]) -> None:
        for meter in slots:
            left = self._in_use[meter] - 1
            if left:
                self._in_use[meter] = left
            else:
                del self._in_use[meter]


PLUGIN = MemoryStore
