"""The memory store: one process, nothing to install, every verb a plain function body and therefore atomic.

A meter drains at the rate of its last touch, so that a later change of f or of the policy never rewrites the past. Subjects
of which clients can make up as many as they like live in tables of bounded size. Where such a table is full of subjects
that are not drained, a newcomer is charged to one of 256 overflow meters by its network: it is served as long as its
neighbourhood is quiet, and nobody is washed clean to make room for it.

The way of a request touches, for each bill, one record and as many of its numbers as the bill has meters; whatever is rare
(a refusal, a newcomer, an answer that overlaps others) is worked out again beside it, exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import inf
from typing import Any, ClassVar

from guard.cells import Cell, Subject, amend, note, scaled, shared
from guard.charges import CONCURRENT, Bill, Charge, Slots, Spent, Taken, as_bills, slots_at
from guard.errors import StateError
from guard.leases import Leases, Slot
from guard.meters import SLACK, enter, wait_s
from guard.settings import State
from guard.subjects import DROPPED, Tables, pieces, restore_piece

Place = tuple[str, ...]
# A bill, the record it is charged to, its cells there, and those of them that will be settled.
Found = tuple[Bill, Subject, tuple[Cell, ...], tuple[Cell, ...]]
# A slot that is taken comes back when an answer ends, which nobody knows.
_SLOT_WAIT_S = 1.0
_ROOM = 1.0 + SLACK
_NOTHING = Taken(-1, 0.0, (), ())
# Makes a named tuple of a tuple, without the two calls that its constructor costs.
_made = tuple.__new__


class MemoryStore:
    """See the module. ``state.max_accounts`` bounds the subjects of each kind; models and regions have 4,096 places."""

    name: ClassVar[str] = "memory"
    schemes: ClassVar[tuple[str, ...]] = ("memory",)

    def __init__(self, state: State = State()) -> None:  # noqa: B008 - a frozen value
        self._tables = Tables(state.max_accounts)
        self._layouts = self._tables.layouts
        self._leases = Leases()

    @property
    def overflowed(self) -> int:
        """How many charges found no room in their table and went to an overflow meter."""
        return self._tables.overflowed

    # -- the verbs -------------------------------------------------------------------------------------------------

    def take(self, charges: Sequence[Bill] | Sequence[Charge], slots: Slots, now: float) -> tuple[Taken, int]:
        """See ``contracts.Store``. What has drained is written down at once; nothing is charged before all has been found
        to fit."""
        leases, tables, rows = self._leases, self._tables, self._layouts.rows
        if now >= leases.next_end:
            leases.expire(now)
        in_use = leases.in_use
        lone = not charges or isinstance(charges[0], Charge)
        bills: Sequence[Any] = as_bills(charges, slots.wanted) if lone else charges
        found: list[Found] = []
        held: list[Slot] = []
        counts: list[float] = []
        fits = True
        for bill in bills:
            tariff, name, costs, factor, _ = bill
            if tariff.meters:
                subject = tables[tariff.kind].get(name)
                if subject is None:
                    bill, subject = tables.enrol(bill, now)
                cells, estimates, _ = rows[subject[0]].get(tariff) or self._layouts.row(subject, bill, now)
                if factor != 1.0:
                    cells = scaled(cells, factor)
                if bill[1] is not name:
                    cells = shared(cells, subject, now)
                for at, as_of_at, rate_at, _, place, room, rate in cells:
                    level = subject[at]
                    passed = now - subject[as_of_at]
                    if passed > 0.0:
                        level -= passed * subject[rate_at]
                        if level < 0.0:  # noqa: PLR1730 - the call of max() costs more than all the rest
                            level = 0.0
                        subject[at] = level
                        subject[as_of_at] = now
                    subject[rate_at] = rate
                    if not level + costs[place] <= room:
                        fits = False
                found.append((bill, subject, cells, estimates))
            for limit, most, _ in tariff.slots:
                slot: Slot = (limit, CONCURRENT, "0", name)
                used = in_use.get(slot, 0)
                if used + 1 > (most if factor == 1.0 else slots_at(most, factor)):
                    fits = False
                if tariff.book:
                    held.append(slot)
                    used += 1
                counts.append(used)
        asked = found
        lacking: tuple[int, ...] = ()
        if not fits:
            refused, wait_s, lacking = _lacking(found, bills, in_use)
            if refused >= 0:
                return Taken(refused, wait_s, _levels(found, bills, in_use), (), lacking), 0
            if lacking:
                found, held = self._spared(found, bills, held, lacking, now)
        elif not bills:
            return _NOTHING, 0
        for _, subject, cells, estimates in found if lone else ():
            if not estimates:
                note(subject, cells)
        levels: list[float] = []
        for bill, subject, cells, _ in found:
            if not bill[0].book:
                levels += [subject[cell[0]] for cell in cells]
                continue
            costs = bill[2]
            for at, as_of_at, _, trail_at, place, _, _ in cells:
                cost = costs[place]
                level = subject[at]
                after = level + cost
                if trail_at and cost:
                    trail = subject[trail_at]
                    if not (trail and level):
                        subject[trail_at] = (subject[as_of_at],)
                    else:
                        if len(trail) == 1:
                            trail = subject[trail_at] = [trail[0], level, 1]
                        enter(trail, level, after, subject[as_of_at])
                subject[at] = after
                levels.append(after)
        lease = leases.open(slots.ends_at, now, held, found)
        left = _levels(asked, bills, in_use) if lacking else (*levels, *counts)
        places = _places(asked) if lone else ()
        return _made(Taken, (-1, 0.0, left, places, lacking)), lease

    def settle(self, corrections: Spent | Sequence[tuple[Place, float]], lease: int, now: float) -> bool:
        """See ``contracts.Store``."""
        held = self._leases.close(lease)
        if held is None:
            return False
        _, start, _, found = held
        if not isinstance(corrections, Spent):
            self._settle_places(corrections, found, start, now)
            return True
        for bill, subject, cells, estimates in found:
            tariff, _, costs, _, _ = bill
            if subject[0] == DROPPED:
                for number, meter in enumerate(tariff.meters if tariff.book else ()):
                    self._charge_again(bill, number, corrections[meter.place] - costs[meter.place], now)
                continue
            # Requests are no estimates, so that mostly they are what they were.
            for cell in cells if corrections[0] != costs[0] and tariff.book else estimates:
                place = cell[4]
                amend(subject, cell, costs[place], corrections[place] - costs[place], start, now)
        return True

    def hold(self, lease: int, ends_at: float) -> None:
        """See ``contracts.Store``. A lease is never shortened."""
        self._leases.hold(lease, ends_at)

    def forget(self, subject: str) -> int:
        """See ``contracts.Store``. Slots in use come back when their answers end."""
        return sum(table.forget(subject) for table in self._tables.tables.values())

    def carry(self, former: str, subject: str) -> None:
        """See ``contracts.Carrying``."""
        for table in self._tables.tables.values():
            table.carry(former, subject)

    # -- over a restart --------------------------------------------------------------------------------------------

    def pieces(self) -> Iterator[dict[str, Any]]:
        """All meters (no slots: their answers end with the process) as plain data, piece by piece, about 1 ms each."""
        return pieces(list(self._tables.tables.values()), self._layouts)

    def restore(self, piece: dict[str, Any], now: float) -> int:
        """Takes up one piece of ``pieces``; how many subjects. Raises ``StateError`` for what is none."""
        try:
            return restore_piece(piece, self._tables.table(str(piece["table"])), self._layouts, now)
        except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
            raise StateError(
                f"the limits kept are none of this store's ({type(error).__name__}); to start with empty ones, move the "
                "files in state_dir away"
            ) from error

    def counts(self) -> dict[str, int]:
        """What is held, in numbers, for the operator: subjects of each kind, leases, slots in use, overflows."""
        tables = self._tables.tables.values()
        return {
            **{f"subjects_{table.name or 'joint'}": len(table.subjects) for table in tables},
            "leases": len(self._leases.under_way),
            "slots_in_use": sum(self._leases.in_use.values()),
            "overflowed": self.overflowed,
        }

    # -- what is rare ------------------------------------------------------------------------------------------------

    def _spared(
        self, found: list[Found], bills: Sequence[Bill], held: list[Slot], lacking: tuple[int, ...], now: float
    ) -> tuple[list[Found], list[Slot]]:
        """What is taken where some limits in shadow lack room: of these nothing, and of all others everything."""
        limits = [meter.limit for bill, _, _, _ in found for meter in bill.tariff.meters]
        limits += [slots.limit for bill in bills for slots in bill.tariff.slots]
        spared = {limits[number] for number in lacking}
        booked: list[Found] = []
        for bill, subject, _, _ in found:
            meters = tuple([meter for meter in bill.tariff.meters if meter.limit not in spared])
            if meters:
                kept = bill._replace(tariff=replace(bill.tariff, meters=meters, kept=False))
                cells, estimates, _ = self._layouts.row(subject, kept, now)
                booked.append((kept, subject, cells, estimates))
        return booked, [slot for slot in held if slot[0] not in spared]

    def _settle_places(
        self, corrections: Sequence[tuple[Place, float]], found: list[Found], start: float, now: float
    ) -> None:
        """Corrects what lone charges have booked, each of which is a bill of one meter."""
        booked = iter(found)
        for place, amount in corrections:
            one = next((one for one in booked if _places([one])[0] == place), None)
            if one is None:
                raise ValueError(
                    "a correction names no meter of its lease, or they stand in another order than in Taken"
                )
            bill, subject, cells, _ = one
            if subject[0] == DROPPED:
                self._charge_again(bill, 0, amount, now)
            else:
                amend(subject, cells[0], bill.costs[0], amount, start, now)

    def _charge_again(self, bill: Bill, number: int, amount: float, now: float) -> None:
        """One meter of a subject that drained and was dropped while its answer ran, which came out dearer than estimated."""
        if amount <= 0.0:
            return
        subject = self._tables[bill.tariff.kind].get(bill.subject)
        if subject is None:
            bill, subject = self._tables.enrol(bill, now)
        cell = self._layouts.row(subject, bill, now).cells[number]
        amend(subject, cell, 0.0, amount, now, now)


def _lacking(found: list[Found], bills: Sequence[Bill], in_use: dict[Slot, int]) -> tuple[int, float, tuple[int, ...]]:
    """The number of the charge that refuses and clears last (−1: none does), its wait, and the numbers of those in shadow
    that would."""
    refused, longest_s = -1, -1.0
    lacking = []
    number = 0
    for (tariff, _, costs, factor, _), subject, cells, _ in found:
        for (_, _, _, amount, rate, place, shadow), cell in zip(tariff.meters, cells, strict=True):
            level, cost, capacity = subject[cell[0]], costs[place], amount * factor
            room = capacity if capacity >= cost else cost
            if not level + cost <= room * _ROOM or cost == inf or not capacity > 0.0:
                wait = wait_s(level, cost, capacity, rate * factor)
                if shadow:
                    lacking.append(number)
                elif wait > longest_s:
                    refused, longest_s = number, wait
            number += 1
    for tariff, name, _, factor, _ in bills:
        for limit, most, shadow in tariff.slots:
            if in_use.get((limit, CONCURRENT, "0", name), 0) + 1 > (most if factor == 1.0 else slots_at(most, factor)):
                if shadow:
                    lacking.append(number)
                elif longest_s < _SLOT_WAIT_S:
                    refused, longest_s = number, _SLOT_WAIT_S
            number += 1
    return refused, longest_s, tuple(lacking)


def _levels(found: list[Found], bills: Sequence[Bill], in_use: dict[Slot, int]) -> tuple[float, ...]:
    levels = [subject[cell[0]] for _, subject, cells, _ in found for cell in cells]
    slots = [(limit.limit, CONCURRENT, "0", bill.subject) for bill in bills for limit in bill.tariff.slots]
    return (*levels, *[in_use.get(slot, 0) for slot in slots])


def _places(found: list[Found]) -> tuple[Place, ...]:
    """Where each charge was booked."""
    return tuple([(*meter[:3], bill.subject) for bill, _, _, _ in found for meter in bill.tariff.meters])


PLUGIN = MemoryStore
