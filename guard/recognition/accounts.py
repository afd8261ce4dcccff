"""The accounts that recognition knows: one small record each, found by its key on the hot path and by its number beside it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from guard.types import Account

MATURE_S = 30 * 86400.0
"""The age at which an account has all of the standing that age gives."""
STANDING = 0.5
_LOOKED_AT = 64
SETTLED_EXCHANGES = 10
SETTLED_S = 3 * 86400.0
"""So much life before it first met a cluster gives an account a history of its own."""


class Known:
    """What recognition holds of one account. Numbers and keyed hashes only."""

    __slots__ = (
        "asked",
        "bearing",
        "born",
        "cleared",
        "client",
        "cluster",
        "count",
        "dated",
        "first_at",
        "first_bearing_at",
        "granted",
        "key",
        "last_at",
        "network",
        "number",
        "org",
        "passed_at",
        "payment",
        "signup",
        "stopped_at",
        "verified",
    )

    def __init__(self, number: int, key: str, now: float) -> None:
        self.number = number
        self.key = key
        self.first_at = self.last_at = self.born = now
        self.dated = False
        self.verified = -1
        self.payment = self.signup = self.org = 0
        self.count = 0
        self.asked = 0.0
        """The sum of its exchanges' content readings."""
        self.network = 0
        """The subnet that it was last seen in."""
        self.cluster = 0
        """The number of the cluster it is linked to; 0: none."""
        self.bearing = 0
        """How many of its exchanges carried that cluster's traits."""
        self.first_bearing_at = 0.0
        self.passed_at = 0.0
        """Its last exchange when it was last passed over, as room was made."""
        self.client = 0
        """The client stack of its latest exchange that carried its cluster's traits."""
        self.stopped_at = 0.0
        """When an exchange of its was first held to be a cluster's; 0: never."""
        self.cleared = 0
        """The number of the pardon that it is under (``pardons.py``); 0: none."""
        self.granted = False
        """Whether it came under a grant when it was last seen."""

    def standing(self, now: float) -> float:
        """0 to 1: half for age (a month makes it whole; guard's own first sight where nobody states a date), and as much again
        if verified: a verified account of yesterday is bought as easily as any."""
        age = (now - self.born) / MATURE_S
        half = 0.5 if age >= 1.0 else 0.5 * age if age > 0.0 else 0.0
        return half + half if self.verified == 1 else half

    def of_standing(self, now: float) -> bool:
        """Whether it has enough standing to be left out where groups are looked for."""
        return self.standing(now) >= STANDING

    def settled(self, now: float) -> bool:
        """Whether it has standing, or led a life of its own before it first carried a cluster's traits."""
        if self.of_standing(now):
            return True
        if self.bearing == 0:
            return self.count >= SETTLED_EXCHANGES and now - self.first_at >= SETTLED_S
        return self.first_bearing_at - self.first_at >= SETTLED_S and self.count - self.bearing >= SETTLED_EXCHANGES


class Accounts:
    """All accounts, by key and by number. At most ``most``: then the one seen least lately that is in no cluster goes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._by_key: dict[str, Known] = {}
        self._by_number: dict[int, Known] = {}
        self.next = 1
        """The number of the next new one; none is ever given twice."""

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[Known]:
        return iter(self._by_key.values())

    def spread(self, most: int) -> list[Known]:
        """About so many of them at most, spread evenly over all."""
        return list(islice(self._by_key.values(), 0, None, max(1, len(self._by_key) // most)))

    def find(self, key: str) -> Known | None:
        """The record of an account; None: recognition has never met it."""
        return self._by_key.get(key)

    def number(self, number: int) -> Known | None:
        """Likewise by number; None: it has been forgotten since."""
        return self._by_number.get(number)

    def meet(self, account: Account, now: float) -> Known:
        """The record of an account, made where there was none, with what the operator states today."""
        known = self._by_key.get(account.key)
        if known is None:
            if len(self._by_key) >= self._most:
                self._make_room()
            known = Known(self.next, account.key, now)
            self.add(known)
        created, verified = account.created, account.verified
        if created is not None:
            known.born = created
            known.dated = True
        if verified is not None:
            known.verified = 1 if verified else 0
        known.payment = _short(account.payment)
        known.signup = _short(account.signup)
        known.org = _short(account.org)
        return known

    def add(self, known: Known) -> None:
        """Takes up an account, in the place of what was known of it."""
        before = self._by_key.get(known.key)
        if before is not None:
            del self._by_number[before.number]
        self._by_key[known.key] = known
        self._by_number[known.number] = known
        self.next = max(self.next, known.number + 1)

    def forget(self, key: str) -> bool:
        """Forgets an account altogether; False: it was not known."""
        known = self._by_key.pop(key, None)
        if known is None:
            return False
        del self._by_number[known.number]
        return True

    def _make_room(self) -> None:
        """Drops one of the longest-held: the first that no cluster holds and that was not seen since it was last passed over;
        where all are held, the one seen least lately. Amortised O(1)."""
        passed = []
        for _ in range(_LOOKED_AT):
            key = next(iter(self._by_key))
            known = self._by_key.pop(key)
            if known.cluster == 0 and known.last_at <= known.passed_at:
                del self._by_number[known.number]
                return
            known.passed_at = known.last_at
            self._by_key[key] = known
            passed.append(known)
        self.forget(min(passed, key=lambda known: (known.cluster != 0, known.last_at, known.number)).key)


def _short(hashed: str) -> int:
    """The first 64 bits of a keyed hash of 32 hex digits; 0: there is none."""
    return int(hashed[:16], 16) if hashed else 0
