"""What this replica last saw of every account's meters in the store, and which part of its exchanges comes here.

Two things are made of it. With every call goes what was seen, so that a store that has lost writes finds out by the very key
(``Seen``). And while the store doesn't answer, a replica goes on from there with its share of the room.

The share is measured: of the account's last two hundred or so exchanges in the store's count, how many were this replica's. From
the intervals between its own (each of them one of so many), the estimate has no bias, and those of all replicas add up to one.
A replica that an account has left doesn't hold on to a large share: others' exchanges are taken to go on as before.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import NamedTuple

from guard.charges import Bill, Tariff
from guard.meters import drained
from guard.recent import Recent

Meter = tuple[str, str, str, str]
_OWN = ("account", "user")
# A share is of the last two hundred exchanges or so, the older ones fading.
_KEPT = 0.995
_FARTHEST = 1_000
# As if so many exchanges had been seen of which each replica had its equal part.
_PRIOR = 2.0
# Nobody is thought to have left who stays away for this many of its usual intervals.
_PATIENCE = 3.0
_VIEWS = 16


class Seen(NamedTuple):
    """What goes with one account's call: the store's time of the record's last touch that this replica saw (0.0: never), and
    the levels of all the bills' meters, one after the other, as they would have drained since.

    The record has lost writes if its own last touch is older than ``server_at``. Then, and as long as ``server_at`` lies before
    the moment when that was found, its meters are raised to their bases (0.0: nothing to raise).
    """

    server_at: float
    bases: tuple[float, ...]


class View(NamedTuple):
    """The levels of one bill's meters at one moment. ``now`` is this process's time of the same moment."""

    tariff: Tariff
    subject: str
    levels: Sequence[float]
    factor: float
    server_at: float
    now: float


class Account:
    """One record of the store."""

    __slots__ = (
        "all_hits",
        "hits",
        "hits_seen",
        "lost_at",
        "now",
        "own_hits",
        "own_now",
        "server_at",
        "span_s",
        "views",
    )

    def __init__(self) -> None:
        self.server_at = self.lost_at = 0.0
        self.now = 0.0
        """When it was last seen."""
        self.hits_seen = 0.0
        """Its exchanges by the store's count, then; ``hits`` the same after this replica's last one, at ``own_now``."""
        self.hits = self.own_now = 0.0
        self.own_hits = self.all_hits = self.span_s = 0.0
        self.views: tuple[View, ...] = ()
        """Newest first; one for each subject and tariff."""

    def took(self, hits: float, now: float) -> None:
        """An exchange of this replica was counted as the ``hits``th."""
        new = min(hits - self.hits, _FARTHEST)
        if new > 0.0 and self.hits:
            kept = _KEPT if new == 1.0 else _KEPT**new
            self.own_hits = self.own_hits * kept + 1.0
            self.all_hits = self.all_hits * kept + (1.0 - kept) / (1.0 - _KEPT)
            self.span_s = self.span_s * kept + max(0.0, now - self.own_now)
        # Fewer than before: the store has begun to count anew.
        self.hits, self.own_now = hits, now

    def share(self, replicas: int, now: float) -> float:
        """This replica's part of the account's exchanges, over 0 to 1."""
        equal = 1.0 / replicas
        own, every = self.own_hits, self.all_hits
        share = (own + _PRIOR * equal) / (every + _PRIOR)
        if share <= equal or not own:
            return share
        patience = _PATIENCE / own
        others = max(0.0, self.hits_seen - self.hits - patience * every)
        away_s = now - self.now - patience * self.span_s
        if away_s > 0.0:
            others = others + away_s * every / self.span_s if self.span_s > 0.0 else inf
        return max(equal, (own + _PRIOR * equal) / (every + others + _PRIOR)) if others else share

    def levels(self, bill: Bill, now: float) -> tuple[float, ...]:
        """The levels of the bill's meters, each as it was seen last, drained since. What was never seen is empty."""
        tariff, subject = bill[0], bill[1]
        for view in self.views:
            if view[1] == subject:
                if view[0] is not tariff:
                    break
                passed = now - view[5]
                if passed <= 0.0:
                    return tuple(view[2])
                passed *= view[3]
                return tuple(
                    [
                        left if (left := level - passed * meter[4]) > 0.0 else 0.0
                        for level, meter in zip(view[2], tariff.meters, strict=True)
                    ]
                )
        else:
            return (0.0,) * len(tariff.meters)
        return tuple([self.column(meter[:3], subject, now)[0] for meter in tariff.meters])

    def seen_at(self, bill: Bill) -> float:
        """The store's time when all of the bill's meters that it has seen were seen at last; 0.0: none was."""
        tariff, subject = bill[0], bill[1]
        for view in self.views:
            if view[1] == subject:
                if view[0] is tariff:
                    return view[4]
                break
        # Another tariff of the same meters: as old as the oldest of those views that their levels are taken from.
        found: dict[tuple[str, str, str], float] = {}
        for view in self.views:
            if view[1] == subject:
                for meter in view[0].meters:
                    found.setdefault(meter[:3], view[4])
        return min([found[meter[:3]] for meter in tariff.meters if meter[:3] in found], default=0.0)

    def column(self, column: tuple[str, str, str], subject: str, now: float) -> tuple[float, float]:
        """One meter's level as it was seen last, drained since, and the store's time of that."""
        for view in self.views:
            if view.subject == subject:
                for level, meter in zip(view.levels, view.tariff.meters, strict=True):
                    if meter[:3] == column:
                        return drained(level, view.now, meter.rate_per_s * view.factor, now), view.server_at
        return 0.0, 0.0


class Views:
    """The accounts used last, at most ``most``."""

    __slots__ = ("_accounts",)

    def __init__(self, most: int) -> None:
        self._accounts: Recent[str, Account] = Recent(most)

    def saw(  # noqa: PLR0917 - one reply
        self,
        bill: Bill,
        levels: Sequence[float],
        server_at: float,
        hits: float,
        now: float,
        took: bool = True,
        lost_at: float = 0.0,
    ) -> None:
        """A reply of the store about one bill: the levels that it left, the record's last touch, the account's exchanges by its
        count (0: there is no count), whether this exchange is one of them, and when the record was last found to have lost
        writes."""
        tariff, subject, _, factor, _ = bill
        name = owner(tariff.kind, subject)
        account = self._accounts.get(name)
        if account is None:
            account = Account()
            self._accounts.put(name, account)
        if took and hits != account.hits:
            account.took(hits, now)
        account.hits_seen = hits
        view = View(tariff, subject, levels, factor, server_at, now)
        views = account.views
        if len(views) == 1 and views[0][0] is tariff and views[0][1] == subject:
            if server_at >= views[0][4]:
                account.views = (view,)
        elif not any([old.tariff is tariff and old.subject == subject and old.server_at > server_at for old in views]):
            others = [old for old in views if old.subject != subject or not _covers(tariff, old.tariff)]
            account.views = (view, *others[: _VIEWS - 1])
        account.server_at = max(account.server_at, server_at)
        account.lost_at = max(account.lost_at, lost_at)
        account.now = max(account.now, now)

    def paid(self, bill: Bill, levels: Sequence[float], server_at: float, now: float, lost_at: float = 0.0) -> None:
        """Meters that a debt has brought to those levels at least. ``server_at`` 0.0: nobody said when."""
        account = self._accounts.get(owner(bill.tariff.kind, bill.subject))
        server_at = server_at or (account.server_at if account else 0.0)
        if server_at:
            hits = account.hits_seen if account else 0.0
            self.saw(bill, levels, server_at, hits, now, False, lost_at)

    def seen(self, bills: Sequence[Bill], now: float) -> Seen:
        """What goes with the next call; the bills are one account's."""
        account = self._accounts.get(owner(bills[0][0].kind, bills[0][1]))
        if account is None:
            return Seen(0.0, tuple([0.0 for bill in bills for _ in bill.tariff.meters]))
        if not account.lost_at or len(account.views) == 1:
            if len(bills) == 1:
                return Seen(account.seen_at(bills[0]), account.levels(bills[0], now))
            server_at = max([account.seen_at(bill) for bill in bills])
            return Seen(server_at, tuple([level for bill in bills for level in account.levels(bill, now)]))
        # Some meters may have been seen since the loss was found and others not yet: only these are to be raised.
        lost_at = account.lost_at
        seen = [account.column(meter[:3], bill[1], now) for bill in bills for meter in bill[0].meters]
        before = [at for level, at in seen if level > 0.0 and at < lost_at]
        if not before:
            return Seen(max([at for _, at in seen], default=0.0), tuple([level for level, _ in seen]))
        return Seen(min(before), tuple([level if at < lost_at else 0.0 for level, at in seen]))

    def account(self, name: str) -> Account | None:
        """None: never seen, or too long ago."""
        return self._accounts.get(name)

    def bases(self, name: str, now: float) -> dict[Meter, float]:
        """The levels of all meters of an account, as they were seen last, drained since."""
        account = self._accounts.peek(name)
        bases: dict[Meter, float] = {}
        for view in account.views if account else ():
            for level, meter in zip(view.levels, view.tariff.meters, strict=True):
                left = drained(level, view.now, meter.rate_per_s * view.factor, now)
                bases.setdefault((meter.limit, meter.unit, meter.ordinal, view.subject), left)
        return bases

    def latest(self, most: int) -> list[str]:
        """The accounts used last. O(all)."""
        return list(self._accounts)[-most:]

    def forget(self, name: str) -> None:
        self._accounts.drop(name)

    def __len__(self) -> int:
        return len(self._accounts)


def _covers(tariff: Tariff, other: Tariff) -> bool:
    """Whether a view of the one tells all that one of the other could; what was made for one call is looked through."""
    if other is tariff:
        return True
    return not other.kept and {meter[:3] for meter in other.meters} <= {meter[:3] for meter in tariff.meters}


def owner(kind: str, subject: str) -> str:
    """Whose record it is: an account's key for what is its own, else the kind and the subject of a shared limit."""
    if kind.startswith(_OWN):
        return subject.partition("/")[0]
    return f"{kind}|{subject}"


__all__ = ["Account", "Seen", "View", "Views", "owner"]
