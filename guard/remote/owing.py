"""The debts of all accounts: local meters set from what was seen, and what is to be brought home of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from math import inf

from guard.charges import Bill, Charge, Metered, Slots, Tariff
from guard.contracts import Store
from guard.meters import COST_MAX
from guard.remote.debts import Debt, Meter, Owed
from guard.remote.hearsay import Hearsay
from guard.remote.views import Views, owner

_OVERFLOW = "overflow/"
_RECALLED = 2_048
_AT_ONCE = 256
_NO_SLOTS = Slots((), 0.0)


class Owing:
    """``local`` holds the meters, ``views`` what was seen, ``hearsay`` what others saw; at most ``most`` accounts. ``replica`` makes the debts' ids."""

    def __init__(self, local: Store, views: Views, hearsay: Hearsay, most: int, replica: str) -> None:
        self._local = local
        self._views = views
        self._hearsay = hearsay
        self._most = most
        self._replica = replica
        self._outages = 0
        self._all: dict[str, Debt] = {}
        self._owing: dict[str, None] = {}

    def of(self, bill: Bill, replicas: int, now: float) -> Debt:
        """The account's, with the bill's local meters set to the share of what was last seen."""
        name = owner(bill.tariff.kind, bill.subject)
        debt = self._all.get(name)
        account = self._views.account(name)
        if debt is None:
            debt = Debt()
            while len(self._all) >= self._most:
                # More accounts at once than are kept: what the first of them owes is forgotten, its level is not.
                oldest = next(iter(self._all))
                del self._all[oldest]
                self._owing.pop(oldest, None)
            self._all[name] = debt
            debt.share = account.share(replicas, now) if account else 1.0 / replicas
            debt.server_at = account.server_at if account else 0.0
        elif account is not None and account.server_at != debt.server_at:
            # The store has answered since.
            self._collect(debt, now)
            debt.share = account.share(replicas, now)
            debt.server_at = account.server_at
            debt.seeded.clear()
        lacking = [meter for meter in bill.tariff.meters if (*meter[:3], bill.subject) not in debt.seeded]
        if lacking:
            bases = account.levels(bill, now) if account else (0.0,) * len(bill.tariff.meters)
            self._seed(debt, bill, self._hearsay.raised(bill, bases, now), now)
        return debt

    def owe(self, bill: Bill, debt: Debt) -> None:
        """Something was added to a debt."""
        name = owner(bill.tariff.kind, bill.subject)
        if self._all.get(name) is debt:
            self._owing[name] = None

    def owed(self, account: str, now: float, seen_at: float = inf) -> Owed | None:
        """What goes with the account's next call, or by itself. The same until ``paid`` confirms it. ``seen_at`` is that of the
        call (see ``Seen``)."""
        debt = self._all.get(account)
        if debt is None:
            self._owing.pop(account, None)
            return None
        if not debt.outage:
            levels = self._collect(debt, now)
            self._outages += 1
            frozen = {meter: mark.freeze(levels[meter], now) for meter, mark in debt.marks.items() if mark.owes}
            debt.freeze(f"{self._replica}-{self._outages}", frozen, now)
        owed = debt.owed(now)
        if not debt.told:
            owed = self._told(account, debt, owed, now)
        view = self._views.account(account) if owed is not None else None
        if owed is not None and view is not None and seen_at < view.lost_at:
            # What was seen since the loss has in it what came since: as a base it would count twice.
            rows = [
                (meter, 0.0 if view.column(meter[:3], meter[3], now)[1] >= view.lost_at else base, delta)
                for meter, base, delta in owed.rows
            ]
            owed = Owed(owed.outage, tuple(rows))
        if not debt.owes:
            self._owing.pop(account, None)
        return owed

    def recall(self) -> None:
        """The store is back: it is to hear of the accounts used last as they were seen here, also of those that owe nothing. It
        may have forgotten them, and another replica may have seen them longer ago than this one."""
        for name in self._views.latest(_RECALLED):
            self._owing.setdefault(name)
            self._all.setdefault(name, Debt()).told = False

    def paid(  # noqa: PLR0917 - one reply
        self,
        account: str,
        outage: str,
        now: float,
        server_at: float = 0.0,
        lost_at: float = 0.0,
        apart: bool = False,
    ) -> None:
        """The store has applied it, now or before; it last touched the record at ``server_at`` (0.0: not told), and found at
        ``lost_at`` that writes were lost. ``apart``: this replica goes on by itself. Then its local meters stay as they are: what
        others have used meanwhile stands in the store, and was not said."""
        debt = self._all.get(account)
        if debt is None or debt.outage != outage:
            return
        for (limit, unit, ordinal, subject), level in debt.paid(now).items():
            mark = debt.marks[limit, unit, ordinal, subject]
            metered = Metered(limit, unit, ordinal, COST_MAX, mark.rate, 0)
            bill = Bill(Tariff(mark.kind, (metered,), kept=False), subject, (0.0, 0.0, 0.0))
            self._views.paid(bill, (level,), server_at, now, lost_at)
        debt.told = True
        known = self._views.account(account)
        if apart and known is not None:
            debt.server_at = known.server_at
        if not debt.owes:
            self._owing.pop(account, None)
            if not debt.leases and not apart:
                del self._all[account]

    def owing(self) -> Sequence[str]:
        """Accounts that owe something, longest first; at most 256."""
        return list(islice(self._owing, _AT_ONCE)) if self._owing else ()

    def forget(self, account: str) -> None:
        """Nothing is owed any more."""
        self._all.pop(account, None)
        self._owing.pop(account, None)

    def __len__(self) -> int:
        """How many accounts owe something."""
        return len(self._owing)

    # -- parts -----------------------------------------------------------------------------------------------------

    def _told(self, account: str, debt: Debt, owed: Owed | None, now: float) -> Owed | None:
        """What is owed, and with it all that was seen."""
        known = {row[0] for row in owed.rows} if owed else set()
        rows = [
            (meter, base, 0.0)
            for meter, base in self._views.bases(account, now).items()
            if base > 0.0 and meter not in known
        ]
        if owed is not None:
            return Owed(owed.outage, owed.rows + tuple(rows))
        if not rows:
            debt.told = True
            return None
        self._outages += 1
        debt.outage = f"{self._replica}-{self._outages}"
        return Owed(debt.outage, tuple(rows))

    def _seed(self, debt: Debt, bill: Bill, bases: Sequence[float], now: float) -> None:
        """Sets the local meters of a bill: to the share of what was seen, and all that the store doesn't know yet."""
        tariff, subject, _, factor, shard = bill
        charges: list[Charge] = []
        for meter, base in zip(tariff.meters, bases, strict=True):
            name: Meter = (meter.limit, meter.unit, meter.ordinal, subject)
            mark = None if name in debt.seeded else debt.mark(name)
            if mark is None:
                continue
            debt.seeded.add(name)
            sent, unsent = debt.unpaid(name, now)
            mark.kind, mark.shard = tariff.kind, shard
            mark.rate, mark.rate_here = meter.rate_per_s * factor, meter.rate_per_s * factor * debt.share
            mark.base, mark.base_now = base, now
            mark.seeded, mark.seeded_now = debt.share * base + sent, now
            mark.cap = meter.amount * factor if meter.limit in tariff.open else 0.0
            charges.append(mark.charge(name, min(COST_MAX, mark.seeded + unsent)))
        if not charges:
            return
        taken, lease = self._local.take(charges, Slots((), now + 1.0), now)
        corrections: list[tuple[tuple[str, ...], float]] = []
        for place, charge, level in zip(taken.meters, charges, taken.levels, strict=True):
            # Whose table has no room shares the meter that it is charged to: that one is not this account's to set.
            shared = place[3].startswith(_OVERFLOW)
            corrections.append((place, -charge.cost if shared else charge.cost - level))
        self._local.settle(corrections, lease, now)

    def _collect(self, debt: Debt, now: float) -> dict[Meter, float]:
        """Lets the debt drain; the local level of each meter."""
        looks = [mark.charge(meter, 0.0)._replace(book=False) for meter, mark in debt.marks.items()]
        levels = dict(zip(debt.marks, self._local.take(looks, _NO_SLOTS, now)[0].levels, strict=True))
        for meter, mark in debt.marks.items():
            mark.collect(levels[meter], now)
        return levels


__all__ = ["Owing"]
