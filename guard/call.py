"""HEADERS: from an ASGI scope to a ``Call``: which protected route it is, where from, and whether its frame can be judged.

The parts stand in files of their own: ``routes.py`` (path → route), ``layout.py`` (what the headers' names decide),
``peers.py`` (whom to believe about the address), ``framing.py`` (what of the frame can be judged). The scope's ``path``,
``client`` and ``headers`` are all that is read; never a ``Host`` and never a rebuilt URL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from guard.credentials import usual
from guard.errors import BadExchange
from guard.framing import (
    COMMON_CONNECTIONS,
    COMMON_TYPES,
    Encoding,
    check_connection,
    check_transfer,
    check_type,
    encoding_of,
    gather,
    length_of,
)
from guard.layout import Layout, Layouts
from guard.peers import Peers, Places
from guard.recent import Recent
from guard.routes import FLAT, NO_DIALECT, NOT_PROTECTED, PATH, NotProtected, Routes
from guard.settings import Policy
from guard.types import Call, Headers, Peer, Route

__all__ = ["NOT_PROTECTED", "Caller", "NotProtected"]

_NONE: Mapping[str, Any] = MappingProxyType({})
_JSON = b"application/json"
_UNJUDGED = frozenset({FLAT, NO_DIALECT})
_SECURITY = frozenset(
    b"authorization x-api-key api-key x-goog-api-key cookie content-length content-type content-encoding host".split()
)


class Caller:
    """Reads the HEADERS phase of requests under one policy.

    ``known_paths``: canonical path → name of the dialect that reads it. ``methods``: one of these paths → the methods it takes
    beside POST. ``by_query``: name of a dialect → the query parameter that its API takes a credential from. ``places``: what
    knows where an address is; None: nothing but the headers.
    """

    def __init__(
        self,
        policy: Policy,
        known_paths: Mapping[str, str],
        methods: Mapping[str, Sequence[str]] = _NONE,
        by_query: Mapping[str, str] = _NONE,
        places: Places | None = None,
    ) -> None:
        self._routes = Routes(policy.protect, known_paths, methods)
        self._methods = methods
        self._by_query = by_query
        self._peers = Peers(policy.trust, policy.identity.ipv6_prefix, places)
        self._max_bytes = policy.body.max_bytes
        self._max_headers = policy.body.max_headers
        self._max_header_bytes = policy.body.max_header_bytes
        self._layouts = Layouts(policy.trust, policy.identity)
        credentials = frozenset(name.lower().encode("latin-1") for name in policy.identity.credential)
        self._protected = _SECURITY | credentials | self._layouts.trusted
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
        fields = dict(raw)
        layout = self._layouts.recent.get(tuple(fields))
        headers: Headers
        if layout is None or len(fields) != len(raw):
            headers, fields, layout = self._met_first(raw)
        elif layout.names_bytes + len(b"".join(fields.values())) > self._max_header_bytes:
            raise _too_large(self._max_header_bytes)
        else:
            headers = tuple(raw) if raw and type(raw[0]) is tuple else tuple(fields.items())
        located = self._routes.locate(scope)
        if located.fault:
            raise BadExchange(400, "path", located.fault)
        method: str = scope["method"]
        if method != "POST":
            route = self._bodyless(method, route)
        if (
            layout.coded
            or fields.get(b"connection", b"") not in COMMON_CONNECTIONS
            or fields.get(b"content-type", _JSON) not in COMMON_TYPES
        ):
            encoding = self._frame(fields, judged=route.dialect not in _UNJUDGED)
        else:
            encoding = "identity"
        stated = fields.get(b"content-length")
        length = None if stated is None else length_of(stated, self._max_bytes)
        by_query = self._by_query.get(route.dialect, "") if scope.get("query_string") else ""
        client = scope.get("client")
        peer = self._peers.peer(client, fields) if layout.forwarded else self._peers.silent(client)
        key = layout.stack + fields.get(b"user-agent", b"")
        return Call(
            method,
            located.path,
            route,
            headers,
            peer,
            usual(fields[layout.door]) if layout.door and not by_query else b"",
            self._stacks.get(key) or self._stack(layout, key),
            scope.get("query_string", b""),
            encoding,
            length,
            by_query,
            not layout.claims and (peer.hop or not layout.vouches),
        )

    def stripped(self, headers: Sequence[tuple[bytes, bytes]], peer: Peer) -> Sequence[tuple[bytes, bytes]]:
        """The headers as the app may see them: without ``x-guard-…``, and without the configured trust headers unless a
        declared hop set them. The very object that came in where nothing has to go (``Call.clean`` says so beforehand)."""
        fields = dict(headers)
        layout = self._layouts.recent.get(tuple(fields))
        if (
            layout is not None
            and len(fields) == len(headers)
            and not layout.claims
            and (peer.hop or not layout.vouches)
        ):
            return headers
        strips = self._layouts.strips
        kept = [pair for pair in headers if not strips(pair[0], hop=peer.hop)]
        return headers if len(kept) == len(headers) else kept

    def _met_first(self, raw: Sequence[tuple[bytes, bytes]]) -> tuple[Headers, dict[bytes, bytes], Layout]:
        """Headers and fields by lower-case names, repeated ones joined, where the names are not among the known ones."""
        if sum(len(name) + len(value) + 1 for name, value in raw) - 1 > self._max_header_bytes:
            raise _too_large(self._max_header_bytes)
        headers = tuple((name.lower(), value) for name, value in raw)
        return headers, gather(headers), self._layouts.of(tuple(name for name, _ in headers))

    def _bodyless(self, method: str, route: Route) -> Route:
        """Preflights are counted, not read; other methods are only for paths that no dialect reads, or reads without a body."""
        if method == "OPTIONS":
            return Route(route.pattern, FLAT)
        if route.dialect not in _UNJUDGED:
            if method in self._methods.get(dict(route.options).get(PATH, ""), ()):
                return Route(route.pattern, route.dialect, (*route.options, ("method", method)))
            raise BadExchange(405, "method", "This path takes POST only.")
        return route

    def _frame(self, fields: Mapping[bytes, bytes], *, judged: bool) -> Encoding:
        """Takes a frame apart that is not of the usual kind."""
        check_connection(fields.get(b"connection", b""), self._protected)
        stated = fields.get(b"content-length")
        if stated is not None:
            length_of(stated, self._max_bytes)
        transfer = fields.get(b"transfer-encoding")
        if transfer is not None:
            check_transfer(transfer, with_length=stated is not None)
        if not judged:
            return "identity"
        check_type(fields.get(b"content-type", _JSON))
        return encoding_of(fields.get(b"content-encoding", b""))

    def _stack(self, layout: Layout, key: bytes) -> bytes:
        """The names that are the client's own, in order, and its name of itself, which stands behind them in ``key``."""
        stack = layout.stack + agent_family(key[len(layout.stack) :])
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


def _too_large(max_bytes: int) -> BadExchange:
    return BadExchange(431, "headers", f"The request's headers are larger than {max_bytes} bytes.")
