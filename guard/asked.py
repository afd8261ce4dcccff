"""What a gateway asks about: the client's own request, taken out of the question of one kind of gateway.

The kind is the gateway's to say, by the path that it asks at, and never guessed from headers: nginx and Traefik pass on whatever
headers a client sends, so with guessing a client behind Traefik could write an ``X-Original-URI`` of its own and be judged as if it
had asked for a path that nobody protects.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from guard.errors import BadExchange, InstallError

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

_Headers = list[tuple[bytes, bytes]]
# After these a body may not have been read to its end, so the connection can't carry another question.
_CLOSING = frozenset({408, 413, 431})
_MOST_SHORT_BYTES = 16 * 1024
_LONGEST_URI_BYTES = 8 * 1024
_ENVOY = b"/decide/envoy"
_VISIBLE = frozenset(range(0x21, 0x7F)) - {ord("#")}


class Question(NamedTuple):
    """One request to this endpoint."""

    scope: Scope
    receive: Receive
    send: Send


class Left(Exception):  # noqa: N818 - what happened, not an error
    """The gateway went away before its question was whole."""


class Kind(NamedTuple):
    """One kind of gateway. ``method`` and ``uri``: the headers in which it says the client's; ``b""``: it asks with them itself."""

    name: str
    method: bytes = b""
    uri: bytes = b""
    narrow: bool = False
    """Whether it passes on no refusal but 401 and 403."""


ENVOY = Kind("envoy")
KINDS: Mapping[bytes, Kind] = MappingProxyType(
    {
        b"/decide/nginx": Kind("nginx", b"x-original-method", b"x-original-uri", narrow=True),
        b"/decide/traefik": Kind("traefik", b"x-forwarded-method", b"x-forwarded-uri"),
    }
)


def kind_of(raw_path: bytes) -> Kind | None:
    """The kind of gateway that asks at a path, as it stands on the wire; None: nobody asks there."""
    return ENVOY if raw_path.startswith(_ENVOY + b"/") else KINDS.get(raw_path)


def original(scope: Mapping[str, Any], kind: Kind) -> dict[str, Any]:
    """The client's request as an ASGI scope: its method, path, query and headers, and the socket of the gateway as ``client``.

    Raises ``InstallError`` where the gateway does not say what it is asked to say, or twice, and ``BadExchange`` (400) for a URI
    that the client can't have meant.
    """
    headers = scope["headers"]
    if kind.uri:
        method, uri = _said(headers, kind.method), _said(headers, kind.uri)
        headers = [pair for pair in headers if pair[0].lower() not in (kind.method, kind.uri)]
        raw_path, _, query = uri.partition(b"?")
    else:
        method, query = scope["method"].encode(), scope["query_string"]
        raw_path = scope["raw_path"][len(_ENVOY) :]
    if (
        not raw_path.startswith(b"/")
        or len(raw_path) + len(query) > _LONGEST_URI_BYTES
        or not _VISIBLE.issuperset(raw_path)
    ):
        raise BadExchange(400, "uri", "The request's URI is not a plain path of at most 8 KiB.")
    return {
        "type": "http",
        "method": method.decode("latin-1"),
        "path": unquote(raw_path.decode("ascii")),
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": headers,
        "client": scope.get("client"),
    }


def _said(headers: list[tuple[bytes, bytes]], name: bytes) -> bytes:
    """The value of a header that must be there once: of two, one may be the client's."""
    values = [value for other, value in headers if other.lower() == name]
    if len(values) != 1 or not values[0]:
        times = "twice" if len(values) > 1 else "not"
        raise InstallError(f"the gateway has {times} said {name.decode()}; it must set it for every question")
    return values[0]


async def short(asked: Question) -> bytes:
    """A body of at most 16 KiB."""
    body, more = b"", True
    while more:
        message = await asked.receive()
        if message["type"] == "http.disconnect":
            raise Left
        body += message.get("body", b"")
        if len(body) > _MOST_SHORT_BYTES:
            raise BadExchange(413, "too_large", "the body is larger than 16 KiB")
        more = message.get("more_body", False)
    return body


async def refuse(asked: Question, kind: Kind, status: int, headers: _Headers, body: bytes) -> None:
    """A refusal, as far as the kind of gateway passes it on; ``x-guard-status`` is what the client should see."""
    headers = [*headers, (b"x-guard-status", b"%d" % status)]
    if status in _CLOSING:
        headers.append((b"connection", b"close"))
    await answer(asked, status if not kind.narrow or status == 401 else 403, headers, body)


async def say(asked: Question, status: int, text: str) -> None:
    """One sentence of the endpoint's own."""
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    if status in _CLOSING:
        headers.append((b"connection", b"close"))
    await answer(asked, status, headers, json.dumps({"status": text}).encode())


async def answer(asked: Question, status: int, headers: _Headers, body: bytes = b"") -> None:
    """One whole answer."""
    headers = [*headers, (b"content-length", b"%d" % len(body))]
    await asked.send({"type": "http.response.start", "status": status, "headers": headers})
    await asked.send({"type": "http.response.body", "body": body})
