"""Limits that many accounts share, spent from what was bought of them: the hot record is not on the way of a request.

A *purse* is this replica's part of one unit of one shared limit. What lies in it was charged in the store when it was bought, so
all replicas together never spend what the limit doesn't have. It is bought for those who wait, and besides for as long as it
may lie here: a quarter of a second of recent demand, a twentieth of the window and of the limit at most. A unit that is spent
later than it was bought was moved by that time, so who buys in advance buys below the limit by what drains meanwhile: no window
exceeds the limit for it. A limit too small for that is bought one by one, and exact.

What was bought at once is a *lot*, and a lease in the store. When its last exchange has ended it is settled as a whole: what
was not spent and what answers came to less goes back, at most what was still there all the while (its trail). A slot is a lot of
its own, used again by the next exchange. A refusal of the store holds here until there may be room again, a second at most, so
that a flood that is refused stays here.

While the store doesn't answer nothing is bought and lots rest; a share of the level last seen is spent instead (``shadow.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from guard.charges import Bill
from guard.remote.purses import Key, Kind, Lot, Purse, kinds_of
from guard.remote.tariffs import PerTariff

_REFUSED_S = 1.0
_SLOT_WAIT_S = 1.0
# A lot whose answers run on is settled without them: its trail can't be kept for ever.
_OLDEST_S = 120.0
_IDLE_S = 60.0
_TICKETS = 65_536

_Spend = tuple[Purse, Key, float]
_Group = tuple[int, list[tuple[Lot, float]]]


class Lacking(NamedTuple):
    """What ``take`` says: a ``ticket``, or what has to be bought first (``fetch``), or neither: refused. Charges are numbered
    as the bills given stand, and slots after them."""

    ticket: int
    fetch: tuple[Key, ...] = ()
    refused: int = -1
    retry_after_s: float = 0.0
    levels: tuple[float, ...] = ()
    shadow: tuple[int, ...] = ()


class Allotments:
    """At most ``most`` purses. ``lease_s`` is how long the store keeps a slot without a sign of life."""

    def __init__(self, lease_s: float = 900.0, most: int = 4_096) -> None:
        self._lease_s = lease_s
        self._most = most
        self._purses: dict[Key, Purse] = {}
        self._kinds = PerTariff(kinds_of)
        self._tickets: dict[int, tuple[_Group, ...]] = {}
        self._last = 0
        self._ended: list[tuple[Any, float]] = []
        self._low: dict[Key, None] = {}

    # -- the way of a request --------------------------------------------------------------------------------------

    def take(self, bills: Sequence[Bill], now: float, *, again: bool = False) -> Lacking:
        """Takes for all shared bills of one exchange, or nothing. ``again``: it has asked before."""
        spend: list[_Spend] = []
        fetch: dict[Key, tuple[Purse, float]] = {}
        levels: list[float] = []
        counts: list[float] = []
        shadow: list[int] = []
        refused, longest_s = -1, -1.0
        first, slot = 0, sum([len(bill.tariff.meters) for bill in bills])
        for tariff, subject, costs, factor, _ in bills:
            numbered = [0.0] * len(tariff.meters)
            for kind in self._kinds.of(tariff):
                key = (tariff.kind, kind.limit, kind.unit, subject)
                purse = self._purses.get(key) or self._purse(key, kind, now)
                purse.kind, purse.factor, purse.used_at = kind, factor, now
                left = self._fresh(purse, now)
                if kind.place < 0:
                    cost, base = 1.0, slot
                    counts.append(purse.levels[0] if purse.levels else float(len(purse.lots)))
                else:
                    cost, base = costs[kind.place], first
                    for place, number in enumerate(kind.numbers):
                        numbered[number] = max(0.0, purse.level(place, now) - left)
                if not tariff.book:
                    continue
                if not again:
                    purse.demanded(cost, now)
                if left >= cost:
                    spend.append((purse, key, cost))
                    for number in kind.numbers if kind.place >= 0 else ():
                        numbered[number] += cost
                    continue
                wait, where = self._refusal(purse, cost, now)
                if wait <= 0.0:
                    fetch[key] = (purse, cost - left)
                elif kind.shadow:
                    shadow.append(base + kind.numbers[where])
                elif wait > longest_s:
                    refused, longest_s = base + kind.numbers[where], wait
            levels += numbered
            first += len(tariff.meters)
            slot += len(tariff.slots)
        told = (*levels, *counts)
        if refused >= 0:
            return Lacking(0, (), refused, longest_s, told, tuple(shadow))
        if fetch:
            for purse, lack in fetch.values():
                purse.lack(lack)
            return Lacking(0, tuple(fetch), -1, 0.0, told, tuple(shadow))
        limits = {_limit(bills, number) for number in shadow} if shadow else ()
        return Lacking(
            self._spent([one for one in spend if one[1][1] not in limits], now), (), -1, 0.0, told, tuple(shadow)
        )

    def settle(self, ticket: int, spent: Sequence[float], now: float) -> None:
        """The exchange came to that, by unit; its slots are free again. A second call changes nothing."""
        for place, parts in self._tickets.pop(ticket, ()):
            change = 0.0 if place < 0 else spent[place] - sum([part for _, part in parts])
            for lot, part in parts:
                lot.open -= 1
                if place < 0:
                    self._free(lot, now)
                    continue
                given = max(change, -part)
                lot.spent += given
                change -= given
                self._close(lot)

    def undo(self, ticket: int, now: float) -> None:
        """Nothing came of the exchange: what it took lies here again."""
        for place, parts in self._tickets.pop(ticket, ()):
            for lot, part in parts:
                lot.open -= 1
                if place < 0:
                    self._free(lot, now)
                else:
                    lot.spent -= part
                    lot.left += part
                    self._fresh(lot.purse, now)

    def hold(self, ticket: int, ends_at: float) -> list[Any]:
        """The leases of the slots that an exchange holds, to be lengthened like it."""
        held = [lot for place, parts in self._tickets.get(ticket, ()) if place < 0 for lot, _ in parts]
        for lot in held:
            lot.ends_at = max(lot.ends_at, ends_at)
        return [lot.lease for lot in held]

    # -- buying ----------------------------------------------------------------------------------------------------

    def asking(self, key: Key, now: float) -> Bill | None:
        """What is to be asked of the store, as a bill of its own: for those who wait, and in advance. None: it is being asked
        already, or nothing is wanted. Each bill is answered by ``granted``, ``refused`` or ``failed``."""
        purse = self._purses.get(key)
        if purse is None or purse.asking or now < purse.refused_until:
            return None
        kind, waiting = purse.kind, purse.waiting
        if kind.place < 0:
            if not waiting:
                return None
            purse.asking = True
            return Bill(kind.tariff, key[3], (0.0, 0.0, 0.0), purse.factor)
        wanted = waiting + max(0.0, purse.ahead(now) - purse.left())
        if wanted <= 0.0:
            return None
        least = min(purse.least, wanted)
        # No more than fits, by what was last seen; and for one that waits it is asked whatever was seen.
        room = purse.room(least, now)
        if room < wanted:
            if not waiting and room < least:
                return None
            wanted = max(least, float(int(room)) if kind.place == 0 else room)
        purse.asking = True
        return Bill(kind.tariff, key[3], (0.0, wanted, 0.0), purse.factor)

    def granted(self, key: Key, bill: Bill, lease: Any, levels: Sequence[float], now: float) -> None:
        """The store has charged that bill; ``lease`` comes back from ``ended`` when the lot is to be settled."""
        purse = self._purses.get(key)
        if purse is None:
            self._ended.append((lease, 0.0))
            return
        purse.answered(levels, now)
        purse.lots.append(Lot(purse, bill.costs[1] or 1.0, lease, now, now + self._lease_s))

    def refused(self, key: Key, bill: Bill, levels: Sequence[float], now: float) -> None:
        """The store had no room for that. What is less may be asked for at once."""
        purse = self._purses.get(key)
        if purse is None:
            return
        least = min(purse.least, bill.costs[1])
        purse.answered(levels, now)
        if purse.kind.place < 0:
            purse.refused_until = now + _REFUSED_S
            return
        wait = purse.wait_s(least, now)[0]
        if wait <= 0.0 and bill.costs[1] <= least:
            wait = _REFUSED_S  # not in a circle, whatever the store means
        if wait > 0.0:
            purse.refused_until = now + min(wait, _REFUSED_S)

    def failed(self, key: Key, now: float) -> None:
        """The store did not answer."""
        purse = self._purses.get(key)
        if purse is not None:
            purse.answered(purse.levels, purse.seen_at)
            purse.used_at = now

    def low(self) -> Sequence[Key]:
        """What runs low and is to be bought beside the requests; each is named once."""
        if not self._low:
            return ()
        low, self._low = list(self._low), {}
        return low

    def ended(self, now: float, *, all_of: bool = False) -> list[tuple[Any, float]]:
        """Leases to be settled, each with what was spent of it: to be called now and then. ``all_of``: at the end of all."""
        for key, purse in list(self._purses.items()):
            self._fresh(purse, now)
            for lot in purse.lots[:]:
                slots = purse.kind.place < 0
                if all_of or now > (lot.ends_at if slots else lot.bought_at + _OLDEST_S):
                    # What still runs counts in full.
                    self._drop(lot)
            if not (purse.lots or purse.asking) and now > purse.used_at + _IDLE_S:
                del self._purses[key]
        while len(self._tickets) > _TICKETS:
            del self._tickets[next(iter(self._tickets))]
        return self.closed()

    def closed(self) -> list[tuple[Any, float]]:
        """Those of them that have been spent, at once."""
        if not self._ended:
            return []
        ended, self._ended = self._ended, []
        return ended

    def counts(self) -> dict[str, int]:
        """For the operator."""
        return {"shared": len(self._purses), "shared_lots": sum([len(purse.lots) for purse in self._purses.values()])}

    # -- parts -----------------------------------------------------------------------------------------------------

    def _refusal(self, purse: Purse, cost: float, now: float) -> tuple[float, int]:
        """How long a refusal of the store holds here for so much, and which charge says so; 0.0: it is to be asked."""
        if now >= purse.refused_until:
            return 0.0, 0
        if purse.kind.place < 0:
            return _SLOT_WAIT_S, 0
        wait, where = purse.wait_s(cost, now)
        return (wait, where) if wait > 0.0 else (purse.refused_until - now, 0)

    def _spent(self, spend: Sequence[_Spend], now: float) -> int:
        """A new ticket."""
        groups: list[_Group] = []
        for purse, key, cost in spend:
            place, rest = purse.kind.place, cost
            parts: list[tuple[Lot, float]] = []
            for lot in purse.lots:
                part = min(rest, lot.left)
                if part > 0.0:
                    lot.left -= part
                    lot.open += 1
                    lot.spent += part
                    parts.append((lot, part))
                    rest -= part
                if rest <= 0.0:
                    break
            groups.append((place, parts))
            if place >= 0 and not purse.asking and now >= purse.refused_until:
                ahead = purse.ahead(now)
                if ahead and purse.left() < ahead / 2.0:
                    self._low[key] = None
        self._last += 1
        self._tickets[self._last] = tuple(groups)
        return self._last

    def _fresh(self, purse: Purse, now: float) -> float:
        """What may be spent now; what has lain here too long goes back."""
        left = 0.0
        if not purse.lots:
            return left
        held_s = purse.kind.held_s
        for lot in purse.lots[:]:
            if lot.left and now - lot.bought_at > held_s:
                lot.left = 0.0
                self._close(lot)
            else:
                left += lot.left
        return left

    def _free(self, lot: Lot, now: float) -> None:
        """A slot is free again: for the next one, unless its lease comes to its end."""
        lot.spent = 0.0
        lot.left = 1.0 if now < lot.ends_at - self._lease_s / 2.0 else 0.0
        lot.bought_at = now
        self._close(lot)

    def _close(self, lot: Lot) -> None:
        if not (lot.open or lot.left or lot.closed):
            self._drop(lot)

    def _drop(self, lot: Lot) -> None:
        if not lot.closed:
            lot.closed = True
            lot.purse.lots.remove(lot)
            self._ended.append((lot.lease, lot.spent))

    def _purse(self, key: Key, kind: Kind, now: float) -> Purse:
        while len(self._purses) >= self._most:
            oldest = self._purses.pop(next(iter(self._purses)))
            for lot in oldest.lots[:]:
                self._drop(lot)
        purse = self._purses[key] = Purse(kind, now)
        return purse


def _limit(bills: Sequence[Bill], number: int) -> str:
    """The limit of a charge by its number."""
    limits = [meter.limit for bill in bills for meter in bill.tariff.meters]
    limits += [slot.limit for bill in bills for slot in bill.tariff.slots]
    return limits[number]


__all__ = ["Allotments", "Key", "Lacking"]
