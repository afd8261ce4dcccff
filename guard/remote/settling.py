"""What ends or lengthens a lease in the store is sent in the background, many at a time.

A correction is sent once: was it done or not when the line broke, nobody knows, and giving back twice would be a gift. What was
to be charged on top is then owed again by the caller. Slots are given back until the store has confirmed it: a slot that is
already free can't be freed again. While the store doesn't answer, everything waits here; the oldest goes when it is too much,
which leaves it charged.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from guard.remote import wire
from guard.remote.link import Link, Trouble


class Ending(NamedTuple):
    """One lease's message. ``slots``: what is to be sent again if the line breaks, None: nothing is."""

    key: str
    blob: bytes
    slots: bytes | None = None
    owe: Callable[[], None] | None = None
    """What is done about it if nobody knows whether it was done."""


class Settling:
    """``allowed`` says whether the store answers; ``failed`` and ``healed`` hear of what went wrong there."""

    def __init__(
        self,
        link: Link,
        clock: Callable[[], bytes],
        allowed: Callable[[], bool],
        failed: Callable[[Trouble], None],
        healed: Callable[[int], None],
        *,
        most: int = 50_000,
    ) -> None:
        self._link = link
        self._clock = clock
        self._allowed = allowed
        self._failed = failed
        self._healed = healed
        self._most = most
        self._waiting: deque[Ending] = deque()
        self._again: list[Ending] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._scheduled = False
        self.dropped = 0
        """Messages that were never sent, for there were too many."""

    def __len__(self) -> int:
        return len(self._waiting) + len(self._again)

    def put(self, ending: Ending) -> None:
        """To be sent as soon as may be."""
        if len(self._waiting) >= self._most:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(ending)
        if not self._scheduled:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                return  # nobody's loop: the next round in the background takes it
            self._scheduled = True
            loop.call_soon(self.flush)

    def flush(self) -> None:
        """Sends what waits, if the store answers."""
        self._scheduled = False
        while self._waiting and self._allowed() and len(self._tasks) < 4:
            some = [self._waiting.popleft() for _ in range(min(64, len(self._waiting)))]
            task = asyncio.get_running_loop().create_task(self._send(some))
            self._tasks.add(task)
            task.add_done_callback(self._done)

    def again(self) -> None:
        """Sends what failed before, and what waits; now and then in the background."""
        again, self._again = self._again, []
        self._waiting.extend(again)
        self.flush()

    async def drain(self) -> None:
        """Waits until all is sent that can be."""
        self.flush()
        while self._tasks:
            await asyncio.wait(list(self._tasks))
            self.flush()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._waiting:
            self.flush()

    async def _send(self, some: Sequence[Ending]) -> None:
        if not self._link.clustered:
            await self._carry(some)
            return
        slots: dict[int, list[Ending]] = {}
        for ending in some:
            slots.setdefault(self._link.slot(ending.key), []).append(ending)
        await asyncio.gather(*[self._carry(same) for same in slots.values()])

    async def _carry(self, some: Sequence[Ending]) -> None:
        try:
            reply = await self._link.script(
                "settle", [ending.key for ending in some], [self._clock(), *[ending.blob for ending in some]]
            )
            self._healed(wire.ended(reply)[1])
        except (Trouble, ValueError) as error:
            trouble = error if isinstance(error, Trouble) else Trouble("other", "answer")
            self._failed(trouble)
            for ending in some:
                if ending.owe is not None:
                    ending.owe()
                if ending.slots is not None and len(self._again) < self._most:
                    self._again.append(Ending(ending.key, ending.slots, ending.slots))


__all__ = ["Ending", "Settling"]
