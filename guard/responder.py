"""One request on a protected route, from its headers to its last byte."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from guard.body import BodyReader, one_piece
from guard.contracts import Forward, Reply
from guard.describing import described
from guard.eager import Waiting, first_step, rest
from guard.errors import BadExchange
from guard.identity import NeedsDescribe
from guard.rewriting import Irreducible
from guard.stream import AnswerMeter, readable
from guard.treatment import Treatment
from guard.types import Headers, Route, Usage
from guard.unjudged import NOBODY, faulty, unreadable

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from guard.installation import Installation

HOLD_EVERY_S = 60.0
# After these guard has not read the request to its end, so the connection can't carry another one.
_CLOSING = frozenset({408, 413, 431})
_DISCONNECTED: Message = {"type": "http.disconnect"}


class _ClientLeft(Exception):  # noqa: N818 - what happened, not an error
    """The client went away before its request was whole."""


class Responder:
    """Answers one request. Its phases are its methods, in order."""

    __slots__ = (
        "_app",
        "_called",
        "_complete",
        "_cut",
        "_dialect",
        "_entry",
        "_extra",
        "_fed",
        "_hold_at",
        "_installation",
        "_messages",
        "_meter",
        "_pending",
        "_receipt",
        "_receive",
        "_scope",
        "_send",
        "_settled",
        "_status",
        "_treatment",
        "_words",
    )

    def __init__(self, app: ASGIApp, installation: Installation, scope: Scope, receive: Receive, send: Send) -> None:
        self._app = app
        self._installation = installation
        self._scope = scope
        self._receive = receive
        self._send = send
        self._pending: list[Message] = []
        self._meter: AnswerMeter | None = None
        self._status = self._messages = 0
        self._called = self._complete = self._cut = self._settled = False
        self._treatment: Treatment | None = None
        self._extra: Headers = ()

    async def run(self, route: Route) -> None:
        """The whole way. Errors of the app pass through, after DONE."""
        installation = self._installation
        guard = installation.guard
        now = installation.clock.now()
        compiled = guard.compiled
        plain = b""
        try:
            call = compiled.caller.call(self._scope, route)
        except BadExchange as fault:
            exchange = unreadable(compiled.caller.peer(self._scope), route, fault)
        else:
            account = NOBODY
            try:
                found = guard.identities.resolve(call, now)
                account = await described(guard, found, call, now) if isinstance(found, NeedsDescribe) else found
                bounds = compiled.policy.body
                # Most requests are there whole when they are asked for, and a timer costs more than reading them.
                first = first_step(self._receive())
                if isinstance(first, Waiting) or first.get("more_body", False) or first["type"] == "http.disconnect":
                    plain = await self._read(first, BodyReader(bounds, call), bounds.timeout_s)
                else:
                    self._pending.append(first)
                    plain = one_piece(first.get("body", b""), bounds, call)
                exchange = guard.read(call, account, plain, compiled)
            except BadExchange as fault:
                exchange = faulty(call, account, fault)
            except _ClientLeft:
                return
        headers = self._scope["headers"]
        if installation.remote is None:
            receipt, self._entry = installation.decide(exchange, compiled, plain, headers)
        else:
            receipt, self._entry = await installation.reach(exchange, compiled, plain, headers)
        self._receipt = receipt
        self._scope.setdefault("state", {})["guard"] = receipt.decision
        if receipt.decision.action != "allow":
            answer = guard.answer(receipt.decision, route.dialect)
            if isinstance(answer, Reply):
                self._done()
                await self._reply(answer)
                return
            self._extra = answer.headers
            if (answer.hold_s or answer.wanted or answer.notice) and not await self._treat(answer, route, plain):
                return
        self._dialect = guard.dialects.get(route.dialect) or guard.dialects["json"]
        self._words = guard.words.version
        self._hold_at = receipt.at + HOLD_EVERY_S
        scope = self._scope
        if exchange.fault is not None or not call.clean:
            scope["headers"] = compiled.caller.stripped(scope["headers"], exchange.peer)
        if route.dialect in guard.keeping:
            scope["headers"] = readable(scope["headers"])
        self._called = True
        try:
            await self._app(scope, self._replay, self._answer)
        finally:
            self._done()
            if self._treatment is not None:
                self._treatment.close()

    async def _treat(self, forward: Forward, route: Route, plain: bytes) -> bool:
        """Makes the exchange another than came; False: it ends here."""
        treatment = Treatment(self._installation, self._receipt, route, forward, self._receive)
        try:
            if not await treatment.hold():
                return False
            request = treatment.request(plain, self._scope["headers"])
        except Irreducible as error:
            reply, _ = treatment.give_up(error)
            self._receipt = treatment.refused()
            self._done()
            await self._reply(reply)
            return False
        else:
            if request.body is not None:
                self._pending[:] = ({"type": "http.request", "body": request.body, "more_body": False},)
            self._scope["headers"] = list(request.headers)
            self._send = treatment.send(self._send, self._hold, self._over)
            self._receive = treatment.receive
            self._treatment = treatment
            return True
        finally:
            if self._treatment is None:
                self._done()
                treatment.close()

    # -- HEADERS and BODY -----------------------------------------------------------------------------------------

    async def _read(self, first: Message | Waiting, reader: BodyReader, timeout_s: float) -> bytes:
        """Reads a body within its bounds, from its first message on, which may still be waited for.

        What was read is kept for the app, also where it can't be judged: in mode ``observe`` the app gets it all the same.
        """
        installation = self._installation
        held = 0
        try:
            async with asyncio.timeout(timeout_s):
                message = await rest(first) if isinstance(first, Waiting) else first
                while not self._take(message, reader):
                    size = len(message.get("body", b""))
                    held += size
                    installation.reading_bytes += size
                    if installation.reading_bytes > installation.most_reading_bytes:
                        raise BadExchange(503, "busy", "Too many large requests are being read. Try again in a moment.")
                    message = await self._receive()
        except TimeoutError:
            raise BadExchange(408, "slow_body", f"The request's body did not arrive within {timeout_s:g} s.") from None
        finally:
            installation.reading_bytes -= held
            if self._messages > 1:
                self._rejoin(reader)
        return reader.plain()

    def _take(self, message: Message, reader: BodyReader) -> bool:
        """Takes one message of the request; True where it was the last. Of many messages only the bytes are held."""
        if message["type"] == "http.disconnect":
            raise _ClientLeft
        self._messages += 1
        self._pending[:] = (message,)
        self._fed = False
        body = message.get("body", b"")
        if body:
            reader.feed(body)
        self._fed = True
        return not message.get("more_body", False)

    def _rejoin(self, reader: BodyReader) -> None:
        """Makes one message of the many that were read, and the one that broke a bound, for the app."""
        last = self._pending.pop()
        more = True if not self._fed else last.get("more_body", False)
        self._pending.append({"type": "http.request", "body": reader.raw(), "more_body": more})
        if not self._fed:
            self._pending.append(last)

    # -- START and STREAM -----------------------------------------------------------------------------------------

    async def _replay(self) -> Message:
        """``receive`` for the app: first what guard has read, then the connection itself."""
        if self._pending:
            return self._pending.pop(0)
        if self._cut:
            return _DISCONNECTED
        return await self._receive()

    async def _answer(self, message: Message) -> None:
        """``send`` for the app: counts what passes and changes nothing but the headers of an answer that is tagged."""
        if self._cut:
            return
        kind = message["type"]
        if kind == "http.response.body":
            installation = self._installation
            if self._words != installation.guard.words.version and await self._cut_short():
                return
            body = message.get("body", b"")
            meter = self._meter
            if body and meter is not None:
                meter.feed(body)
            await self._send(message)
            if not message.get("more_body", False):
                self._complete = True
                self._done()
            elif self._receipt.lease and installation.clock.now() >= self._hold_at:
                self._hold()
            return
        if kind == "http.response.start":
            message = self._start(message)
        await self._send(message)

    def _start(self, message: Message) -> Message:
        status = self._status = message["status"]
        headers = message.get("headers", ())
        content_type = content_encoding = b""
        for name, value in headers:
            lower = name.lower()
            if lower == b"content-type":
                content_type = value
            elif lower == b"content-encoding":
                content_encoding = value
        self._meter = AnswerMeter(self._dialect, content_type, content_encoding)
        account = self._receipt.exchange.account
        if self._dialect.name in self._installation.guard.keeping and status < 300:
            self._meter.watch(self._issued)
        if account.status == "provisional":
            self._installation.guard.identities.answered(account, status)
        return {**message, "headers": [*headers, *self._extra]} if self._extra else message

    def _issued(self, name: str) -> None:
        """The answer gives out an id: it is the account's before it has left."""
        installation = self._installation
        installation.guard.conversations.bind(self._receipt.exchange.account.key, name, installation.clock.now())

    def _hold(self) -> None:
        """The answer still runs: its slots live on."""
        now = self._installation.clock.now()
        if now >= self._hold_at:
            self._hold_at = now + HOLD_EVERY_S
            self._installation.guard.hold(self._receipt, now)

    def _over(self) -> None:
        """Nothing more of the answer is sent; the app hears that the client has left."""
        self._cut = True
        self._done()

    async def _cut_short(self) -> bool:
        """The operator has spoken since START: a block of this account ends its stream with the dialect's error event."""
        installation = self._installation
        self._words = installation.guard.words.version
        blocked = installation.guard.cut(self._receipt, installation.clock.now())
        if blocked is None:
            return False
        meter = self._meter
        event = self._dialect.error_event(blocked) if meter is not None and meter.between_events() else b""
        self._cut = True
        await self._send({"type": "http.response.body", "body": event, "more_body": False})
        self._done()
        return True

    # -- DONE -----------------------------------------------------------------------------------------------------

    async def _reply(self, reply: Reply) -> None:
        headers = [*reply.headers, (b"content-length", b"%d" % len(reply.body))]
        if reply.status in _CLOSING:
            headers.append((b"connection", b"close"))
        await self._send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": reply.body})

    def _done(self) -> None:
        """Settles once, whatever happened. Synchronous: no cancellation can come between."""
        if self._settled:
            return
        self._settled = True
        receipt = self._receipt
        if self._meter is not None:
            usage = self._meter.usage(self._status, self._complete, receipt.exchange.features.input_tokens)
        else:
            called = self._called
            usage = Usage(0, receipt.exchange.features.input_tokens if called else 0, 0, False, False, called)
        self._installation.settle(receipt, usage, self._entry, cut=self._cut)


async def refuse_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers a WebSocket handshake with 403, or closes it where the server can't answer one."""
    message = await receive()
    if message["type"] != "websocket.connect":
        return
    if "websocket.http.response" in (scope.get("extensions") or {}):
        body = b'{"error":{"message":"WebSockets are not open on this route.","type":"permission_error"}}'
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "websocket.http.response.start", "status": 403, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": body})
    else:
        await send({"type": "websocket.close", "code": 1008, "reason": "not open on this route"})
