"""HEADERS: from an ASGI scope to a ``Call``: which protected route it is, where from, and whether its frame can be judged.

The parts stand in files of their own: ``routes.py`` (path → route), ``peers.py`` (whom to believe about the address),
``framing.py`` (what of the frame can be judged). The scope's ``path``, ``client`` and ``headers`` are all that is read; never a
``Host`` and never a rebuilt URL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from guard.errors import BadExchange
from guard.framing import Encoding, check_connection, check_transfer, check_type, encoding_of, gather, length_of
from guard.peers import Peers
from guard.recent import Recent
from guard.routes import FLAT, NO_DIALECT, NOT_PROTECTED, NotProtected, Routes
from guard.settings import Policy
from guard.types import Call, Peer, Route

__all__ = ["NOT_PROTECTED", "Caller", "NotProtected"]

_UNJUDGED = frozenset({FLAT, NO_DIALECT})
# Names that say nothing of the client's software: who is asking, how much, and what proxies on the way add.
_NOT_OF_THE_STACK = frozenset(
    b"authorization x-api-key api-key cookie host content-length transfer-encoding forwarded via x-real-ip x-forwarded-for "
    b"x-forwarded-host x-forwarded-port x-forwarded-proto x-forwarded-prefix x-forwarded-server x-request-id x-client-ip "
    b"true-client-ip cf-connecting-ip cf-ipcountry cf-ray cf-visitor cdn-loop x-amzn-trace-id x-cloud-trace-context "
    b"x-envoy-external-address x-original-forwarded-for traceparent tracestate idempotency-key".split()
)
_SECURITY = frozenset(
    b"authorization x-api-key api-key cookie content-length content-type content-encoding host".split()
)


class Caller:
    """Reads the HEADERS phase of requests under one policy.

    ``known_paths``: canonical path → name of the dialect that reads it.
    """

    def __init__(self, policy: Policy, known_paths: Mapping[str, str]) -> None:
        self._routes = Routes(policy.protect, known_paths)
        self._peers = Peers(policy.trust, policy.identity.ipv6_prefix)
        self._max_bytes = policy.body.max_bytes
        self._max_headers = policy.body.max_headers
        self._max_header_bytes = policy.body.max_header_bytes
        trust = policy.trust
        named = (trust.address, trust.country, trust.asn, trust.asn_kind, trust.ja4)
        self._trust_headers = frozenset(name.lower().encode("latin-1") for name in named if name)
        credentials = frozenset(name.lower().encode("latin-1") for name in policy.identity.credential)
        self._protected = _SECURITY | credentials | self._trust_headers
        self._not_of_the_stack = _NOT_OF_THE_STACK | credentials | self._trust_headers
        self._stacks: Recent[bytes, bytes] = Recent(1024)

    @property
    def pre_resolved(self) -> int:
        """Requests whose peer the server had rewritten before guard saw it. More than 0: run it with ``--no-proxy-headers``."""
        return self._peers.pre_resolved

    def route(self, scope: Mapping[str, Any]) -> Route | NotProtected:
        """The protected route of a scope. Never raises: a path that has no one spelling is refused by ``call``."""
        return self._routes.locate(scope).route

    def peer(self, scope: Mapping[str, Any]) -> Peer:
        """Where a request came from, also where ``call`` refuses it. Never raises."""
        headers = scope["headers"][: self._max_headers]
        return self._peers.peer(scope.get("client"), gather((name.lower(), value) for name, value in headers))

    def call(self, scope: Mapping[str, Any], route: Route) -> Call:
        """The call of an ``http`` scope on the route that ``route`` said. Raises ``BadExchange`` (400, 405, 413, 415, 431)."""
        raw: Sequence[tuple[bytes, bytes]] = scope["headers"]
        if len(raw) > self._max_headers:
            raise BadExchange(431, "headers", f"The request has more than {self._max_headers} headers.")
        names: tuple[bytes, ...]
        values: tuple[bytes, ...]
        names, values = zip(*raw, strict=True) if raw else ((), ())
        joined = b",".join(names)
        if len(joined) + sum(map(len, values)) > self._max_header_bytes:
            raise BadExchange(431, "headers", f"The request's headers are larger than {self._max_header_bytes} bytes.")
        if joined != joined.lower():
            joined = joined.lower()
            names = tuple(map(bytes.lower, names))
            headers = tuple(zip(names, values, strict=True))
        else:
            headers = tuple(raw) if raw and type(raw[0]) is tuple else tuple(zip(names, values, strict=True))
        fields = dict(headers)
        if len(fields) != len(headers):
            fields = gather(headers)
        located = self._routes.locate(scope)
        if located.fault:
            raise BadExchange(400, "path", located.fault)
        method: str = scope["method"]
        if method != "POST":
            route = self._bodyless(method, route)
        length, encoding = self._frame(fields, judged=route.dialect not in _UNJUDGED)
        return Call(
            method,
            located.path,
            route,
            headers,
            self._peers.peer(scope.get("client"), fields),
            b"",
            self._stack(joined, fields.get(b"user-agent", b"")),
            scope.get("query_string", b""),
            encoding,
            length,
        )

    def stripped(self, headers: Sequence[tuple[bytes, bytes]], peer: Peer) -> Sequence[tuple[bytes, bytes]]:
        """The headers as the app may see them: without ``x-guard-…``, and without the configured trust headers unless a
        declared hop set them. The very object that came in where nothing has to go."""
        untrusted = frozenset[bytes]() if peer.hop else self._trust_headers
        joined = b",".join([name for name, _ in headers]).lower()
        if b"guard" not in joined and untrusted.isdisjoint(joined.replace(b"_", b"-").split(b",") if untrusted else ()):
            return headers
        kept = [pair for pair in headers if not _claims(pair[0].lower().replace(b"_", b"-"), untrusted)]
        return headers if len(kept) == len(headers) else kept

    def _bodyless(self, method: str, route: Route) -> Route:
        """Preflights are counted, not read; other methods are only for paths that no dialect reads."""
        if method == "OPTIONS":
            return Route(route.pattern, FLAT)
        if route.dialect not in _UNJUDGED:
            raise BadExchange(405, "method", "This path takes POST only.")
        return route

    def _frame(self, fields: Mapping[bytes, bytes], *, judged: bool) -> tuple[int | None, Encoding]:
        connection = fields.get(b"connection")
        if connection is not None:
            check_connection(connection, self._protected)
        stated = fields.get(b"content-length")
        length = None if stated is None else length_of(stated, self._max_bytes)
        transfer = fields.get(b"transfer-encoding")
        if transfer is not None:
            check_transfer(transfer, with_length=stated is not None)
        if not judged:
            return length, "identity"
        kind = fields.get(b"content-type")
        if kind is not None:
            check_type(kind)
        encoding = fields.get(b"content-encoding")
        return length, "identity" if encoding is None else encoding_of(encoding)

    def _stack(self, joined: bytes, agent: bytes) -> bytes:
        """The names that are the client's own, in order, and its name of itself."""
        key = joined + b"\n" + agent
        stack = self._stacks.get(key)
        if stack is None:
            skipped = self._not_of_the_stack
            names = [name for name in joined.split(b",") if name not in skipped and not name.startswith(b"x-guard-")]
            stack = b",".join(names) + b"\n" + agent_family(agent)
            if len(key) <= 1024:
                self._stacks.put(key, stack)
        return stack


def agent_family(agent: bytes) -> bytes:
    """The products that a user agent names, without versions and comments: ``OpenAI/Python 1.2.3`` → ``openai/python``."""
    words: list[bytes] = []
    depth = 0
    for word in agent[:512].lower().replace(b"(", b" ( ").replace(b")", b" ) ").split():
        if word == b"(":
            depth += 1
        elif word == b")":
            depth = max(0, depth - 1)
        elif not depth:
            parts = [part for part in word.split(b"/") if not part.lstrip(b"v")[:1].isdigit()]
            if parts and parts != [b""]:
                words.append(b"/".join(parts))
    return b" ".join(words)


def _claims(name: bytes, untrusted: frozenset[bytes]) -> bool:
    return name in untrusted or name.startswith(b"x-guard-")
