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

from guard.charges import CONCURRENT, Bill, Charge, Metered, Slots, Spent, Taken, Tariff, slots_at
from guard.errors import StateError
from guard.leases import Leases, Slot
from guard.meters import COST_MAX, SLACK, corrected, drained, enter, noted, wait_s
from guard.settings import State
from guard.subjects import DROPPED, Cell, Subject, Tables, pieces, restore_piece

Place = tuple[str, ...]
# A bill, the record it is charged to, its cells there, and those of them that will be settled.
Found = tuple[Bill, Subject, Sequence[Cell], Sequence[Cell]]
# A concurrency slot that is asked for, how many are in use, how many there are, whether in shadow, whether it is taken.
Wish = tuple[Slot, float, float, bool, bool]
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

    def take(self, charges: Sequence[Bill | Charge], slots: Slots, now: float) -> tuple[Taken, int]:
        """See ``contracts.Store``. What has drained is written down at once; nothing is charged before all has been found
        to fit."""
        leases, tables, rows = self._leases, self._tables, self._layouts.rows
        if now >= leases.next_end:
            leases.expire(now)
        in_use = leases.in_use
        found: list[Found] = []
        wishes: list[Wish] = []
        places: list[Place] = []
        fits = True
        for charge in charges:
            alone = isinstance(charge, Charge)
            bill = _billed(charge) if isinstance(charge, Charge) else charge
            tariff, name, costs, factor, _ = bill
            if tariff.meters:
                subject = tables[tariff.kind].get(name)
                if subject is None:
                    bill, subject = tables.enrol(bill, now)
                row = rows[subject[0]].get(tariff) or self._layouts.row(subject, bill, now)
                cells: Sequence[Cell] = row[0]
                if factor != 1.0:
                    cells = _scaled(cells, factor)
                if bill[1] != name:
                    cells = _shared(cells, subject, now)
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
                found.append((bill, subject, cells, row[1]))
                if alone:
                    places.append((*tariff.meters[0][:3], bill[1]))
                    if not row[1]:
                        _note(subject, cells[0][0])
            for limit, most, shadow in tariff.slots:
                slot: Slot = (limit, CONCURRENT, "0", name)
                used: float = in_use.get(slot, 0)
                room = most if factor == 1.0 else slots_at(most, factor)
                if used >= room:
                    fits = False
                wishes.append((slot, used, room, shadow, tariff.book))
        for wanted in slots.wanted:
            wishes.append((wanted.meter, in_use.get(wanted.meter, 0), wanted.capacity, wanted.shadow, wanted.book))
            fits = fits and wishes[-1][1] < wanted.capacity
        lacking: tuple[int, ...] = ()
        asked = found
        if not fits:
            refused, wait, lacking = _lacking(found, wishes)
            if refused >= 0:
                return Taken(refused, wait, _levels(found, wishes, in_use), (), lacking), 0
            found, wishes = self._spared(found, wishes, lacking, now)
        elif not found and not wishes:
            return _NOTHING, 0
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
        held: list[Slot] = []
        for slot, used, _, _, book in wishes:
            if book:
                held.append(slot)
                used += 1
            levels.append(used)
        lease = leases.open(slots.ends_at, now, held, found)
        left = _levels(asked, wishes, in_use) if lacking else tuple(levels)
        return _made(Taken, (-1, 0.0, left, tuple(places), lacking)), lease

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
                _amend(subject, cell, costs[place], corrections[place] - costs[place], start, now)
        return True

    def hold(self, lease: int, ends_at: float) -> None:
        """See ``contracts.Store``. A lease is never shortened."""
        self._leases.hold(lease, ends_at)

    def forget(self, subject: str) -> int:
        """See ``contracts.Store``. Slots in use come back when their answers end."""
        return sum(table.forget(subject) for table in self._tables.tables.values())

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
        self, found: list[Found], wishes: list[Wish], lacking: tuple[int, ...], now: float
    ) -> tuple[list[Found], list[Wish]]:
        """What is booked where some limits in shadow lack room: of these nothing, and of all others everything."""
        limits = [meter.limit for bill, _, _, _ in found for meter in bill.tariff.meters]
        limits += [slot[0] for slot, _, _, _, _ in wishes]
        spared = {limits[number] for number in lacking}
        booked: list[Found] = []
        for bill, subject, _, _ in found:
            meters = tuple([meter for meter in bill.tariff.meters if meter.limit not in spared])
            kept = bill._replace(tariff=replace(bill.tariff, meters=meters, kept=False))
            row = self._layouts.row(subject, kept, now)
            booked.append((kept, subject, row.cells, row.estimates))
        return booked, [(*wish[:4], wish[4] and wish[0][0] not in spared) for wish in wishes]

    def _settle_places(
        self, corrections: Sequence[tuple[Place, float]], found: list[Found], start: float, now: float
    ) -> None:
        entries = iter(
            [
                ((*meter[:3], bill.subject), number, bill, subject, cells[number])
                for bill, subject, cells, _ in found
                for number, meter in enumerate(bill.tariff.meters)
            ]
        )
        for place, amount in corrections:
            for booked_at, number, bill, subject, cell in entries:
                if booked_at == place:
                    break
            else:
                raise ValueError(
                    "a correction names no meter of its lease, or they stand in another order than in Taken"
                )
            if subject[0] == DROPPED:
                self._charge_again(bill, number, amount, now)
            else:
                _amend(subject, cell, bill.costs[cell[4]], amount, start, now)

    def _charge_again(self, bill: Bill, number: int, amount: float, now: float) -> None:
        """One meter of a subject that drained and was dropped while its answer ran, which came out dearer than estimated."""
        if amount <= 0.0:
            return
        subject = self._tables[bill.tariff.kind].get(bill.subject)
        if subject is None:
            bill, subject = self._tables.enrol(bill, now)
        cell = self._layouts.row(subject, bill, now).cells[number]
        _amend(subject, cell, 0.0, amount, now, now)


def _billed(charge: Charge) -> Bill:
    """The bill of one charge. A cost that is no amount never fits."""
    meter, cost, capacity, rate, shard, provisional, book, guarded, shadow, estimate = charge
    if not 0.0 <= cost <= COST_MAX:
        cost, capacity = (0.0, capacity) if cost < 0.0 else (inf, 0.0)
    limit, unit, ordinal, subject = meter
    metered = Metered(limit, unit, ordinal, capacity, rate, int(estimate), shadow)
    tariff = Tariff(f"{guarded}?" if provisional else guarded, (metered,), book=book, kept=False)
    return Bill(tariff, subject, (cost, cost, cost), 1.0, shard)


def _scaled(cells: Sequence[Cell], factor: float) -> list[Cell]:
    """The cells at that f."""
    return [
        (at, as_of_at, rate_at, trail_at, place, room * factor, rate * factor)
        for at, as_of_at, rate_at, trail_at, place, room, rate in cells
    ]


def _shared(cells: Sequence[Cell], subject: Subject, now: float) -> list[Cell]:
    """The cells in an overflow subject: what one of many sharers is allowed must not slow the others down."""
    return [
        (*cell[:6], subject[cell[2]])
        if subject[cell[2]] > cell[6] and drained(subject[cell[0]], subject[cell[1]], subject[cell[2]], now)
        else cell
        for cell in cells
    ]


def _note(subject: Subject, at: int) -> None:
    """Something that is no estimate may be added to a meter on which estimates are under way: its trail holds how low the
    level has been."""
    trail = subject[at + 3]
    if trail:
        subject[at + 3] = noted(trail, subject[at])


def _lacking(found: list[Found], wishes: list[Wish]) -> tuple[int, float, tuple[int, ...]]:
    """The number of the charge that refuses and clears last (−1: none does), its wait, and the numbers of those in shadow
    that would."""
    refused, longest_s = -1, -1.0
    lacking = []
    number = 0
    for (tariff, _, costs, factor, _), subject, cells, _ in found:
        for meter, cell in zip(tariff.meters, cells, strict=True):
            level, cost, capacity = subject[cell[0]], costs[meter.place], meter.amount * factor
            room = capacity if capacity >= cost else cost
            if not level + cost <= room * _ROOM or cost == inf or not capacity > 0.0:
                wait = wait_s(level, cost, capacity, meter.rate_per_s * factor)
                if meter.shadow:
                    lacking.append(number)
                elif wait > longest_s:
                    refused, longest_s = number, wait
            number += 1
    for _, used, most, shadow, _ in wishes:
        if used >= most:
            if shadow:
                lacking.append(number)
            elif longest_s < _SLOT_WAIT_S:
                refused, longest_s = number, _SLOT_WAIT_S
        number += 1
    return refused, longest_s, tuple(lacking)


def _levels(found: list[Found], wishes: list[Wish], in_use: dict[Slot, int]) -> tuple[float, ...]:
    levels = [subject[cell[0]] for _, subject, cells, _ in found for cell in cells]
    return (*levels, *[in_use.get(wish[0], 0) for wish in wishes])


def _amend(subject: Subject, cell: Cell, reserved: float, amount: float, start: float, now: float) -> None:
    """Corrects one meter, on which ``reserved`` was booked at ``start``, by ``amount``."""
    at, as_of_at, rate_at, trail_at, _, _, _ = cell
    level = subject[at]
    passed = now - subject[as_of_at]
    if passed > 0.0:
        level -= passed * subject[rate_at]
        if level < 0.0:  # noqa: PLR1730 - the call of max() costs more than all the rest
            level = 0.0
        subject[as_of_at] = now
    if trail_at:
        trail = subject[trail_at]
        if level and len(trail) == 1 and reserved and trail[0] <= start:
            # It was the only one, and nothing was added since: the lowest level is the present one.
            subject[trail_at] = ()
            level += amount
        else:
            subject[trail_at], level = corrected(trail, level, reserved, amount, start)
    else:
        level += amount
    subject[at] = 0.0 if level < 0.0 else level if level <= COST_MAX else COST_MAX


PLUGIN = MemoryStore
