"""What runs beside the requests: recognition four times a second, the tick (flush, snapshot, reload) once a second, SIGHUP,
and the operator's channel.

One task on the server's own loop; no threads. What a tick expects to go wrong (disk, policy file) is counted and shown in
health. An error nobody expected ends the task, asyncio logs it, and the next request starts it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from typing import TYPE_CHECKING

from guard.admin import AdminServer

if TYPE_CHECKING:
    from guard.installation import Installation

TICK_S = 1.0
# Between two slices of background work every request that waits gets its turn.
_SLICE_PAUSE_S = 0.0
# Where work is due at this moment, requests go first.
_SHORTEST_S = 0.005
# How long a replica tries to take up what the others know before it begins, and to tell them what it knows when it ends.
_JOINING_S = 1.0
_LEAVING_S = 1.0


class Background:
    """Starts and ends what runs beside the requests of one installation."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._admin = AdminServer(
            installation.control, installation.guard.policy.admin, installation.clock, log=installation.log
        )
        installation.warn(*self._admin.warnings)
        self._task: asyncio.Task[None] | None = None
        self._fleet: asyncio.Task[None] | None = None
        self._hangup = False
        self._wake = asyncio.Event()
        installation.wake = self._wake.set

    @property
    def running(self) -> bool:
        """Whether it was started on a loop that still runs."""
        return self._task is not None and not self._task.done()

    async def begin(self) -> None:
        """Starts everything, the operator's channel included. Raises ``InstallError`` where that can't open."""
        if not self.running:
            await self._admin.start()
            fleet = self._installation.fleet
            if fleet is not None:
                # What the others have found is taken up before anybody is judged; a store that doesn't answer is not waited for.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_JOINING_S):
                        await fleet.round()
            self._installation.collecting.watch()
            self.start()

    def start(self) -> None:
        """Starts the tick without waiting; the operator's channel opens with its first round."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="guard background")

    async def end(self) -> None:
        """Ends everything and writes what is left."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        self._installation.collecting.leave()
        await self._admin.close()
        if self._fleet is not None and self._installation.fleet is not None:
            self._fleet.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._fleet
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LEAVING_S):
                    await self._installation.fleet.close()
        if self._installation.remote is not None:
            await self._installation.remote.close()
        self._installation.close()

    async def _run(self) -> None:
        installation = self._installation
        await self._admin.start()
        if installation.remote is not None:
            await installation.remote.open()
        elapsed_s = asyncio.get_running_loop().time
        tick_at = 0.0
        with self._on_hangup():
            while True:
                self._wake.clear()
                if installation.fleet is not None and (self._fleet is None or self._fleet.done()):
                    self._fleet = asyncio.get_running_loop().create_task(installation.fleet.run(), name="guard fleet")
                now, hangup = installation.clock.now(), self._hangup
                if hangup or elapsed_s() >= tick_at:
                    self._hangup = False
                    tick_at = elapsed_s() + TICK_S
                    work = installation.tick(now, hangup=hangup)
                else:
                    work = installation.recognise(now)
                for _ in work:
                    await asyncio.sleep(_SLICE_PAUSE_S)
                wait_s = max(_SHORTEST_S, installation.wait_s(installation.clock.now()))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):  # not wait_for, which may lose a cancellation
                        await self._wake.wait()

    def _hung_up(self) -> None:
        self._hangup = True
        self._wake.set()

    @contextlib.contextmanager
    def _on_hangup(self):  # type: ignore[no-untyped-def]
        """SIGHUP reloads the policy, where nobody else has claimed the signal and this is the main thread."""
        free = (
            threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
        )
        loop = asyncio.get_running_loop()
        if free:
            loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        try:
            yield
        finally:
            if free:
                loop.remove_signal_handler(signal.SIGHUP)
