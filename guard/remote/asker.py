"""Exchanges → calls to the store: bills by record, what was seen there and what is owed go with them, answers come back."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence

from guard.charges import Bill
from guard.remote import names, wire
from guard.remote.batch import Answer, Call
from guard.remote.breaker import Breaker
from guard.remote.link import Link, Trouble
from guard.remote.parts import Part, part
from guard.remote.shadow import Shadow


class Asker:
    """``time`` is that of tests, None: scripts go by the server's clock. ``failed`` and ``healed`` hear of what went wrong,
    ``forgot`` of records that were found to have lost writes."""

    def __init__(  # noqa: PLR0917 - the parts of one store
        self,
        link: Link,
        shadow: Shadow,
        breaker: Breaker,
        now: Callable[[], float],
        time: Callable[[], float] | None,
        deadline_s: float,
        failed: Callable[[Trouble], None],
        healed: Callable[[int], None],
        forgot: Callable[[int], None],
    ) -> None:
        self._link = link
        self._shadow = shadow
        self._breaker = breaker
        self._now = now
        self._time = time
        self._deadline_s = deadline_s
        self._failed = failed
        self._healed = healed
        self._forgot = forgot
        self._forms = wire.Forms()
        self._token = int.from_bytes(os.urandom(8), "little")

    def clock(self) -> bytes:
        """What scripts are told of the time: nothing, they have the server's; in tests the test's."""
        return wire.CLOCK.pack(0.0, wire.AHEAD_S) if self._time is None else wire.CLOCK.pack(self._time(), 1e12)

    def seconds(self) -> float:
        """The same as a number: 0, or the test's."""
        return 0.0 if self._time is None else self._time()

    def token(self) -> bytes:
        """Eight bytes that no other call of any replica has."""
        self._token = (self._token + 1) & 0xFFFFFFFFFFFFFFFF
        return self._token.to_bytes(8, "little")

    def part(self, bills: Sequence[Bill], numbers: Sequence[int], lease_s: float, now: float) -> Part:
        """The bills of one record, ready to be sent."""
        whose = names.owner(bills[0][0].kind, bills[0][1])
        one = part(whose, bills, numbers, self._forms, self._shadow, now, lease_s, self.token())
        one.call = self._call(whose, one.blob, one.count, now)
        return one

    def parts(self, bills: Sequence[Bill], numbers: Sequence[int], lease_s: float, now: float) -> list[Part]:
        """The bills of those numbers by record."""
        groups: dict[str, list[int]] = {}
        for number in numbers:
            bill = bills[number]
            groups.setdefault(names.owner(bill[0].kind, bill[1]), []).append(number)
        return [self.part([bills[number] for number in mine], mine, lease_s, now) for mine in groups.values()]

    async def bring(self, accounts: Sequence[str], now: float) -> bool:
        """Brings home what accounts owe, by a call of its own. False: the store did not take all of it."""
        calls = []
        for account in accounts:
            view = self._shadow.views.account(account)
            blob = wire.asked((), (), (), view.server_at if view else 0.0, 0.0, self.token())
            calls.append(self._call(account, blob, 0, now))
        return not any([isinstance(answer, Trouble) for answer in await self.send(calls)])

    async def erase(self, subject: str) -> int:
        """Erases an account in the store; how many meters. Raises ``Trouble``."""
        key = names.key(names.owner("account", subject))
        return int(await self._link.script("forget", [key], [self.clock(), self.token()]))

    async def send(self, calls: Sequence[Call]) -> Sequence[Answer]:
        """One script for all; in a cluster one for each slot. Never raises."""
        if not self._link.clustered:
            return await self._carry(calls)
        slots: dict[int, list[int]] = {}
        for number, call in enumerate(calls):
            slots.setdefault(self._link.slot(call.key), []).append(number)
        each = await asyncio.gather(*[self._carry([calls[n] for n in numbers]) for numbers in slots.values()])
        answers: dict[int, Answer] = {}
        for numbers, told in zip(slots.values(), each, strict=True):
            answers.update(zip(numbers, told, strict=True))
        return [answers[number] for number in range(len(calls))]

    def _call(self, whose: str, blob: bytes, count: int, now: float) -> Call:
        """One record's call; with it goes what is owed there."""
        owed = self._shadow.owed(whose, now, wire.CLOCK.unpack_from(blob)[0]) if self._shadow.owing() else None
        if owed is not None:
            kind, bar, _ = whose.partition("|")
            blob = wire.with_debt(blob, owed, kind if bar else "account", self._forms.rates)
        return Call(names.key(whose), blob, count, (whose, owed.outage if owed else ""))

    async def _carry(self, calls: Sequence[Call]) -> Sequence[Answer]:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            reply = await self._link.script("take", [c.key for c in calls], [self.clock(), *[c.blob for c in calls]])
            replies = wire.answered(reply, [call.count for call in calls])
        except (Trouble, ValueError) as error:
            trouble = error if isinstance(error, Trouble) else Trouble("other", "answer")
            self._failed(trouble)
            return [trouble] * len(calls)
        self._healed(replies.healed)
        now = self._now()
        if loop.time() - begun <= self._deadline_s:
            self._breaker.succeeded(now)
        answers: list[Answer] = []
        forgot = 0
        for call, outcome in zip(calls, replies.outcomes, strict=True):
            if outcome is None:
                half = Trouble("other", "half done")
                self._failed(half)
                answers.append(half)
                continue
            forgot += outcome.lost_at == replies.now
            whose, outage = call.note
            if outage:
                self._shadow.paid(whose, outage, now, outcome.touched, outcome.lost_at, not self._breaker.allows(now))
            answers.append((outcome, replies.now))
        if forgot:
            self._forgot(forgot)
        return answers


__all__ = ["Asker"]
