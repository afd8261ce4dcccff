"""Buying what many accounts share: one call for all who wait for the same, and beside the requests where it runs low."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from math import inf

from guard.charges import Bill, Spent
from guard.remote.allotments import Allotments, Key, Lacking
from guard.remote.asker import Asker
from guard.remote.batch import Answer, Batch
from guard.remote.link import Trouble
from guard.remote.parts import Part
from guard.remote.shadow import Shadow

_SWEEP_S = 0.5


class Sharing:
    """``now`` is the clock that lots go by; ``end`` ends the lease of a part that the store has given."""

    def __init__(  # noqa: PLR0917 - the parts of one store
        self,
        asker: Asker,
        batch: Batch,
        shadow: Shadow,
        end: Callable[[Part, Spent, float], None],
        now: Callable[[], float],
        deadline_s: float,
        lease_s: float,
    ) -> None:
        self._allotments = Allotments(lease_s)
        self._asker = asker
        self._batch = batch
        self._shadow = shadow
        self._end = end
        self._now = now
        self._deadline_s = deadline_s
        self._lease_s = lease_s
        self._under_way: dict[Key, asyncio.Task[bool]] = {}
        self._swept_at = -inf

    async def take(self, bills: Sequence[Bill]) -> Lacking | None:
        """Takes for all shared bills of one exchange, buying what is missing. None: the store didn't answer in time."""
        said = self._allotments.take(bills, self._now())
        if said.fetch:
            loop = asyncio.get_running_loop()
            give_up_s = loop.time() + self._deadline_s
            while said.fetch:
                tasks = [self._buying(key) for key in said.fetch]
                answered = [await asyncio.shield(task) for task in tasks]
                if not all(answered) or loop.time() > give_up_s:
                    return None
                said = self._allotments.take(bills, self._now(), again=True)
        for key in self._allotments.low():
            self._buying(key)
        return said

    def undo(self, ticket: int) -> None:
        """Nothing came of the exchange."""
        self._allotments.undo(ticket, self._now())
        self._settle()

    def settle(self, ticket: int, spent: Spent) -> None:
        """The exchange came to that."""
        self._allotments.settle(ticket, spent, self._now())
        self._settle()

    def hold(self, ticket: int, ends_at: float) -> list[Part]:
        """Those of the store's leases that an exchange under way relies on."""
        return self._allotments.hold(ticket, ends_at)

    def round(self, *, last: bool = False) -> None:
        """Settles what has lain here too long, twice a second however often it is called. ``last``: everything, now."""
        now = self._now()
        if not last and now < self._swept_at + _SWEEP_S:
            return
        self._swept_at = now
        for part, used in self._allotments.ended(now, all_of=last):
            self._end(part, Spent(0.0, used, 0.0), now)

    def counts(self) -> dict[str, int]:
        """For the operator."""
        return self._allotments.counts()

    def _settle(self) -> None:
        for part, used in self._allotments.closed():
            self._end(part, Spent(0.0, used, 0.0), self._now())

    def _buying(self, key: Key) -> asyncio.Task[bool]:
        task = self._under_way.get(key)
        if task is None:
            # It begins when all who ask within this turn of the loop have said what they need.
            task = self._under_way[key] = asyncio.get_running_loop().create_task(self._buy(key))
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        return task

    async def _buy(self, key: Key) -> bool:
        """Whether the store has answered."""
        now = self._now()
        bill = self._allotments.asking(key, now)
        if bill is None:
            return True
        part = self._asker.part([bill], [0], self._lease_s, now)
        part.waiting = self._batch.put(part.call)
        answer = await part.waiting
        now = self._now()
        if answer == "late" or isinstance(answer, Trouble):
            part.hear(self._late)
            self._allotments.failed(key, now)
            return False
        part.heard(answer)
        outcome = answer[0]
        levels = outcome.levels
        # Without its count: how much was bought says nothing about whose exchanges come here.
        self._shadow.saw(bill, levels[: len(bill.tariff.meters)], outcome.touched, 0.0, now, False, outcome.lost_at)
        if part.given:
            self._allotments.granted(key, bill, part, levels, now)
        else:
            self._allotments.refused(key, bill, levels, now)
        return True

    def _late(self, part: Part, answer: Answer) -> None:
        """What comes when nobody waits any more goes back."""
        part.heard(answer)
        if part.given:
            self._end(part, Spent(0.0, 0.0, 0.0), self._now())


__all__ = ["Sharing"]
