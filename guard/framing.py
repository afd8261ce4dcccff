"""Whether a request's frame can be judged: its content type, its compression, its length, its hop-by-hop headers.

Each check takes header values and raises ``BadExchange``. What guard could only guess at is refused, for whoever guesses
differently behind it would read another request than the one that was judged.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from guard.errors import BadExchange

Encoding = Literal["identity", "gzip", "deflate"]

_ENCODINGS: dict[bytes, Encoding] = {
    b"": "identity",
    b"identity": "identity",
    b"gzip": "gzip",
    b"x-gzip": "gzip",
    b"deflate": "deflate",
}
# What nearly every request says; let in by the checks below without being taken apart.
COMMON_TYPES = frozenset({b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"})
COMMON_CONNECTIONS = frozenset({b"keep-alive", b"close", b"Keep-Alive", b"Close", b"upgrade", b"Upgrade", b""})


def gather(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers by name, repeated ones joined by ``, `` in their order. A repeated equal length or type counts once."""
    fields: dict[bytes, bytes] = {}
    for name, value in headers:
        before = fields.get(name)
        if before is None:
            fields[name] = value
        elif before != value or name not in {b"content-length", b"content-type"}:
            fields[name] = before + b", " + value
    return fields


def check_type(value: bytes) -> None:
    """``application/json`` or ``application/…+json`` in UTF-8; else 415."""
    if value in COMMON_TYPES:
        return
    media, *parameters = value.lower().split(b";")
    media = media.strip(b" \t")
    is_json = media == b"application/json" or (media.startswith(b"application/") and media.endswith(b"+json"))
    if not is_json or b"," in value:
        raise BadExchange(415, "content_type", "The request's content type must be application/json.")
    charsets = [parameter.partition(b"=") for parameter in parameters]
    for name, _, charset in charsets:
        if name.strip(b" \t") == b"charset" and charset.strip(b' \t"') not in {b"utf-8", b"utf8"}:
            raise BadExchange(415, "charset", "The request's charset must be utf-8.")


def encoding_of(value: bytes) -> Encoding:
    """One encoding that guard reads; else 415, also for stacked ones."""
    encoding = _ENCODINGS.get(value.strip(b" \t").lower())
    if encoding is None:
        raise BadExchange(415, "content_encoding", "The request's content encoding must be identity, gzip or deflate.")
    return encoding


def length_of(value: bytes, max_bytes: int) -> int:
    """The declared length; 400 where it is no plain number, 413 where it is over ``max_bytes``."""
    if not value.isdigit() or len(value) > 19:
        raise BadExchange(400, "content_length", "The request's content length is not a number, or there are two.")
    length = int(value)
    if length > max_bytes:
        raise BadExchange(413, "too_large", f"The request's body is larger than {max_bytes} bytes.")
    return length


def check_transfer(value: bytes, *, with_length: bool) -> None:
    """Only plain ``chunked``, and never beside a content length: two frames are one request too many."""
    if with_length or value.strip(b" \t").lower() != b"chunked":
        raise BadExchange(400, "transfer_encoding", "The request's transfer encoding is ambiguous.")


def check_connection(value: bytes, protected: frozenset[bytes]) -> None:
    """400 where ``Connection`` names a header that says who is asking: a hop would take it off on the way to the app."""
    if value in COMMON_CONNECTIONS:
        return
    for option in value.lower().split(b","):
        name = option.strip(b" \t")
        if name in protected or name.startswith(b"x-guard-"):
            raise BadExchange(400, "connection", "The Connection header names a header that must reach the app.")
