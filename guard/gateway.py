"""guard as a reverse proxy: the middleware in front of one upstream, and two probes that ask nobody.

    app = gateway("http://127.0.0.1:8000", "guard.toml")        # any ASGI server runs it; `guard serve` is this and uvicorn

Run it without the server's own proxy headers (uvicorn: ``proxy_headers=False``): which hops are trusted is the policy's to say.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from guard.admission import admit
from guard.clock import Clock, SystemClock
from guard.errors import InstallError
from guard.forwarding import Forwarding, upstream_of
from guard.middleware import GuardMiddleware
from guard.paths import canonical
from guard.routes import NOT_PROTECTED
from guard.settings import Policy
from guard.types import Headers
from guard.upstream import Sender, Timeouts

if TYPE_CHECKING:
    import httpx
    from starlette.types import Message, Receive, Scope, Send

_FINE, _LOCAL, _NOT_READY, _NOT_THIS_WAY = (
    (200, b'{"status":"ok"}'),
    # It goes on, so it is alive and ready: taking it out of service would make the outage of a store guard's own.
    (200, b'{"status":"ok","store":"local"}'),
    (503, b'{"status":"not ready"}'),
    (405, b'{"status":"GET only"}'),
)


class Probes(NamedTuple):
    """The paths of liveness and readiness; ``""``: there is none. They are never sent on."""

    alive: str = "/healthz"
    ready: str = "/readyz"


# Where clients show who they are; none of it is for an upstream that the operator's own credential is for.
_SECRETS = frozenset({b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"cookie"})
_OPEN = (
    "with a credential for the upstream everybody who reaches this gateway would use it, for nobody else asks who they are: "
    "name a callable in [identity] describe that knows your clients' keys; or say --anyone, where something in front of guard "
    "lets nobody else through"
)
_TIMEOUTS, _PROBES = Timeouts(), Probes()


class Gateway:
    """The ASGI app. ``guard`` is the middleware; while ``draining`` is True it says that it isn't ready."""

    def __init__(self, guard: GuardMiddleware, probes: Probes) -> None:
        self.guard = guard
        self.draining = False
        self._started = True
        self._alive = probes.alive
        self._ready = probes.ready
        self._probes = frozenset(filter(None, probes))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http" and scope["path"] in self._probes:
            await self._probed(scope, send)
        elif kind == "lifespan":
            await self._lifespan(scope, receive, send)
        else:
            await self.guard(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._started = False

        async def noted(message: Message) -> None:
            self._started = message["type"] == "lifespan.startup.complete"
            await send(message)

        await self.guard(scope, receive, noted)

    async def _probed(self, scope: Scope, send: Send) -> None:
        if scope["method"] not in {"GET", "HEAD"}:
            status, body = _NOT_THIS_WAY
        elif scope["path"] == self._ready and (self.draining or not self._started):
            status, body = _NOT_READY
        else:
            installation = self.guard.installation
            now = installation.clock.now()
            local = installation.remote is not None and installation.remote.condition(now)["state"] != "up"
            status, body = _LOCAL if local else _FINE
            if scope["path"] == self._ready and installation.fleet is not None and not installation.fleet.ready(now):
                status, body = _NOT_READY
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def gateway(
    upstream: str,
    policy: str | Path | Policy = "observe",
    client: httpx.AsyncClient | httpx.AsyncBaseTransport | None = None,
    *,
    headers: Headers = (),
    credential: Headers = (),
    anyone: bool = False,
    timeouts: Timeouts = _TIMEOUTS,
    probes: Probes = _PROBES,
    most_connections: int = 1000,
    clock: Clock | None = None,
) -> Gateway:
    """guard in front of ``upstream``, an ``http://HOST:PORT`` with at most a plain path, as an ASGI app.

    ``policy`` as ``GuardMiddleware`` takes it. ``client``: any ``httpx.AsyncClient`` or transport, which stays its owner's; none:
    one over aiohttp. ``headers`` are put into every request that is sent on.

    ``credential`` are headers with the operator's own secret, put in the place of the client's, which goes no further. Then only
    those may pass whom ``[identity] describe`` names, or ``anyone``. Raises ``InstallError`` for what can't work,
    ``PolicyError`` for a policy with mistakes.
    """
    clock = clock or SystemClock()
    address = upstream_of(upstream)
    guard = GuardMiddleware(_nothing, policy, clock=clock)
    identity = guard.installation.guard.policy.identity
    if credential and not anyone and identity.describe is None:
        raise InstallError(_OPEN)
    guard.app = Sender(
        Forwarding(
            address,
            (*headers, *credential),
            credentials=_SECRETS | {name.encode("latin-1") for name in identity.credential} if credential else (),
            parameters={"key", identity.query} if credential else (),
            own_paths=[canonical(path) for path in probes if path],
        ),
        clock,
        client,
        timeouts=timeouts,
        most_connections=most_connections,
        admit=admit if credential and not anyone else None,
    )
    for path in filter(None, probes):
        route = guard.installation.guard.compiled.caller.route({"path": path})
        if not path.startswith("/") or route is not NOT_PROTECTED:
            raise InstallError(f"the probe {path!r} must be a path of its own, outside of what [protect] names")
    return Gateway(guard, probes)


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Stands behind the middleware until the policy has been read."""
