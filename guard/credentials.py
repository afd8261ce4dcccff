"""The credential of a request: one secret, whichever door it came by and however the door is written.

The secret is what the app will read, so whatever an app might overlook must not make a new secret: the scheme's name, blanks,
a second word. A value that an app could cut in two ways is refused. Nothing here is logged or quoted in an error.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import parse_qsl

from guard.errors import BadExchange
from guard.settings import Identity
from guard.types import Headers

MOST_BYTES: Final = 8 * 1024
_SCHEMES = frozenset({b"bearer", b"basic", b"token", b"apikey", b"api-key", b"key"})
_PROTOCOL = b"sec-websocket-protocol"
# What browsers, which can set no header on a WebSocket, put before the secret in its sub-protocol.
_PROTOCOL_PREFIXES = (b"openai-insecure-api-key.", b"bearer.", b"authorization.bearer.")


class Credentials:
    """Finds the credential that ``[identity]`` describes."""

    __slots__ = ("_cookie", "_doors", "_query")

    def __init__(self, identity: Identity) -> None:
        self._cookie = identity.cookie.encode("latin-1")
        self._query = identity.query
        doors = {name.lower().encode("latin-1") for name in identity.credential} | {_PROTOCOL}
        self._doors = frozenset(doors | {b"cookie"} if self._cookie else doors)

    def find(self, headers: Headers, query: bytes = b"", by_query: str = "") -> bytes:
        """The secret, ``b""`` where there is none. ``headers`` are lower-case; ``query`` is the raw query string; ``by_query`` a
        parameter of it that may hold one, beside the policy's.

        Raises ``BadExchange`` (400, ``credentials``) for two different ones, for one that is longer than 8 KiB, and for one that
        different apps would read differently.
        """
        doors = self._doors
        found = b""
        for name, value in headers:
            if name in doors:
                for secret in self._behind(name, value):
                    if secret != found:
                        found = _only(found, secret)
        names = {self._query, by_query} - {""} if query else None
        if names:
            for secret in self._in_query(query, names):
                found = _only(found, secret)
        return found

    def door(self, names: Sequence[bytes]) -> bytes:
        """The one header of these that holds the credential and nothing else; ``b""`` where there is none, or where more than
        one header would have to be read."""
        found = [name for name in names if name in self._doors]
        if self._query or len(found) != 1 or found[0] in {b"cookie", _PROTOCOL}:
            return b""
        return found[0]

    def _behind(self, door: bytes, value: bytes) -> Iterator[bytes]:
        if door == b"cookie":
            for pair in value.split(b";"):
                name, _, secret = pair.partition(b"=")
                if name.strip() == self._cookie:
                    yield _secret(secret.strip().strip(b'"'))
        elif door == _PROTOCOL:
            for protocol in value.split(b","):
                for prefix in _PROTOCOL_PREFIXES:
                    if protocol.strip().startswith(prefix):
                        yield _secret(protocol.strip().removeprefix(prefix))
        else:
            yield _secret(value)

    def _in_query(self, query: bytes, names: set[str]) -> Iterator[bytes]:
        try:
            pairs = parse_qsl(query.decode("latin-1"), encoding="latin-1", max_num_fields=256)
        except ValueError:
            raise _refused("The query string has too many fields.") from None
        for name, value in pairs:
            if name in names:
                yield _secret(value.encode("latin-1", "replace"))


def usual(value: bytes) -> bytes:
    """The secret of a header in one of the usual forms, ``Bearer x`` and ``x``; ``b""`` for every other: ``find`` reads those."""
    words = value.split()
    if len(value) <= MOST_BYTES and b"," not in value:
        if len(words) == 2 and words[0] == b"Bearer":
            return words[1]
        if len(words) == 1 and words[0].lower() not in _SCHEMES:
            return words[0]
    return b""


def _secret(value: bytes) -> bytes:
    """``Bearer x``, ``bearer  x``, ``Token\\tx`` and ``x`` are the same secret ``x``."""
    if len(value) > MOST_BYTES:
        raise _refused(f"The credential is longer than {MOST_BYTES} bytes.")
    words = value.split()
    if not words:
        return b""
    if len(words) > 2 or b"," in value:
        # An app that splits at blanks or commas reads a part of it, and the rest would make it a new account each time.
        raise _refused("The credential must be one word after its scheme.")
    if len(words) == 1:
        return b"" if words[0].lower() in _SCHEMES else words[0]
    return _basic(words[1]) if words[0].lower() == b"basic" else words[1]


def _basic(encoded: bytes) -> bytes:
    """Name and password: Base64 has several spellings of the same two."""
    try:
        return b"basic " + b64decode(encoded, validate=True)
    except Base64Error:
        raise _refused("The credential is not valid Base64.") from None


def _only(found: bytes, secret: bytes) -> bytes:
    if found and secret and found != secret:
        raise _refused("The request carries two different credentials.")
    return found or secret


def _refused(sentence: str) -> BadExchange:
    return BadExchange(400, "credentials", sentence)
