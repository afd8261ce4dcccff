"""What a replica does beside the requests to keep up with the store: it says that it is alive, looks whether a store that was
gone is back, and brings home what is owed and what failed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from guard.remote import names
from guard.remote.asker import Asker
from guard.remote.breaker import Breaker
from guard.remote.link import Link, Trouble
from guard.remote.settling import Settling
from guard.remote.shadow import Shadow

_ROUND_S = 0.1
_BEAT_S = 1.0
_RESET_S = 0.5
_BROUGHT = 64
_ERASURES_MOST = 10_000
# Errors of a server that is not, or no longer, the one to ask.
_ELSEWHERE = {"readonly", "clusterdown", "moved", "lost"}
_REMEDY = {
    "version": "a newer guard keeps its limits in this store: update this replica, or give it another store or database",
    "noauth": "the store refuses the credentials: correct them in the store's address",
    "noperm": "the store's user may not do what guard needs: see `guard store check`",
    "oom": "the store is full: raise maxmemory",
    "misconf": "the store refuses writes because it can't save to disk: see its log",
}


class Home:
    """``now`` is the clock that the requests go by, ``failed`` hears of every call that failed."""

    def __init__(  # noqa: PLR0917 - the parts of one store
        self,
        link: Link,
        shadow: Shadow,
        breaker: Breaker,
        asker: Asker,
        settling: Settling,
        failed: Callable[[Trouble], None],
        now: Callable[[], float],
        replica: str,
        deadline_s: float,
    ) -> None:
        self.trouble = ""
        """What is wrong with the store and what helps; ``""``: nothing is known to be."""
        self.log: Callable[[str], None] | None = None
        """Called with a line for the operator, at most once a second."""
        self.beside: Callable[[], None] | None = None
        """Called ten times a second while the store answers."""
        self._link = link
        self._shadow = shadow
        self._breaker = breaker
        self._asker = asker
        self._settling = settling
        self._failed = failed
        self._now = now
        self._replica = replica
        self._deadline_s = deadline_s
        self._task: asyncio.Task[None] | None = None
        self._wake: asyncio.Event | None = None
        self._erasures: dict[str, None] = {}
        self._beaten = self._reset = self._logged = float("-inf")
        self._elsewhere = False

    async def open(self) -> None:
        """Looks for the store once, and goes on in the background."""
        if self._task is None:
            self._wake = asyncio.Event()
            await self._beat()
            self._begin()

    async def close(self) -> None:
        """Brings home what it can, and ends."""
        task, self._task = self._task, None
        while task is not None and not task.done():
            # More than once: a call that times out at that very moment takes a cancellation for its own.
            task.cancel()
            await asyncio.wait([task], timeout=0.05)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await self._bring()

    def soon(self) -> None:
        """There is something to be brought home."""
        if self._wake is not None and self._breaker.state == "closed":
            self._wake.set()

    def erase(self, subject: str) -> None:
        """An account is to be erased in the store as soon as it answers."""
        if len(self._erasures) < _ERASURES_MOST:
            self._erasures[subject] = None
        self.soon()

    def heard(self, trouble: Trouble, at: float) -> None:
        """A call failed."""
        self._elsewhere = self._elsewhere or trouble.kind in _ELSEWHERE
        self.trouble = f"{trouble.kind}: {_REMEDY.get(trouble.kind, 'the store does not answer as it should')}"
        if self.log is not None and not self._logged <= at < self._logged + 1.0:
            self._logged = at
            self.log(f"{trouble}; {_REMEDY.get(trouble.kind, 'limits go on from what was last seen')}")

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._keep())
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """What nobody foresaw must not leave this replica alone for good: it is told, and the round begins again."""
        if task is self._task and not task.cancelled() and (error := task.exception()) is not None:
            self._failed(Trouble("other", type(error).__name__))
            self._begin()

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        wake = self._wake
        assert wake is not None
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_ROUND_S):
                    await wake.wait()
            wake.clear()
            if self._breaker.state != "closed":
                if self._breaker.probe_due(self._now()):
                    if self._elsewhere and loop.time() > self._reset + _RESET_S:
                        self._reset, self._elsewhere = loop.time(), False
                        await self._link.reset()
                    await self._beat()
            elif loop.time() >= self._beaten + _BEAT_S:
                await self._beat()
            if self._breaker.state == "closed":
                if self.beside is not None:
                    self.beside()
                self._settling.again()
                await self._bring()

    async def _beat(self) -> None:
        """Says that this replica is alive; a probe, too: it writes, and it looks for a newer version's records."""
        loop = asyncio.get_running_loop()
        self._beaten = begun = loop.time()
        try:
            told = await self._link.script(
                "beat", [names.ALIVE, names.NEWEST], [self._replica, names.LAYOUT, self._asker.seconds()]
            )
            newest, replicas = int(told[0]), int(told[1])
        except (Trouble, ValueError, TypeError, IndexError) as error:
            self._failed(error if isinstance(error, Trouble) else Trouble("other", "beat"))
            return
        if newest > names.LAYOUT:
            self._failed(Trouble("version"))
            return
        self._shadow.replicas = max(1, replicas)
        if loop.time() - begun > self._deadline_s and self._breaker.state != "closed":
            self._failed(Trouble("timeout", "probe"))
            return
        before = self._breaker.state
        self._breaker.succeeded(self._now())
        if self._breaker.state == "closed":
            self.trouble = ""
            if before != "closed":
                self._shadow.recall()

    async def _bring(self) -> None:
        """Debts and erasures, until there are none or the store fails."""
        while self._breaker.state == "closed":
            owing = self._shadow.owing()[:_BROUGHT]
            if not owing or not await self._asker.bring(owing, self._now()):
                break
        for subject in list(self._erasures):
            try:
                await self._asker.erase(subject)
            except Trouble as error:
                self._failed(error)
                return
            del self._erasures[subject]


__all__ = ["Home"]
