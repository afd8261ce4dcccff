"""The ASGI edge: pure ASGI, one ``Responder`` a request, phases HEADERS → BODY → START → STREAM → DONE.

``DONE`` runs in every case, also after a disconnect, a cancellation or an error, and it is synchronous, so nothing can
interrupt it. Bytes pass untouched in both directions; what guard refuses never reaches the app, and what it can't read on
a protected route neither. In mode ``observe`` everything reaches the app, read or not.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from guard.background import Background
from guard.call import NOT_PROTECTED
from guard.clock import Clock, SystemClock
from guard.endpoints import endpoints
from guard.errors import InstallError
from guard.installation import Installation
from guard.responder import Responder, refuse_websocket
from guard.settings import Policy

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_MARK = "guard"
_TWICE = (
    "guard is installed twice in this stack: every limit would be charged double. HINT: look for a second "
    "app.add_middleware(GuardMiddleware, …), a GuardMiddleware round an app that a protected app mounts, or "
    "`guard serve` in front of an app that wraps itself in one process. Remove one of them."
)


class GuardMiddleware:
    """Puts guard in front of an ASGI app.

    ``policy`` is the path of a policy file, the name of a preset (``observe``, ``standard``, ``small``, ``large``) or a
    compiled ``Policy``. ``clock`` is for tests. Raises ``PolicyError`` for a policy with mistakes and ``InstallError`` where
    guard can't work as it is set up, both when it is constructed.

        app.add_middleware(GuardMiddleware, policy="guard.toml")
    """

    def __init__(self, app: ASGIApp, policy: str | Path | Policy = "observe", *, clock: Clock | None = None) -> None:
        self.app = app
        self.installation = Installation(policy, clock or SystemClock())
        self._background = Background(self.installation)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if _MARK in scope:
            raise InstallError(_TWICE)
        scope[_MARK] = self.installation
        if kind == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        if not self._background.running:
            # No lifespan came (a server or test client without it): what it would have started starts now.
            self._background.start()
        if kind == "http":
            route = self.installation.route(scope)
            if route is NOT_PROTECTED:
                self.installation.passed_by(scope)
                await self.app(scope, receive, send)
            else:
                await Responder(self.app, self.installation, scope, receive, send).run(route)
        elif kind == "websocket":
            if self.installation.lets_websocket(scope):
                await self.app(scope, receive, send)
            else:
                await refuse_websocket(scope, receive, send)
        else:
            raise InstallError(f"guard can't judge connections of type {kind!r} and lets none through unjudged")

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The app's own lifespan, with guard's round it: ready before the app says so, closed after it has ended."""

        async def started(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                try:
                    await self._background.begin()
                except (InstallError, OSError) as error:
                    await send({"type": "lifespan.startup.failed", "message": f"guard: {error}"})
                    raise
                found = endpoints(scope.get("app", self.app), self.installation.guard.policy)
                self.installation.list_routes((endpoint.path, endpoint.protection) for endpoint in found)
            elif message["type"] in {"lifespan.shutdown.complete", "lifespan.shutdown.failed"}:
                await self._background.end()
            await send(message)

        try:
            await self.app(scope, receive, started)
        finally:
            # A cancelled or crashed lifespan still leaves the state on disk.
            self.installation.flush()
