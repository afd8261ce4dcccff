"""The accounts that recognition knows: one small record each, found by its key on the hot path and by its number beside it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from itertools import islice

from guard.standing import standing, stands
from guard.types import Account

_LOOKED_AT = 64
# So many accounts whose numbers follow each other share a block.
_BLOCK = 32
_UNSTATED = "0" * 16
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
        "hops",
        "key",
        "last_at",
        "network",
        "number",
        "passed_at",
        "stated",
        "stopped_at",
        "verified",
    )

    def __init__(self, number: int, key: str, now: float) -> None:
        self.number = number
        self.key = key
        self.first_at = self.last_at = self.born = now
        self.dated = False
        self.verified = -1
        self.stated = b""
        """Who pays, who signed up, whose it is, as the operator states it: the first eight bytes of each keyed hash. Empty: nothing."""
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
        self.hops = 0
        """Whether conversations of its cluster's members came to it: the first one (32 bits), −1: several, so that it is one of them."""
        self.granted = False
        """Whether it came under a grant when it was last seen."""

    @property
    def payment(self) -> int:
        """64 bits that stand for who pays; 0: nobody states it."""
        return int.from_bytes(self.stated[:8])

    @property
    def signup(self) -> int:
        """Likewise for who signed up."""
        return int.from_bytes(self.stated[8:16])

    @property
    def org(self) -> int:
        """Likewise for the organisation."""
        return int.from_bytes(self.stated[16:])

    def state(self, payment: int, signup: int, org: int) -> None:
        """Takes them up."""
        self.stated = (
            b"".join([value.to_bytes(8) for value in (payment, signup, org)]) if payment or signup or org else b""
        )

    def leave(self) -> None:
        """It is in no cluster from now on."""
        self.cluster = self.bearing = self.client = self.hops = 0
        self.first_bearing_at = 0.0

    def standing(self, now: float) -> float:
        """0 to 1: half for age (a month makes it whole; guard's own first sight where nobody states a date), and as much again
        if verified: a verified account of yesterday is bought as easily as any."""
        return standing(self.born, now, verified=self.verified == 1)

    def of_standing(self, now: float) -> bool:
        """Whether it has enough standing to be left out where groups are looked for."""
        return stands(self.born, now, verified=self.verified == 1)

    def settled(self, now: float) -> bool:
        """Whether it has standing, or led a life of its own before it first carried a cluster's traits."""
        if self.of_standing(now):
            return True
        if self.bearing == 0:
            return self.count >= SETTLED_EXCHANGES and now - self.first_at >= SETTLED_S
        return self.first_bearing_at - self.first_at >= SETTLED_S and self.count - self.bearing >= SETTLED_EXCHANGES


COLUMNS = (*(name for name in Known.__slots__ if name != "stated"), "payment", "signup", "org")
"""What is kept of an account over a restart."""


class Accounts:
    """All accounts, by key and by number. At most ``most``: then the one seen least lately that is in no cluster goes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._by_key: dict[str, Known] = {}
        self._blocks: dict[int, list[Known | None]] = {}
        """By number: a third of what a dictionary of all takes."""
        self._queue: deque[Known] = deque()
        """In the order in which they are looked at when room is made."""
        self.next = 1
        """The number of the next new one; none is ever given twice."""

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[Known]:
        return iter(self._queue)

    def spread(self, most: int) -> list[Known]:
        """About so many of them at most, spread evenly over all."""
        return list(islice(self._queue, 0, None, max(1, len(self._queue) // most)))

    def find(self, key: str) -> Known | None:
        """The record of an account; None: recognition has never met it."""
        return self._by_key.get(key)

    def number(self, number: int) -> Known | None:
        """Likewise by number; None: it has been forgotten since."""
        block = self._blocks.get(number // _BLOCK)
        return None if block is None else block[number % _BLOCK]

    def counted(self, numbers: Iterable[int]) -> list[tuple[Known, int]]:
        """Those of the accounts that are still known, each with how often it is among the numbers."""
        blocks = self._blocks
        found = []
        for number, times in Counter(numbers).items():
            block = blocks.get(number // _BLOCK)
            known = None if block is None else block[number % _BLOCK]
            if known is not None:
                found.append((known, times))
        return found

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
        payment, signup, org = account.payment, account.signup, account.org
        if payment or signup or org:
            stated = bytes.fromhex((payment[:16] or _UNSTATED) + (signup[:16] or _UNSTATED) + (org[:16] or _UNSTATED))
            if stated != known.stated:
                known.stated = stated
        elif known.stated:
            known.stated = b""
        return known

    def add(self, known: Known) -> None:
        """Takes up an account; where it is known, as what is known of it from now on."""
        before = self._by_key.get(known.key)
        if before is None:
            self._by_key[known.key] = known
            self._queue.append(known)
        else:
            self._unnumber(before)
            for name in Known.__slots__:
                setattr(before, name, getattr(known, name))
            known = before
        self._place(known)

    def _place(self, known: Known) -> None:
        block = self._blocks.get(known.number // _BLOCK)
        if block is None:
            block = self._blocks[known.number // _BLOCK] = [None] * _BLOCK
        block[known.number % _BLOCK] = known
        self.next = max(self.next, known.number + 1)

    def numbered(self, key: str, number: int, now: float) -> Known:
        """The record of an account under a number that others have given it, made where there was none. Whoever had the number here
        gets a new one."""
        known = self._by_key.get(key)
        if known is None:
            if len(self._by_key) >= self._most:
                self._make_room()
        elif known.number == number:
            return known
        holder = self.number(number)
        if holder is not None:
            self._unnumber(holder)
            holder.number = self.next
            self._place(holder)
        if known is None:
            known = Known(number, key, now)
            self.add(known)
        else:
            self._unnumber(known)
            known.number = number
            self._place(known)
        return known

    def carry(self, former: str, key: str) -> None:
        """Goes on with an account under another key, where none bears that yet."""
        known = self._by_key.get(former)
        if known is not None and key not in self._by_key:
            del self._by_key[former]
            known.key = key
            self._by_key[key] = known

    def forget(self, key: str) -> bool:
        """Forgets an account altogether; False: it was not known. O(accounts), for operators."""
        known = self._by_key.pop(key, None)
        if known is None:
            return False
        self._unnumber(known)
        self._queue.remove(known)
        return True

    def _unnumber(self, known: Known) -> None:
        block = self._blocks[known.number // _BLOCK]
        block[known.number % _BLOCK] = None
        if not any(block):
            del self._blocks[known.number // _BLOCK]

    def _make_room(self) -> None:
        """Drops one of the longest-held: the first that no cluster holds and that was not seen since it was last passed over;
        where all are held, the one seen least lately. Amortised O(1)."""
        queue = self._queue
        for _ in range(min(_LOOKED_AT, len(queue))):
            known = queue.popleft()
            if known.cluster == 0 and known.last_at <= known.passed_at:
                self._drop(known)
                return
            known.passed_at = known.last_at
            queue.append(known)
        passed = [queue.pop() for _ in range(min(_LOOKED_AT, len(queue)))]
        passed.reverse()
        least = min(passed, key=lambda known: (known.cluster != 0, known.last_at, known.number))
        queue.extend([known for known in passed if known is not least])
        self._drop(least)

    def _drop(self, known: Known) -> None:
        """Forgets one that is in the queue no more."""
        del self._by_key[known.key]
        self._unnumber(known)
