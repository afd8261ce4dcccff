"""Ends leases in the store: with what an exchange came to, or because nothing came of it. Also those that nobody waits for any more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from guard.charges import Slots, Spent
from guard.leases import Leases
from guard.meters import COST_MAX
from guard.remote import wire
from guard.remote.batch import Answer
from guard.remote.parts import Corrections, Held, Part, rows
from guard.remote.settling import Ending, Settling
from guard.remote.shadow import Shadow

_NOTHING_SPENT = Spent(0.0, 0.0, 0.0)
_UNBOUNDED = 2.0 * COST_MAX


class Endings:
    """``leases`` are those of the store, each a ``Held``."""

    def __init__(self, settling: Settling, shadow: Shadow, leases: Leases, now: Callable[[], float]) -> None:
        self._settling = settling
        self._shadow = shadow
        self._leases = leases
        self._now = now

    def end(self, one: Part, corrections: Corrections, now: float) -> None:
        """Sends what ends a lease in one record. Not known to be done, what came out dearer is owed again."""
        amounts, slots = rows(one, corrections)
        if not amounts and not slots:
            return
        blob = wire.settled(one.mark, one.token, one.start, amounts, slots)
        again = wire.settled(one.mark, one.token, one.start, (), slots) if slots else None
        dearer = isinstance(corrections, Spent) and any([row.amount > 0.0 for row in amounts])
        owe = (lambda: self._owe(one, corrections, now)) if dearer else None
        self._settling.put(Ending(one.call.key, blob, again, owe))

    def _owe(self, one: Part, spent: Any, now: float) -> None:
        for bill in one.bills:
            if bill.tariff.book and bill.tariff.meters:
                most = tuple([meter._replace(amount=_UNBOUNDED, shadow=False) for meter in bill.tariff.meters])
                more = tuple([max(0.0, each - cost) for each, cost in zip(spent, bill.costs, strict=True)])
                late = replace(bill.tariff, meters=most, slots=(), kept=False, shut=frozenset())
                _, lease = self._shadow.take([bill._replace(tariff=late, costs=more)], Slots((), now + 1.0), now)
                self._shadow.settle(Spent(*more), lease, now)

    def give_back(self, parts: Sequence[Part], now: float) -> None:
        """Nobody waits any more: what the store gives, or has given, it gets back."""

        def after(one: Part, answer: Answer) -> None:
            one.heard(answer)
            one.saw(self._shadow, now)
            if one.given:
                self.end(one, _NOTHING_SPENT, now)

        for one in parts:
            one.hear(after)

    def correct(self, parts: Sequence[Part], lease: int) -> None:
        """It was decided here, and the store may say something after all. Where every record has booked it, it is not owed."""
        missing = len(parts)

        def after(one: Part, answer: Answer) -> None:
            nonlocal missing
            missing -= 1
            now = self._now()
            one.heard(answer)
            one.saw(self._shadow, now)
            if missing:
                return
            found = self._leases.under_way.get(lease)
            if found is not None and all([each.given for each in parts]):
                held: Held = found[3][0]
                self._shadow.confirmed(held.local, now)
                held.local, held.parts = 0, tuple(parts)
                return
            for each in parts:
                if each.given:
                    self.end(each, _NOTHING_SPENT, now)

        for one in parts:
            one.hear(after)


__all__ = ["Endings"]
