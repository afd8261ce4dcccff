"""What a gateway sends on, and what it doesn't: the target, the headers up and the headers down. No I/O.

The upstream is one address that the operator has named; nothing a client writes can change it. A target that could be read as
another path than the one that was judged (dot segments, a fragment, a broken escape, a backslash) is refused, not repaired.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from guard.errors import BadExchange, InstallError
from guard.framing import check_connection, check_transfer
from guard.paths import MOST_LAYERS, canonical
from guard.recent import Recent
from guard.types import Headers

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# RFC 9110, 7.6.1, and what older proxies use the same way. They speak of one connection, so they end here.
_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authentication-info proxy-authorization proxy-connection te trailer "
    b"transfer-encoding upgrade http2-settings".split()
)
# Our own side of the upstream's connection: its address, the body's length, and an answer that has been given already.
_OURS = frozenset({b"host", b"content-length", b"expect"})
_DROPPED_UP = _HOP_BY_HOP | _OURS
# Whoever serves this app writes a date and a name of its own.
_DROPPED_DOWN = _HOP_BY_HOP | {b"date", b"server"}
# Where a request has been before. Only a declared hop may say so.
_FORWARDING = frozenset(
    b"forwarded x-real-ip x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto x-forwarded-prefix "
    b"x-forwarded-server".split()
)
# What must not be lost on the way because a client names it in ``Connection``.
_END_TO_END = frozenset(
    b"authorization x-api-key api-key cookie content-length content-type content-encoding host".split()
)
_TARGET = re.compile(rb"/[A-Za-z0-9\-._~!$&'()*+,;=:@/%\[\]{}|]*\Z")
_QUERY = re.compile(rb"[\x21\x22\x24-\x7e]*\Z")
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_UNSENDABLE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_USUAL = frozenset({b"keep-alive", b"close"})
BODYLESS = frozenset({204, 304})
_LONGEST_REMEMBERED = 512
_LONGEST = 16 * 1024


class Upstream(NamedTuple):
    """The endpoint behind a gateway: ``http://host:8000`` and the path that stands before every request's (``""``: none)."""

    origin: str
    base: str


def upstream_of(url: str) -> Upstream:
    """Takes the operator's URL apart. Raises ``InstallError`` for what is no plain http or https address."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InstallError(f"the upstream {_shown(url)!r} is no URL ({error}); write http://HOST:PORT") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InstallError(f"the upstream {_shown(url)!r} is no http or https URL; write http://HOST:PORT")
    if parts.username is not None or parts.password is not None:
        raise InstallError(
            "the upstream's URL holds a credential, which logs and process lists would show; "
            "take it out and use --upstream-header 'authorization=Bearer {NAME_OF_AN_ENVIRONMENT_VARIABLE}'"
        )
    base = parts.path.rstrip("/")
    if parts.query or parts.fragment or (base and not _TARGET.match(base.encode())) or _roundabout(base):
        raise InstallError(
            f"the upstream {_shown(url)!r} must be an address and at most a plain path, "
            "without query, fragment or dot segments"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return Upstream(f"{parts.scheme}://{host}" + ("" if port is None else f":{port}"), base)


class Sendable(NamedTuple):
    """A request's headers as they are sent on, and how its body is framed: its stated length, or in chunks, or not at all."""

    headers: list[tuple[bytes, bytes]]
    length: bytes
    chunked: bool


class Forwarding:
    """Requests and answers as they are sent on.

    ``headers`` are put into every request, in the place of the client's. ``credentials`` are headers (lower-case) and
    ``parameters`` query parameters that are the client's secret and not for the upstream. ``own_paths`` (canonical) are
    answered by the gateway and never sent on.
    """

    def __init__(
        self,
        upstream: Upstream,
        headers: Headers = (),
        *,
        credentials: Collection[bytes] = (),
        parameters: Collection[str] = (),
        own_paths: Collection[str] = (),
    ) -> None:
        self.upstream = upstream
        self._added = list(headers)
        self._parameters = frozenset(parameters)
        self._own_paths = frozenset(own_paths)
        replaced = {name for name, _ in headers}
        self._dropped = _DROPPED_UP | replaced | frozenset(credentials)
        self._location = tuple(
            prefix.encode()
            for prefix in (upstream.origin + upstream.base + "/", upstream.origin + upstream.base)
            if prefix
        )
        self._targets: Recent[tuple[bytes, str], str] = Recent(1024)

    def target(self, scope: Mapping[str, Any]) -> str:
        """The URL for an ASGI scope. Raises ``BadExchange`` (400, 404, 414) for a path that is not sent on."""
        path: str = scope["path"]
        raw: bytes = scope.get("raw_path") or b""
        key = (raw, path)
        if len(raw) + len(path) > _LONGEST:
            raise BadExchange(414, "path", "The request's path is too long.")
        url = self._targets.get(key)
        if url is None:
            url = self._judged(raw, path)
            if len(raw) + len(path) <= _LONGEST_REMEMBERED:
                self._targets.put(key, url)
        query: bytes = scope.get("query_string") or b""
        if not query:
            return url
        if len(query) > _LONGEST:
            raise BadExchange(414, "path", "The request's query is too long.")
        if not _QUERY.match(query):
            raise BadExchange(400, "path", "The request's query is not a valid one.")
        text = query.decode("ascii")
        if self._parameters:
            text = "&".join(pair for pair in text.split("&") if _parameter(pair) not in self._parameters)
        return f"{url}?{text}" if text else url

    def _judged(self, raw: bytes, path: str) -> str:
        if not raw.startswith(b"/") and b"://" in raw:
            # An absolute target (RFC 9112, 3.2.2): some servers hand it on whole. Whose host it names doesn't matter here.
            _, _, rest = raw.partition(b"://")
            _, slash, below = rest.partition(b"/")
            raw, path = slash + below or b"/", unquote((slash + below or b"/").decode("latin-1"))
        if (
            not _TARGET.match(raw)
            or _BROKEN_ESCAPE.search(raw)
            or unquote(raw.decode("ascii")) != path
            or _roundabout(path)
        ):
            raise BadExchange(400, "path", "The request's path is not a plain one.")
        if canonical(path) in self._own_paths:
            raise BadExchange(404, "path", "There is nothing at this path.")
        return f"{self.upstream.origin}{self.upstream.base}{raw.decode('ascii')}"

    def up(self, headers: Iterable[tuple[bytes, bytes]], from_hop: Callable[[], bool]) -> Sendable:
        """A request's headers as the upstream sees them. ``from_hop`` tells whether a declared hop stands before guard.

        Raises ``BadExchange`` (400) for a frame that can be read in two ways, and for a ``Connection`` that would take off
        who is asking, and (403) for a WebSocket.
        """
        dropped = self._dropped
        kept = self._added.copy()
        connection = transfer = length = b""
        forwards = False
        for pair in headers:
            name = pair[0]
            if name in dropped:
                if name == b"content-length":
                    if length and length != pair[1]:
                        raise BadExchange(400, "content_length", "The request states two lengths.")
                    length = pair[1]
                elif name == b"connection":
                    connection = connection + b"," + pair[1] if connection else pair[1]
                elif name == b"upgrade" and b"websocket" in pair[1].lower():
                    raise BadExchange(403, "websocket", "WebSockets are not open here.")
                elif name == b"transfer-encoding":
                    transfer = transfer + b"," + pair[1] if transfer else pair[1]
                continue
            if name in _FORWARDING:
                forwards = True
            elif b"_" in name:
                # Many servers read `x_real_ip` as `x-real-ip`: what may not pass under one name may not under the other.
                spelt = name.replace(b"_", b"-")
                if spelt in dropped or spelt in _FORWARDING or spelt in _END_TO_END:
                    continue
            kept.append(pair)
        if forwards and not from_hop():
            kept = [pair for pair in kept if pair[0] not in _FORWARDING or pair in self._added]
        if transfer:
            check_transfer(transfer, with_length=bool(length))
        if connection and connection not in _USUAL:
            check_connection(connection, _END_TO_END | _FORWARDING)
            named = _options(connection)
            kept = [pair for pair in kept if pair[0] not in named or pair in self._added]
        return Sendable(kept, length, bool(transfer))

    def down(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]] | None:
        """The answer's headers as the client sees them; None: they can't be sent on.

        Hop-by-hop fields go, a redirect to the upstream itself becomes one to this gateway.
        """
        kept: list[tuple[bytes, bytes]] = []
        connection = b""
        lengths = set()
        for name, value in headers:
            lower = name.lower()
            if lower in _DROPPED_DOWN:
                if lower == b"connection":
                    connection += b"," + value
                continue
            if not _NAME.match(lower) or _UNSENDABLE.search(value):
                return None
            if lower == b"content-length":
                lengths.add(value)
                if not value.isdigit() or len(lengths) > 1:
                    return None
                if status in BODYLESS:
                    continue
            elif lower == b"location":
                value = self._relative(value)
            kept.append((lower, value))
        if connection:
            named = _options(connection) - {b"content-length", b"content-encoding", b"content-type"}
            kept = [pair for pair in kept if pair[0] not in named]
        return kept

    def _relative(self, location: bytes) -> bytes:
        """A redirect that names the upstream would lead clients round guard, or nowhere."""
        whole, bare = self._location
        if location.startswith(whole):
            return b"/" + location[len(whole) :].lstrip(b"/")
        if location == bare or location.startswith((bare + b"?", bare + b"#")):
            return b"/" + location[len(bare) :]
        return location


def _options(connection: bytes) -> set[bytes]:
    return {option.strip(b" \t").lower() for option in connection.split(b",")}


def _parameter(pair: str) -> str:
    """The name of a query's pair, as servers read it."""
    return unquote(pair.partition("=")[0].replace("+", " "))


def _roundabout(path: str) -> bool:
    """Whether some reader would find a dot segment, a control character or one more layer of escapes in it."""
    for _ in range(MOST_LAYERS):
        if "\\" in path or not path.isprintable():
            return True
        if any(segment.partition(";")[0].strip() in {".", ".."} for segment in path.split("/")):
            return True
        plainer = unquote(path)
        if plainer == path:
            return False
        path = plainer
    return True


def _shown(url: str) -> str:
    """A URL as an error may show it: without what stands before an ``@``."""
    scheme, mark, rest = url.partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}" if mark else url.rpartition("@")[2]
