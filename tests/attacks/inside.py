"""The same attacks without a server: one guard in this process, driven message by message."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from guard import GuardMiddleware
from guard.clock import ManualClock
from guard.config import load
from guard.contracts import Charge, Slots
from guard.settings import Policy
from guard.types import Decision
from tests.asgi import Connection, http_scope
from tests.attacks.upstream import Upstream
from tests.attacks.wire import ASK, encoded

Pairs = Iterable[tuple[str, str]]


class Inside:
    """A guarded endpoint and its clock. ``now`` stands still until it is moved."""

    def __init__(self, policy: str | Policy, upstream: Any = None) -> None:
        self.clock = ManualClock()
        self.upstream: Any = upstream or Upstream()
        self.app = GuardMiddleware(self.upstream, load(policy) if isinstance(policy, str) else policy, clock=self.clock)
        self.guard = self.app.installation.guard
        self.decisions: list[Decision] = []

    def connect(
        self,
        body: Any = ASK,
        headers: Pairs = (),
        *,
        key: str = "",
        raw: Iterable[tuple[bytes, bytes]] = (),
        **scope: Any,
    ) -> Connection:
        """A connection with one request that hasn't been read yet. ``raw`` headers are bytes; ``key`` is a bearer's."""
        asked = http_scope(headers=[*((("authorization", f"Bearer {key}"),) if key else ()), *headers], **scope)
        asked["headers"] += raw
        return Connection(self.app, asked, [encoded(body)])

    async def ask(self, *parts: Any, **more: Any) -> Connection:
        """One request to its end. What was decided about it, where the app was called, joins ``decisions``."""
        connection = await self.connect(*parts, **more).run()
        if (decision := connection.scope["state"].get("guard")) is not None:
            self.decisions.append(decision)
        return connection

    async def statuses(self, times: int, *parts: Any, **more: Any) -> list[int]:
        return [(await self.ask(*parts, **more)).status for _ in range(times)]

    async def start(self, connections: list[Connection]) -> list[asyncio.Task[Any]]:
        """Starts every connection and lets the loop go on until each is answered or held by the endpoint."""
        tasks = [asyncio.ensure_future(connection.run()) for connection in connections]
        for _ in range(1000):
            await asyncio.sleep(0)
            if sum(bool(connection.sent) for connection in connections) + self.upstream.running >= len(connections):
                break
        return tasks

    async def let_go(self, tasks: list[asyncio.Task[Any]]) -> None:
        """Releases what the endpoint holds and waits until all is answered."""
        await self.ask(path="/release")
        await asyncio.gather(*tasks)

    @property
    def accepted(self) -> list[str]:
        """The keyed hashes of the credentials that the endpoint has accepted, oldest first."""
        keys: Any = self.guard.identities.snapshot()["accepted"]
        return list(keys)

    @property
    def slots(self) -> int:
        """Concurrency slots that are held."""
        return slots_in_use(self.app)

    def used(self, unit: str, *, limit: str = "free", account: str = "", window_s: float = 86_400.0) -> float:
        """How much of a limit an account has used (the first accepted one if none is named)."""
        return used(self.app, unit, limit=limit, account=account, window_s=window_s)


def slots_in_use(app: GuardMiddleware) -> int:
    return int(app.installation.guard.store.counts()["slots_in_use"])  # type: ignore[attr-defined]


def used(
    app: GuardMiddleware,
    unit: str,
    *,
    limit: str = "free",
    account: str = "",
    window_s: float = 86_400.0,
    ordinal: int = 0,
) -> float:
    """The level of a meter: looks, and takes nothing."""
    installation = app.installation
    accepted: Any = installation.guard.identities.snapshot()["accepted"]
    subject = account or accepted[0]
    look = Charge((limit, unit, str(ordinal), subject), 0.0, 1e15, 1e15 / window_s, book=False, guarded="account")
    # The rate is the meter's own from its last touch; a look with another one would change it.
    for window in installation.guard.policy.limits:
        if window.id == limit:
            amount = getattr(window, unit)[ordinal].amount
            look = look._replace(rate_per_s=amount / window_s)
    taken, _ = installation.guard.store.take([look], Slots((), 0.0), installation.clock.now())
    return taken.levels[0]
