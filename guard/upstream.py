"""Sends requests on to the endpoint behind a gateway and its answers back, chunk by chunk and byte for byte.

Nothing is decoded, kept, followed or retried. When the client leaves, the upstream's work is cancelled within a second; when
the upstream fails, the client is told so in words that say nothing about it; an answer that breaks off in its middle breaks
off for the client too, and never looks whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from logging import WARNING
from typing import TYPE_CHECKING, NamedTuple

import httpx

from guard.clock import Clock
from guard.errors import BadExchange, InstallError
from guard.forwarding import BODYLESS, METHODS, Forwarding
from guard.leaving import PIECE_BYTES, ClientLeft, Watch, pieces, stalled
from guard.logs import Log
from guard.recent import Recent
from guard.responder import refuse_websocket
from guard.settings import Body
from guard.transport import Content, Ready, aiohttp_transport, by_client, faults, plain, timed_out
from guard.types import JSONObject

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

_LONGEST_REMEMBERED = 512
_NOTHING: dict[str, object] = {}
# Versions in which a body without a length and without chunks is none.
_STATED = frozenset({"1.0", "1.1"})
_HEAD = frozenset({"HEAD"})
_LATE = (504, "upstream_timeout", "The model endpoint did not answer in time.")
# The client's own timeout comes first.
_LONGER = 1.25
# After these the request has not been read to its end, so the connection can't carry another one.
_CLOSING = frozenset({408, 413, 431})


class Timeouts(NamedTuple):
    """Seconds: for a connection to be made, between two pieces of an answer (its first one included), for a free connection."""

    connect_s: float = 5.0
    read_s: float = 600.0
    pool_s: float = 10.0


_TIMEOUTS = Timeouts()


class Sender:
    """An ASGI app that answers with what the upstream answers.

    ``client`` is any ``httpx.AsyncClient`` or transport, which stays its owner's; without one a transport over aiohttp is
    made for at most ``most_connections`` connections, and closed with the app's lifespan. ``admit`` is asked before
    anything is sent on, and raises ``BadExchange`` where it is not to be.
    """

    def __init__(
        self,
        forwarding: Forwarding,
        clock: Clock,
        client: httpx.AsyncClient | httpx.AsyncBaseTransport | None = None,
        *,
        timeouts: Timeouts = _TIMEOUTS,
        most_connections: int = 1000,
        admit: Callable[[Scope], Awaitable[None]] | None = None,
    ) -> None:
        self._forwarding = forwarding
        self._clock = clock
        self._admit = admit
        self._log = Log()
        self._own = None if client is not None else aiohttp_transport(most_connections)
        self._make: Callable[..., httpx.Request] = Ready if client is None else plain
        self._urls: Recent[str, httpx.URL] = Recent(256)
        self._faults = faults()
        sender = client if client is not None else self._own
        self._send: Callable[[httpx.Request], Awaitable[httpx.Response]]
        if isinstance(sender, httpx.AsyncClient):
            self._send = partial(by_client, sender)
        elif sender is not None:
            self._send = sender.handle_async_request
        self._silence_s = timeouts.read_s * _LONGER
        self._extensions: JSONObject = {
            "timeout": {
                "connect": timeouts.connect_s,
                "read": timeouts.read_s,
                "write": timeouts.read_s,
                "pool": timeouts.pool_s,
            }
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            await self._forward(scope, receive, send)
        elif kind == "lifespan":
            await self._lifespan(receive, send)
        elif kind == "websocket":
            await refuse_websocket(scope, receive, send)
        else:
            raise InstallError(f"a gateway can't send on connections of type {kind!r}")

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if self._own is not None:
            await self._own.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    async def _forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        watch = Watch(receive, self._silence_s)
        try:
            request = await self._request(scope, watch)
            await self._exchange(request, watch, send)
        except BadExchange as refusal:
            await _say(send, refusal.status, "invalid_request_error", refusal.public)
        except ClientLeft:
            pass
        except asyncio.CancelledError:
            task = asyncio.current_task()
            # The watch has cancelled this task because nobody waits for its answer, or none comes; any other goes on.
            if not (watch.left or watch.silent) or task is None or task.uncancel():
                raise
            if watch.silent:
                await self._silenced(watch, send)
        finally:
            watch.end()

    # -- up -------------------------------------------------------------------------------------------------------

    async def _request(self, scope: Scope, watch: Watch) -> httpx.Request:
        """The request to send. Raises ``BadExchange`` for one that isn't sent on."""
        method: str = scope["method"]
        if method not in METHODS:
            raise BadExchange(405, "method", "This method is not open here.")
        target = self._forwarding.target(scope)
        if self._admit is not None:
            await self._admit(scope)
        guard = scope["guard"].guard
        caller, bounds = guard.compiled.caller, guard.policy.body
        incoming = scope["headers"]
        if "guard" not in scope.get("state", _NOTHING):
            # The middleware has passed it by: its bounds, and what only a declared hop may say, are judged here.
            _check_size(incoming, bounds)
            incoming = caller.stripped(incoming, caller.peer(scope))
        watch.patience_s = bounds.timeout_s
        sendable = self._forwarding.up(incoming, lambda: caller.peer(scope).hop)
        headers = sendable.headers
        content: Content = None
        if sendable.chunked or sendable.length or scope.get("http_version") not in _STATED:
            first = await watch.next()
            body: bytes = first.get("body", b"")
            whole = not first.get("more_body", False)
            if whole and len(body) <= PIECE_BYTES:
                content = body
            else:
                watch.reading = True
                content = pieces(first, watch)
                # Of a body that is there the length is what it is now: guard may have made it shorter.
                length = b"%d" % len(body) if whole else sendable.length
                if length:
                    headers.append((b"content-length", length))
        url = self._urls.get(target)
        if url is None:
            url = httpx.URL(target)
            if len(target) <= _LONGEST_REMEMBERED:
                self._urls.put(target, url)
        return self._make(method, url, headers, content, self._extensions)

    # -- down -----------------------------------------------------------------------------------------------------

    async def _exchange(self, request: httpx.Request, watch: Watch, send: Send) -> None:
        watch.begin_later()
        try:
            response = await self._send(request)
        except self._faults as error:
            if watch.left:
                raise ClientLeft from None
            if watch.stalled:
                raise stalled() from None
            await self._failed(error, send)
            return
        try:
            status = response.status_code
            headers = self._forwarding.down(status, response.headers.raw) if 200 <= status < 600 else None
            if headers is None:
                await self._unusable("an answer that can't be sent on", send)
                return
            watch.moved += 1
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await self._stream(response, request.method in _HEAD or status in BODYLESS, watch, send)
        finally:
            with contextlib.suppress(*self._faults):
                await response.aclose()

    async def _stream(self, response: httpx.Response, bodyless: bool, watch: Watch, send: Send) -> None:
        """The body. One that breaks off is not ended: the server closes the connection, and the client knows."""
        stated = response.headers.get("content-length")
        missing = -1 if stated is None or bodyless else int(stated)
        source = response.stream
        if not isinstance(source, httpx.AsyncByteStream):
            raise InstallError("the gateway's client gives answers that can't be awaited: give it an httpx.AsyncClient")
        try:
            # To its very end, also after the last byte: that hands the connection back.
            async for chunk in source:
                if chunk:
                    missing -= len(chunk)
                    watch.moved += 1
                    await send({"type": "http.response.body", "body": chunk, "more_body": missing != 0})
        except self._faults as error:
            if not (watch.left or watch.stalled):
                self._tell("broke off", error)
            return
        if missing < 0 or bodyless or stated == "0":
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        elif missing:
            self._tell("ended before its stated length")

    async def _failed(self, error: Exception, send: Send) -> None:
        if timed_out(error):
            self._tell("gave no answer in time", error)
            await _say(send, *_LATE)
        else:
            self._tell("could not be reached or broke off", error)
            await _say(send, 502, "upstream_error", "The model endpoint could not be reached.")

    async def _silenced(self, watch: Watch, send: Send) -> None:
        self._tell("fell silent")
        if not watch.moved:
            await _say(send, *_LATE)

    async def _unusable(self, why: str, send: Send) -> None:
        self._tell(why)
        await _say(send, 502, "upstream_error", "The model endpoint gave no usable answer.")

    def _tell(self, what: str, error: Exception | None = None) -> None:
        """For the operator: what happened and what kind of error it was. Its text may quote addresses and targets."""
        cause = None if error is None else error.__cause__ or error
        self._log.event("upstream", self._clock.now(), WARNING, what=what, error=type(cause).__name__ if cause else "")


def _check_size(headers: Sequence[tuple[bytes, bytes]], bounds: Body) -> None:
    if len(headers) > bounds.max_headers or sum(len(n) + len(v) for n, v in headers) > bounds.max_header_bytes:
        raise BadExchange(431, "headers", "The request's headers are too many or too large.")


async def _say(send: Send, status: int, kind: str, message: str) -> None:
    """An error in a shape that every SDK's exceptions can read."""
    body = json.dumps({"type": "error", "error": {"type": kind, "message": message}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if status in _CLOSING:
        headers.append((b"connection", b"close"))
    if status == 405:
        headers.append((b"allow", ", ".join(sorted(METHODS)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
