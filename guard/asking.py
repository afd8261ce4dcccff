"""The decision endpoint: gateways that can't run Python ask whether a request may pass, and say later what it came to.

    app = deciding("guard.toml")            # any ASGI server runs it; `guard decide` is this and uvicorn

``/decide/nginx`` (``auth_request``), ``/decide/traefik`` (forwardAuth) and everything below ``/decide/envoy`` (HTTP
``ext_authz``) answer 200, or the refusal that the middleware would have sent. ``POST /settle`` takes
``{"reference": …, "status": …, "input_tokens": …, "output_tokens": …}``, once for each reference. ``/healthz`` and ``/readyz`` are
open; everything else is only for the hops of ``[trust]``, since whoever may ask speaks for everybody's address and credential.

Where no body comes with the question, its headers are judged: identity, region, rules, limits, at a flat number of tokens. What
can't be carried out from here (delay, degrade) is limited. Run it without the server's own proxy headers.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from guard.addresses import Addresses
from guard.asked import Kind, Left, Question, answer, kind_of, original, refuse, say, short
from guard.background import Background
from guard.body import BodyReader, parse
from guard.clock import Clock, SystemClock
from guard.compiled import Compiled
from guard.contracts import Forward
from guard.decision import unreduced
from guard.describing import described
from guard.errors import BadExchange, InstallError
from guard.identity import NeedsDescribe
from guard.installation import Installation
from guard.outstanding import MOST, Outstanding, told_by
from guard.routes import FLAT, NO_DIALECT, NOT_PROTECTED
from guard.settings import Policy
from guard.types import Account, Call, Exchange, Headers, Route, Usage
from guard.unjudged import NOBODY, UNREAD, faulty, unreadable

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

_UNJUDGED = frozenset({FLAT, NO_DIALECT})
_UNCALLED = Usage(0, 0, 0, False, False, False)
_UNREADABLE = Route("(unreadable path)", NO_DIALECT)
_NO_HOPS = (
    'nobody may ask this endpoint: name the networks of your gateways in [trust] hops, such as hops = ["127.0.0.1/32"], '
    'and the header with the client\'s address, address = "x-forwarded-for"'
)


class Read(NamedTuple):
    """A question that has been read: what is judged, and by which policy."""

    exchange: Exchange
    route: Route
    compiled: Compiled
    plain: bytes
    headers: Headers


class Deciding:
    """The ASGI app. ``outstanding`` are the exchanges that wait for what they came to."""

    def __init__(self, installation: Installation, *, settles: bool, tokens: int, most: int) -> None:
        self.installation = installation
        self.outstanding = Outstanding(installation, most)
        self._settles = settles
        self._tokens = tokens
        self._background = Background(installation)
        self._ready = True
        self._use(installation.guard.compiled)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise InstallError(f"this endpoint answers no connections of type {scope['type']!r}")
        if not self._background.running:
            self._background.start()
        self.outstanding.expire(self.installation.clock.now())
        asked = Question(scope, receive, send)
        raw_path = scope.setdefault("raw_path", scope["path"].encode())
        kind = kind_of(raw_path)
        if raw_path in (b"/healthz", b"/readyz"):
            ready = self._ready or raw_path == b"/healthz"
            await say(asked, 200 if ready else 503, "ok" if ready else "not ready")
        elif not self._trusted(scope):
            await say(asked, 403, "only the hops of [trust] may ask here")
        elif raw_path == b"/settle":
            await self._settle(asked)
        elif kind is not None:
            await self._decide(asked, kind)
        else:
            await say(asked, 404, "ask at /decide/nginx, /decide/traefik or /decide/envoy/…, settle at /settle")

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        self._ready = False
        await receive()
        try:
            await self._background.begin()
        except (InstallError, OSError) as error:
            await send({"type": "lifespan.startup.failed", "message": f"guard: {error}"})
            raise
        self._ready = True
        await send({"type": "lifespan.startup.complete"})
        try:
            await receive()
        finally:
            self._ready = False
            self.outstanding.close()
            self.installation.flush()
        await self._background.end()
        await send({"type": "lifespan.shutdown.complete"})

    def _use(self, compiled: Compiled) -> None:
        self._compiled = compiled
        self._addresses = Addresses(compiled.policy.trust.hops, compiled.policy.identity.ipv6_prefix)

    def _trusted(self, scope: Scope) -> bool:
        """Whether the socket's peer is a declared hop. Port 0: a server has put there what a header says."""
        if self.installation.guard.compiled is not self._compiled:
            self._use(self.installation.guard.compiled)
        client = scope.get("client")
        if not client or not client[1]:
            return False
        address = self._addresses.read(client[0])
        return address is not None and address.hop

    # -- the question ---------------------------------------------------------------------------------------------

    async def _decide(self, asked: Question, kind: Kind) -> None:
        installation, compiled = self.installation, self.installation.guard.compiled
        plain, route, headers = b"", _UNREADABLE, asked.scope["headers"]
        try:
            scope = original(asked.scope, kind)
            found = installation.route(scope)
            if found is NOT_PROTECTED:
                installation.passed_by(scope)
                await answer(asked, 200, [(b"x-guard-action", b"allow"), (b"x-guard-status", b"200")])
                return
            route, headers = found, scope["headers"]
            call = compiled.caller.call(scope, route)
        except InstallError as error:
            await refuse(asked, kind, 400, [(b"content-type", b"text/plain")], str(error).encode())
            return
        except BadExchange as fault:
            exchange = unreadable(compiled.caller.peer(asked.scope), route, fault)
        else:
            account = NOBODY
            try:
                account = await self._account(call)
                plain = await self._body(asked, call, compiled)
                exchange = self._exchange(call, account, plain, compiled)
            except BadExchange as fault:
                exchange = faulty(call, account, fault)
            except Left:
                return
        await self._judge(asked, kind, Read(exchange, route, compiled, plain, tuple(headers)))

    async def _judge(self, asked: Question, kind: Kind, read: Read) -> None:
        exchange, route = read.exchange, read.route
        installation, guard = self.installation, self.installation.guard
        receipt, entry = await installation.reach(exchange, read.compiled, read.plain, read.headers)
        spoken = guard.answer(receipt.decision, route.dialect)
        if isinstance(spoken, Forward) and (spoken.hold_s or spoken.wanted or spoken.notice):
            if spoken.hold_s:
                installation.waiting.leave(exchange.account.key)
            wait_s = -int(-receipt.decision.delay_s // 1)
            decision = unreduced(receipt.decision)
            why = f"{receipt.decision.action}: a gateway that only asks can't carry it out"
            decision = replace(decision, private=why, retry_after_s=wait_s or decision.retry_after_s)
            receipt = replace(receipt, decision=decision)
            spoken = guard.answer(decision, route.dialect)
        decision = receipt.decision
        action = decision.action if decision.enforced else "allow"
        said = [(b"x-guard-action", action.encode())]
        if not isinstance(spoken, Forward):
            installation.settle(receipt, _UNCALLED, entry)
            await refuse(asked, kind, spoken.status, [*spoken.headers, *said], spoken.body)
            return
        if self._settles:
            self.outstanding.keep(receipt, entry)
        else:
            self.outstanding.settle_as_used(receipt, entry)
        said += [(b"x-guard-reference", decision.reference.encode()), (b"x-guard-status", b"200")]
        await answer(asked, 200, said)

    def _exchange(self, call: Call, account: Account, plain: bytes, compiled: Compiled) -> Exchange:
        guard, dialect = self.installation.guard, call.route.dialect
        # Paths to what an API keeps need no body: whose it is can be judged without.
        whole = call.method != "POST" or "{" in call.path
        if plain or dialect in _UNJUDGED or (dialect in guard.keeping and whole):
            return guard.read(call, account, plain, compiled)
        tokens = call.route.flat_tokens or self._tokens
        return Exchange(account, call.peer, call.path, replace(UNREAD, dialect=FLAT, input_tokens=tokens))

    async def _account(self, call: Call) -> Account:
        """Whose it is, also as the operator's callable says. Raises ``BadExchange`` where it fails and nothing is known."""
        guard, now = self.installation.guard, self.installation.clock.now()
        found = guard.identities.resolve(call, now)
        return await described(guard, found, call, now) if isinstance(found, NeedsDescribe) else found

    async def _body(self, asked: Question, call: Call, compiled: Compiled) -> bytes:
        """The body that came with the question, decompressed; ``b""``: none did. Raises ``BadExchange``."""
        installation, bounds = self.installation, compiled.policy.body
        if any(name == b"x-envoy-auth-partial-body" and value.lower() == b"true" for name, value in call.headers):
            raise BadExchange(413, "too_large", "The request's body is larger than the gateway passes on.")
        reader, held = BodyReader(bounds, call), 0
        came, more = False, True
        try:
            async with asyncio.timeout(bounds.timeout_s):
                while more:
                    message = await asked.receive()
                    if message["type"] == "http.disconnect":
                        raise Left
                    chunk, more = message.get("body", b""), message.get("more_body", False)
                    if not chunk:
                        continue
                    came = True
                    reader.feed(chunk)
                    held += len(chunk)
                    installation.reading_bytes += len(chunk)
                    if installation.reading_bytes > installation.most_reading_bytes:
                        raise BadExchange(503, "busy", "Too many large requests are being read. Try again in a moment.")
        except TimeoutError:
            text = f"The request's body did not arrive within {bounds.timeout_s:g} s."
            raise BadExchange(408, "slow_body", text) from None
        finally:
            installation.reading_bytes -= held
        return reader.plain() if came else b""

    # -- what it came to ------------------------------------------------------------------------------------------

    async def _settle(self, asked: Question) -> None:
        if asked.scope["method"] != "POST":
            await say(asked, 405, "POST only")
            return
        try:
            reference, told = told_by(parse(await short(asked), self.installation.guard.policy.body))
        except BadExchange as fault:
            await say(asked, fault.status, fault.public)
            return
        except Left:
            return
        if self.outstanding.settle(reference, told):
            await say(asked, 200, "settled")
        else:
            await say(asked, 404, "no exchange of this reference waits to be settled")


def deciding(
    policy: str | Path | Policy,
    clock: Clock | None = None,
    *,
    settles: bool = True,
    tokens: int = 1000,
    most: int = MOST,
) -> Deciding:
    """The decision endpoint as an ASGI app. ``policy`` as ``GuardMiddleware`` takes it; it must name ``[trust] hops``.

    ``settles``: whether the gateway says at ``/settle`` what exchanges came to; if not, each is settled as used at once, and limits on
    concurrency hold nothing. ``tokens``: the input that a question without a body is charged, where its route names no flat
    cost. ``most``: exchanges that may wait to be settled. Raises ``InstallError`` and ``PolicyError``.
    """
    installation = Installation(policy, clock or SystemClock())
    if not installation.guard.policy.trust.hops:
        installation.close()
        raise InstallError(_NO_HOPS)
    return Deciding(installation, settles=settles, tokens=tokens, most=most)
