"""What a replica does beside the requests to keep up with the store: it says that it is alive, looks whether a store that was
gone is back, and brings home what is owed and what failed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

from guard.remote import names
from guard.remote.asker import Asker
from guard.remote.batch import STOOD_S
from guard.remote.breaker import Breaker
from guard.remote.link import Link, Trouble
from guard.remote.oversight import Oversight
from guard.remote.settling import Settling
from guard.remote.shadow import Shadow

_ROUND_S = 0.1
_BEAT_S = 1.0
_RESET_S = 0.5
# Probes that nobody waits for any more, each on a connection of its own until the link gives it up.
_LOOKS_MOST = 8
# An answer of any kind, however late, says for so long that the store can be told something.
_ANSWERED_S = 0.25
_BROUGHT = 64
_ERASURES_MOST = 10_000
# Errors of a server that is not, or no longer, the one to ask.
_ELSEWHERE = {"readonly", "clusterdown", "moved", "lost"}
_CLUSTERED = "the store is a node of a cluster: write its address as redis+cluster://"
_REMEDY = {
    "version": "a newer guard keeps its limits in this store: update this replica, or give it another store or database",
    "noauth": "the store refuses the credentials: correct them in the store's address",
    "noperm": "the store's user may not do what guard needs: see `guard store check`",
    "oom": "the store is full: raise maxmemory",
    "misconf": "the store refuses writes because it can't save to disk: see its log",
    "tls": "the store's certificate is not accepted: renew it if it has expired, or name its authority (ssl_ca_certs)",
    "crossslot": _CLUSTERED,
    "moved": _CLUSTERED,
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
        self.oversight = Oversight(link, now if asker.seconds() == 0.0 else None)
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
        self.turned_s = float("-inf")
        """When the breaker opened or closed last, by the loop's clock: what was asked before says nothing about now."""
        self._answered_s = float("-inf")
        self._task: asyncio.Task[None] | None = None
        self._looks: list[asyncio.Task[Trouble | None]] = []
        self._beside: dict[str, asyncio.Task[None]] = {}
        self._wake: asyncio.Event | None = None
        self._erasures: dict[str, None] = {}
        self._beaten = self._reset = self._logged = float("-inf")
        self._elsewhere = False

    async def open(self) -> None:
        """Looks for the store once, and goes on in the background."""
        if self._task is None:
            self._wake = asyncio.Event()
            trouble = await self._asked()
            if trouble is not None:
                self._failed(trouble)
            else:
                self._succeeded()
            self._begin()

    async def close(self) -> None:
        """Brings home what it can, and ends."""
        tasks: list[asyncio.Task[Any]] = [*self._looks, *self._beside.values()]
        task, self._task = self._task, None
        if task is not None:
            tasks.append(task)
        while tasks := [each for each in tasks if not each.done()]:
            # More than once: a call that times out at that very moment takes a cancellation for its own.
            for each in tasks:
                each.cancel()
            await asyncio.wait(tasks, timeout=0.05)
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
                        self._go("reset", self._link.reset())
                    await self._probe()
            elif loop.time() >= self._beaten + _BEAT_S:
                self._beaten = loop.time()
                self._go("beat", self._beat())
            if self._breaker.state == "closed":
                if self.beside is not None:
                    self.beside()
                if self.oversight.due():
                    self._go("look over", self.oversight.look())
                self._settling.again()
            # Also while nobody relies on it: what others are not told of in time they give away once more.
            if self._answers() and (self._erasures or self._shadow.owing()):
                self._go("bring", self._bring())

    def _go(self, what: str, work: Coroutine[Any, Any, None]) -> None:
        """Beside the rounds, which a store that hangs must not hold up: nobody would look whether it is back."""
        if what in self._beside:
            work.close()
            return
        task = self._beside[what] = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(lambda _: self._beside.pop(what, None))
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(Trouble("other", type(error).__name__))

    async def _probe(self) -> None:
        """Asks whether the store is back. Who is late has failed, and is left to end by itself: the next probe goes out in time,
        on another connection, whatever has become of this one."""
        loop = asyncio.get_running_loop()
        self._looks = [look for look in self._looks if not look.done()]
        if len(self._looks) >= _LOOKS_MOST:
            self._looks.pop(0).cancel()
        begun = self._beaten = loop.time()
        look = loop.create_task(self._asked())
        look.add_done_callback(self._over)
        self._looks.append(look)
        await asyncio.wait([look], timeout=self._deadline_s)
        if not look.done() and loop.time() > begun + self._deadline_s + STOOD_S:
            await asyncio.wait([look], timeout=STOOD_S)
        trouble: Trouble | None = Trouble("timeout", "probe")
        if look.done() and not look.cancelled() and look.exception() is None:
            trouble = look.result()
        if trouble is not None:
            self._failed(trouble)
        else:
            self._succeeded()

    async def _beat(self) -> None:
        """Says that this replica is alive."""
        trouble = await self._asked()
        if trouble is not None:
            self._failed(trouble)
        elif self._breaker.state == "closed":
            self._succeeded()

    async def _asked(self) -> Trouble | None:
        """The call of a beat and of a probe: it writes, and it looks for a newer version's records."""
        try:
            told = await self._link.script(
                "beat",
                [names.ALIVE, names.NEWEST, names.NEAR],
                [self._replica, names.LAYOUT, self._asker.seconds(), self._shadow.hearsay.says(self._now())],
            )
            newest, replicas, server_now = int(told[0]), int(told[1]), float(told[2])
            others = told[3] if len(told) > 3 else ()
        except (Trouble, ValueError, TypeError, IndexError) as error:
            return error if isinstance(error, Trouble) else Trouble("other", "beat")
        if newest > names.LAYOUT:
            return Trouble("version")
        self._answered_s = asyncio.get_running_loop().time()
        self._shadow.replicas = max(1, replicas)
        self._shadow.hearsay.hears(others, server_now, self._now())
        return None

    def _succeeded(self) -> None:
        before = self._breaker.state
        self._breaker.succeeded(self._now())
        if self._breaker.state == "closed":
            self.trouble = ""
            if before != "closed":
                self.turned_s = asyncio.get_running_loop().time()
                self._shadow.recall()
                self.oversight.soon()

    def _answers(self) -> bool:
        """Whether the store answers at all, be it too late for requests."""
        return self._breaker.state == "closed" or asyncio.get_running_loop().time() < self._answered_s + _ANSWERED_S

    async def _bring(self) -> None:
        """Debts and erasures, until there are none or the store fails."""
        while self._answers():
            owing = self._shadow.owing()[:_BROUGHT]
            if not owing or not await self._asker.bring(owing, self._now()):
                break
            self._answered_s = asyncio.get_running_loop().time()
        for subject in list(self._erasures):
            try:
                await self._asker.erase(subject)
            except Trouble as error:
                self._failed(error)
                return
            del self._erasures[subject]


__all__ = ["Home"]
