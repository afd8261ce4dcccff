"""Every store behind the same synchronous verbs, on a real server where it has one: so that one suite tests them all."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from guard.contracts import Bill, Charge, Slots, Spent, Store, Taken
from guard.settings import State
from guard.stores.redis import RedisStore


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(100)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class Awaited:
    """A remote store whose every verb is waited for, at the caller's time."""

    name = "redis"
    schemes = ("redis",)

    def __init__(self, url: str, loop: Loop, **more: Any) -> None:
        self.now = 0.0
        self._loop = loop
        self.store = loop.run(self._made(State(store=url, deadline_s=30.0), more))

    async def _made(self, state: State, more: dict[str, Any]) -> RedisStore:
        return RedisStore(state, time=lambda: self.now, **more)

    def take(self, charges: Sequence[Bill] | Sequence[Charge], slots: Slots, now: float) -> tuple[Taken, int]:
        self.now = now
        outcome: tuple[Taken, int] = self._loop.run(self.store.reserve(charges, slots, now))
        assert not self.store.errors.keys() - {"forgotten"}  # a test may have emptied it
        return outcome

    def settle(self, corrections: Spent | Sequence[tuple[tuple[str, ...], float]], lease: int, now: float) -> bool:
        self.now = now
        return bool(self._loop.run(self._settled(corrections, lease, now)))

    async def _settled(self, corrections: Any, lease: int, now: float) -> bool:
        settled = self.store.settle(corrections, lease, now)
        await self.store.drain()
        assert not self.store.errors.keys() - {"forgotten"}  # a test may have emptied it
        return settled

    def hold(self, lease: int, ends_at: float) -> None:
        async def held() -> None:
            self.store.hold(lease, ends_at)
            await self.store.drain()

        self._loop.run(held())

    def forget(self, subject: str) -> int:
        return int(self._loop.run(self.store.erase(subject)))

    def close(self) -> None:
        self._loop.run(self.store.close())


Maker = Callable[[], Store]
