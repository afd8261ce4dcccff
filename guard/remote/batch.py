"""Requests in flight at the same moment share one call to the store.

What is asked within one turn of the event loop goes out together. While so many calls are under way as are useful, others
gather and go with the next. Nobody waits longer than the deadline: then whoever waits is answered ``LATE`` and goes on without
the store, and what the store says after all is told by ``Call.after``. A call is never cancelled on its way: whoever gives up
waiting is told later, too, what he has got, so that he can give it back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

from guard.remote.link import Trouble
from guard.remote.wire import Outcome

LATE: Literal["late"] = "late"
STOOD_S = 0.005
"""A timer that comes later than this says that the loop stood still; what has arrived meanwhile has as long to be read."""
Answer = tuple[Outcome, float] | Trouble
"""The outcome and the store's time of it, or why there is none."""
After = Callable[[Answer], None]


class Call:
    """One record's part of a call. ``answer`` is set once; ``after`` hears what comes when nobody waits any more."""

    __slots__ = ("_after", "_told", "blob", "count", "due_s", "key", "note", "waiting")

    def __init__(self, key: str, blob: bytes, count: int, note: Any = None) -> None:
        self.key = key
        self.blob = blob
        self.count = count
        self.note = note
        self._after: After | None = None
        self._told: Answer | None = None
        self.due_s = 0.0
        self.waiting: asyncio.Future[Answer | Literal["late"]] | None = None

    def tell(self, answer: Answer) -> None:
        """What the store said."""
        waiting = self.waiting
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)
        if self._after is None:
            # Between giving up and saying so there is a turn of the loop: it is kept for that.
            self._told = answer
        else:
            self._after(answer)

    def after(self, hear: After) -> None:
        """Nobody waits any more: ``hear`` is told what the store says, at once if it has said it."""
        self._after = hear
        if self._told is not None:
            hear(self._told)


class Batch:
    """``send`` does one call for several: it returns an answer for each and never raises. ``late(n)`` hears that ``n`` who
    waited on one call were given up."""

    def __init__(
        self,
        send: Callable[[Sequence[Call]], Awaitable[Sequence[Answer]]],
        deadline_s: float,
        *,
        late: Callable[[int], None] | None = None,
        most: int = 64,
        at_once: int = 4,
    ) -> None:
        self._send = send
        self._deadline_s = deadline_s
        self._late = late
        self._most = most
        self._at_once = at_once
        self._waiting: deque[Call] = deque()
        self._unsent: deque[Call] = deque()
        self._under_way: dict[asyncio.Task[None], float] = {}
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._looks_s = 0.0  # when the timer is due; its handle does not say so under every loop
        self._stood = False

    def put(self, call: Call) -> asyncio.Future[Answer | Literal["late"]]:
        """The answer to a call, at most the deadline later. Cancelled: ``call.after`` tells what came of it, nothing where it
        had not been sent."""
        loop = asyncio.get_running_loop()
        waiting = call.waiting = loop.create_future()
        call.due_s = loop.time() + self._deadline_s
        self._unsent.append(call)
        self._waiting.append(call)
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._flush)
        if self._timer is None:
            self._looks_s = call.due_s
            self._timer = loop.call_at(call.due_s, self._expire)
        return waiting

    def give_up(self) -> None:
        """Whoever waits is answered ``LATE`` now: the store is known not to answer."""
        waiting, self._waiting = self._waiting, deque()
        for call in waiting:
            if call.waiting is not None and not call.waiting.done():
                call.waiting.set_result(LATE)

    async def drain(self) -> None:
        """Waits until all that was sent has been answered."""
        while self._under_way:
            await asyncio.wait(list(self._under_way))

    def _flush(self) -> None:
        self._scheduled = False
        loop = asyncio.get_running_loop()
        while self._unsent and self._free(loop.time()):
            calls: list[Call] = []
            while self._unsent and len(calls) < self._most:
                call = self._unsent.popleft()
                # Who has given up before anything was sent has got nothing.
                if call.waiting is not None and not call.waiting.done():
                    calls.append(call)
            if calls:
                task = loop.create_task(self._carry(calls))
                self._under_way[task] = loop.time() + self._deadline_s
                task.add_done_callback(self._done)

    def _free(self, now_s: float) -> bool:
        # A call that hangs must not hold up those after it; how many may hang is the link's to bound.
        return sum([due_s > now_s for due_s in self._under_way.values()]) < self._at_once

    async def _carry(self, calls: Sequence[Call]) -> None:
        for call, answer in zip(calls, await self._send(calls), strict=True):
            call.tell(answer)

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        if self._unsent and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _expire(self) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        waiting = self._waiting
        if not self._stood and waiting and now_s > self._looks_s + STOOD_S:
            # The loop stood still over the deadline: answers may lie there that nobody has read, and it is not the store's fault.
            self._stood = True
            self._timer = loop.call_later(STOOD_S, self._expire)
            return
        self._stood = False
        late = 0
        while waiting:
            call = waiting[0]
            future = call.waiting
            if future is not None and not future.done():
                if call.due_s > now_s:
                    break
                future.set_result(LATE)
                late += 1
            waiting.popleft()
        self._timer = None
        if waiting:
            # Not sooner than now: what is due already is looked at as soon, and it is no sign of a loop that stood still.
            self._looks_s = max(now_s, waiting[0].due_s)
            self._timer = loop.call_at(self._looks_s, self._expire)
        if late and self._late is not None:
            self._late(late)
        if self._unsent and not self._scheduled:
            self._flush()


__all__ = ["LATE", "STOOD_S", "Answer", "Batch", "Call"]
