"""One exchange's bills by record: what each record is asked, what all of them said, and what is to be corrected in each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from guard.charges import UNITS, Bill, Spent, Taken
from guard.remote.batch import Answer, Call
from guard.remote.link import Trouble
from guard.remote.names import rest
from guard.remote.shadow import Shadow
from guard.remote.wire import Correction, Form, Forms, Outcome, asked

Corrections = Spent | Sequence[tuple[tuple[str, ...], float]]
_made = tuple.__new__


class Part:
    """The bills of one record. ``numbers`` are their places among the exchange's."""

    __slots__ = ("bills", "blob", "call", "count", "forms", "numbers", "outcome", "start", "token", "waiting", "whose")

    def __init__(  # noqa: PLR0917 - all of one call
        self,
        whose: str,
        bills: Sequence[Bill],
        numbers: Sequence[int],
        forms: Sequence[Form],
        token: bytes,
        blob: bytes,
    ) -> None:
        self.whose = whose
        self.bills = bills
        self.numbers = numbers
        self.forms = forms
        self.token = token
        self.blob = blob
        self.count = sum([len(form[1]) + len(form[2]) for form in forms])
        self.call: Call = Call("", b"", 0)
        self.waiting: asyncio.Future[Any] | None = None
        self.outcome: Outcome | None = None
        self.start = 0.0

    @property
    def mark(self) -> bytes:
        """Of the record that the store booked in."""
        return self.outcome.mark if self.outcome is not None else bytes(8)

    def heard(self, answer: Answer) -> None:
        """What the store said."""
        if not isinstance(answer, Trouble):
            self.outcome, self.start = answer

    @property
    def given(self) -> bool:
        """Whether the store has booked it."""
        return self.outcome is not None and self.outcome.refused < 0

    def hear(self, after: Callable[[Part, Answer], None]) -> None:
        """Nobody waits for the answer any more: ``after`` is told, at once if it is there."""
        self.call.after(partial(after, self))

    def saw(self, shadow: Shadow, now: float) -> None:
        """Keeps what was seen in the store."""
        outcome = self.outcome
        if outcome is None:
            return
        levels, at = outcome.levels, 0
        for bill in self.bills:
            many = len(bill[0].meters)
            shadow.saw(bill, levels[at : at + many], outcome.touched, outcome.hits, now, self.given, outcome.lost_at)
            at += many


class Held:
    """What one lease stands for: parts in the store and a ticket for what is shared, or a lease of this process (``local``).
    ``counted`` is the shadow's number for slots of the store."""

    __slots__ = ("bills", "counted", "local", "parts", "ticket")

    def __init__(
        self, bills: tuple[Bill, ...], parts: tuple[Part, ...] = (), local: int = 0, counted: int = 0, ticket: int = 0
    ) -> None:
        self.bills = bills
        self.parts = parts
        self.local = local
        self.counted = counted
        self.ticket = ticket

    def check(self, corrections: Corrections) -> None:
        """Raises ``ValueError`` for corrections that name what this lease has not booked."""
        if isinstance(corrections, Spent):
            return
        booked = {(*meter[:3], bill[1]) for bill in self.bills for meter in bill[0].meters}
        if not {place for place, _ in corrections} <= booked:
            raise ValueError("a correction names no meter of its lease")

    def spent(self, corrections: Corrections) -> Spent:
        """Corrections as a shadow knows them. Of lone charges, which no exchange makes, the first counts for all of its unit."""
        if isinstance(corrections, Spent):
            return corrections
        amounts = dict(corrections)
        spent = list(self.bills[0].costs)
        for bill in reversed(self.bills):
            for meter in bill.tariff.meters:
                amount = amounts.get((*meter[:3], bill.subject), 0.0)
                for place in range(len(UNITS)):
                    spent[place] = bill.costs[place] + amount
        return Spent(*spent)


def part(  # noqa: PLR0917 - all of one call
    whose: str,
    bills: Sequence[Bill],
    numbers: Sequence[int],
    forms: Forms,
    shadow: Shadow,
    now: float,
    lease_s: float,
    token: bytes,
) -> Part:
    """The part of one record, ready to be sent."""
    packed = []
    for bill in bills:
        within = rest(bill[0].kind, bill[1])
        packed.append(forms.within(bill[0], within) if within else forms[bill[0]])
    seen_at, bases = shadow.seen(bills, now)
    blob = asked(bills, packed, bases if seen_at else (), seen_at, lease_s, token)
    return Part(whose, bills, numbers, packed, token, blob)


def merged(bills: Sequence[Bill], said: Sequence[tuple[Sequence[int], Outcome]]) -> Taken:
    """What several say together, each of the bills of some numbers; charges are numbered as all bills stand."""
    if len(said) == 1:
        outcome = said[0][1]
        return _made(Taken, (outcome[0], outcome[1], outcome[6], (), outcome[7]))
    firsts, slots_from = [], 0
    for bill in bills:
        firsts.append(slots_from)
        slots_from += len(bill[0].meters)
    slots_at = []
    for bill in bills:
        slots_at.append(slots_from)
        slots_from += len(bill[0].slots)
    levels = [0.0] * slots_from
    refused, longest_s = -1, -1.0
    lacking: list[int] = []
    for numbers, outcome in said:
        places = [firsts[number] + n for number in numbers for n in range(len(bills[number][0].meters))]
        places += [slots_at[number] + n for number in numbers for n in range(len(bills[number][0].slots))]
        for place, level in zip(places, outcome.levels, strict=True):
            levels[place] = level
        lacking += [places[number] for number in outcome.lacking]
        if outcome.refused >= 0 and outcome.wait_s > longest_s:
            refused, longest_s = places[outcome.refused], outcome.wait_s
    return Taken(refused, max(0.0, longest_s), tuple(levels), (), tuple(sorted(lacking)))


def rows(one: Part, corrections: Corrections) -> tuple[list[Correction], list[bytes]]:
    """What ends a lease in one record: the meters to be corrected, and the slots that come back."""
    spared = _spared(one)
    amounts = None if isinstance(corrections, Spent) else dict(corrections)
    found: list[Correction] = []
    slots: list[bytes] = []
    for (tariff, subject, costs, factor, _), form in zip(one.bills, one.forms, strict=True):
        if not tariff.book:
            continue
        for (limit, unit, ordinal, _, rate, place, _), fields in zip(tariff.meters, form.fields, strict=True):
            if limit in spared:
                continue
            cost = costs[place]
            if amounts is None:
                amount = corrections[place] - cost  # type: ignore[operator]
            else:
                amount = amounts.get((limit, unit, ordinal, subject), 0.0)
            if amount or (place and cost):
                found.append(_made(Correction, (*fields, cost, amount, rate * factor, place > 0)))
        if form.slots:
            slots += [field for field, slot in zip(form.slots, tariff.slots, strict=True) if slot.limit not in spared]
    return found, slots


def _spared(one: Part) -> frozenset[str]:
    """The limits in shadow of which nothing was taken."""
    outcome = one.outcome
    if outcome is None or not outcome.lacking:
        return frozenset()
    limits = [meter.limit for bill in one.bills for meter in bill.tariff.meters]
    limits += [slot.limit for bill in one.bills for slot in bill.tariff.slots]
    return frozenset([limits[number] for number in outcome.lacking])


__all__ = ["Held", "Part", "merged", "part", "rows"]
