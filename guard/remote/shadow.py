"""Fail-static: while the store doesn't answer, a replica goes on from what it last saw, with its share of the room.

A limit of B with the level L in the store is a limit of B·s with the level L·s here, and drains at its rate times s; s is this
replica's share of the account's exchanges (``views.py``). All replicas together then admit what the store would have, and
nobody gets a fresh budget: neither when the store goes nor when it is back, for what was admitted meanwhile is owed
(``debts.py``). A limit leaves room for one request on an empty meter, here as there, so that each replica may be one request
above its share.

The meters here are a store's of one process; nothing of this file does I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from guard.charges import Bill, Slots, Spent, Taken
from guard.contracts import Store
from guard.remote.debts import Debt, Owed
from guard.remote.hearsay import Hearsay
from guard.remote.owing import Owing
from guard.remote.statics import limits_of, static_of
from guard.remote.tariffs import PerTariff
from guard.remote.views import Seen, Views

_NOTHING = Spent(0.0, 0.0, 0.0)
# Where nothing passes until the store is back, which may be at once.
_SHUT_WAIT_S = 1.0
_SWEPT_AT = 4_096
_NO_SLOTS = Slots((), 0.0)


class _Held(NamedTuple):
    """One local lease."""

    bills: tuple[Bill, ...]
    looks: tuple[Bill, ...]
    debts: tuple[Debt | None, ...]
    ends_at: float


class Shadow:
    """``local`` is a store of this process that nobody else uses, with room for twice ``most`` accounts. ``replica`` is this
    one's name among all, ``replicas`` how many there are."""

    def __init__(self, local: Store, most: int, replica: str, replicas: int = 1) -> None:
        self.replicas = max(1, replicas)
        self.views = Views(most)
        self.saw = self.views.saw
        """After every reply, for each bill."""
        self._local = local
        self.hearsay = Hearsay(self.views)
        self._debts = Owing(local, self.views, self.hearsay, most, replica)
        # When the store is back: see ``Owing``.
        self.owed, self.paid = self._debts.owed, self._debts.paid
        self.recall, self.owing = self._debts.recall, self._debts.owing
        self._under_way: dict[int, _Held] = {}
        self._swept_at = _SWEPT_AT
        self._statics = PerTariff(static_of)

    # -- while the store answers -----------------------------------------------------------------------------------

    def seen(self, bills: Bill | Sequence[Bill], now: float) -> Seen:
        """Goes with every call: all bills of one account."""
        if isinstance(bills, Bill):
            bills = (bills,)
        return self.views.seen(bills, now)

    def opened(self, bills: Sequence[Bill], ends_at: float, now: float) -> int:
        """Counts the slots that the store has given for an exchange, so that they count here too if it goes away: a number
        for ``closed``, 0 where the bills name none. Never refuses."""
        held = []
        for bill in bills:
            if bill[0].slots and bill[0].book:
                slots = self._statics.of(bill[0]).slots
                if slots is not None:
                    held.append(bill._replace(tariff=slots, costs=(0.0, 0.0, 0.0), factor=1.0))
        return self._local.take(held, Slots((), ends_at), now)[1] if held else 0

    def closed(self, number: int, now: float) -> None:
        """That exchange has ended."""
        if number:
            self._local.settle(_NOTHING, number, now)

    # -- while it doesn't ------------------------------------------------------------------------------------------

    def take(self, bills: Sequence[Bill], slots: Slots, now: float) -> tuple[Taken, int]:
        """As ``Store.take``, for bills only: all or nothing, from this replica's share."""
        asked: list[Bill] = []
        debts: list[Debt | None] = []
        shut = False
        for bill in bills:
            tariff, _, _, factor, _ = bill
            static = self._statics.of(tariff)
            shut = shut or static.shut_meter >= 0 or static.shut_slot >= 0
            if tariff.kind.endswith("?"):
                debts.append(None)
                share = 1.0 / self.replicas
            else:
                debt = self._debts.of(bill, self.replicas, now)
                debts.append(debt)
                share = debt.share
            asked.append(bill._replace(tariff=static.tariff, factor=factor * share))
        if shut:
            return self._refused(bills, now), 0
        taken, lease = self._local.take(asked, slots, now)
        if lease:
            self._booked(bills, asked, debts, taken, lease, slots.ends_at, now)
        return taken._replace(levels=_whole(taken.levels, bills, asked)), lease

    def settle(self, corrections: Spent, lease: int, now: float) -> bool:
        """As ``Store.settle``, of a lease that was taken here. What was paid to the store meanwhile is owed or given back."""
        held = self._under_way.pop(lease, None)
        if held is None:
            return self._local.settle(corrections, lease, now)
        before = self._levels(held.looks, now)
        settled = self._local.settle(corrections, lease, now)
        after = self._levels(held.looks, now)
        number = 0
        for bill, debt in zip(held.bills, held.debts, strict=True):
            for meter in bill.tariff.meters:
                change = after[number] - before[number]
                number += 1
                if debt is not None and change and bill.tariff.book:
                    debt.add((*meter[:3], bill.subject), change)
                    self._debts.owe(bill, debt)
            if debt is not None:
                debt.leases -= 1
        return settled

    def hold(self, lease: int, ends_at: float) -> None:
        """As ``Store.hold``, also for a number of ``opened``."""
        held = self._under_way.get(lease)
        if held is not None and ends_at > held.ends_at:
            self._under_way[lease] = held._replace(ends_at=ends_at)
        self._local.hold(lease, ends_at)

    def confirmed(self, lease: int, now: float) -> None:
        """The store did book what a local lease stands for (its reply came after the deadline): it is not owed. The local
        lease has ended; the exchange goes on under the store's."""
        held = self._under_way.pop(lease, None)
        if held is None:
            return
        for bill, debt in zip(held.bills, held.debts, strict=True):
            if debt is not None and bill.tariff.book:
                for meter in bill.tariff.meters:
                    debt.add((*meter[:3], bill.subject), -bill.costs[meter.place])
                self._debts.owe(bill, debt)
                debt.leases -= 1
        self._local.settle(Spent(*held.bills[0].costs), lease, now)

    def forget(self, subject: str) -> int:
        """Erases what is known of an account; the number of local meters erased."""
        self.views.forget(subject)
        self.hearsay.forget(subject)
        self._debts.forget(subject)
        return self._local.forget(subject)

    def counts(self) -> dict[str, int]:
        """For the operator."""
        return {
            "accounts_seen": len(self.views),
            "accounts_owing": len(self._debts),
            "local_leases": len(self._under_way),
        }

    # -- parts -----------------------------------------------------------------------------------------------------

    def _booked(  # noqa: PLR0917 - all of one take
        self,
        bills: Sequence[Bill],
        asked: Sequence[Bill],
        debts: Sequence[Debt | None],
        taken: Taken,
        lease: int,
        ends_at: float,
        now: float,
    ) -> None:
        spared = set(limits_of(bills, taken.shadow)) if taken.shadow else ()
        looks = []
        kept = []
        for bill, local, debt in zip(bills, asked, debts, strict=True):
            if spared:
                meters = tuple([meter for meter in bill.tariff.meters if meter.limit not in spared])
                bill = bill._replace(tariff=replace(bill.tariff, meters=meters, kept=False))
                looks.append(local._replace(tariff=replace(bill.tariff, book=False, slots=(), kept=False)))
            else:
                looks.append(local._replace(tariff=self._statics.of(bill.tariff).look))
            kept.append(bill)
            if debt is None:
                continue
            debt.leases += 1
            if bill.tariff.book and bill.tariff.meters:
                for meter in bill.tariff.meters:
                    debt.add((*meter[:3], bill.subject), bill.costs[meter.place])
                self._debts.owe(bill, debt)
        self._under_way[lease] = _Held(tuple(kept), tuple(looks), tuple(debts), ends_at)
        if len(self._under_way) > self._swept_at:
            # What was lost on its way ended by itself.
            self._under_way = {number: held for number, held in self._under_way.items() if held.ends_at > now}
            self._swept_at = max(_SWEPT_AT, 2 * len(self._under_way))

    def _levels(self, looks: Sequence[Bill], now: float) -> tuple[float, ...]:
        return self._local.take(looks, _NO_SLOTS, now)[0].levels

    def _refused(self, bills: Sequence[Bill], now: float) -> Taken:
        """A limit of some bill lets nothing pass now."""
        looks = []
        meters = sum(len(bill.tariff.meters) for bill in bills)
        refused, meter, slot = -1, 0, meters
        for bill in bills:
            static = self._statics.of(bill.tariff)
            if refused < 0 and static.shut_meter >= 0:
                refused = meter + static.shut_meter
            if refused < 0 and static.shut_slot >= 0:
                refused = slot + static.shut_slot
            meter += len(bill.tariff.meters)
            slot += len(bill.tariff.slots)
            looks.append(bill._replace(tariff=static.look))
        levels = self._levels(looks, now) + (0.0,) * (slot - meters)
        return Taken(refused, _SHUT_WAIT_S, levels, ())


def _whole(levels: Sequence[float], bills: Sequence[Bill], asked: Sequence[Bill]) -> tuple[float, ...]:
    """What the levels of a share would be of the whole; of slots this replica's stand as they are."""
    shares = [local.factor / bill.factor for bill, local in zip(bills, asked, strict=True) for _ in bill.tariff.meters]
    return (*[level / share for level, share in zip(levels, shares, strict=False)], *levels[len(shares) :])


__all__ = ["Owed", "Seen", "Shadow"]
