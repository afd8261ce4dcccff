"""Reads the lines of an exchange log, one JSON object each, and refuses the ones that can't be replayed.

The public format is the one that ``[record]`` writes and ``lines.py`` describes. What an operator states of an account or a
peer is believed: the log is his. Facts he does not have are absent; ``null`` is read as absent too. ``label`` and every
other field that isn't named here is never looked at.

The checks are written out by hand and run once for each distinct account, peer and set of headers, not for each line:
a replay has to keep up with ``orjson.loads``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from guard.errors import ExchangeLogError
from guard.identity import possible_owners
from guard.talk import is_prefix
from guard.types import AccountFacts

# How far the clocks of a gateway's workers may disagree. Beyond it lines are out of order.
TOLERANCE_S = 1.0
# The year 5138; in milliseconds it was passed in 1973.
_LATEST_S = 1e11
_TEXT = (str,)
_NUMBER = (int, float)
_WHOLE = (int,)
_FLAG = (bool,)
_ACCOUNT = (
    ("created", _NUMBER, "a number"),
    ("tier", _TEXT, "text"),
    ("verified", _FLAG, "true or false"),
    ("country", _TEXT, "text"),
    ("payment", _TEXT, "text"),
    ("signup", _TEXT, "text"),
    ("org", _TEXT, "text"),
    ("owner_country", (str, dict), "text or an object"),
)
_PEER = (
    ("ip", _TEXT, "text"),
    ("country", _TEXT, "text"),
    ("asn", _WHOLE, "a whole number"),
    ("asn_kind", _TEXT, "text"),
    ("ja4", _TEXT, "text"),
)
_NOTHING: Mapping[str, Any] = {}
_UNTOLD = (-1, -1)
# Makes a named tuple of a tuple, without the two calls that its constructor costs.
_made = tuple.__new__


class Logged(NamedTuple):
    """One line that can be replayed. ``at`` never goes back; the mappings are as the log has them, checked or not.

    ``plain`` is the body as JSON text where it is one that ``orjson`` does not read (lone surrogates, NaN), else ``b""``.
    ``status`` is the answer's (0: the log has no answer); ``tokens`` are (input, output), −1 where the log doesn't say.
    ``line`` is all of it, as it stands in the log.
    """

    n: int
    at: float
    account: Mapping[str, Any]
    peer: Mapping[str, Any]
    request: Mapping[str, Any]
    plain: bytes
    status: int
    tokens: tuple[int, int]
    line: bytes
    prefix: str = ""
    """The answer's, as a hash; ``""``: the log doesn't say. Likewise ``signatures``."""
    signatures: tuple[str, ...] = ()


class ExchangeLog:
    """Numbers the lines of one log from 0 and keeps its clock."""

    __slots__ = ("_at", "n")

    def __init__(self) -> None:
        self.n = -1
        """The number of the line read last; −1 before the first."""
        self._at = 0.0

    def read(self, line: bytes) -> Logged:
        """The next line. Raises ``ExchangeLogError`` where it can't be replayed; then the clock stands as it stood."""
        self.n = n = self.n + 1
        plain = b""
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError:
            record, plain = _lenient(line, n)
        if type(record) is not dict:
            raise ExchangeLogError(n, "is not a JSON object")
        read = record.get
        account, request = read("account"), read("request")
        if type(account) is not dict:
            raise _wrong(n, "account", "an object", account)
        if type(request) is not dict:
            raise _wrong(n, "request", "an object", request)
        name, method, path = account.get("id"), request.get("method"), request.get("path")
        if type(name) is not str or not name:
            raise _wrong(n, "account.id", "text", name)
        if type(method) is not str or not method:
            raise _wrong(n, "request.method", "text", method)
        if type(path) is not str or not path:
            raise _wrong(n, "request.path", "text", path)
        if "body" not in request and "features" not in request:
            raise ExchangeLogError(n, "request.body is missing (or request.features in its place)")
        peer = read("peer")
        if peer is None:
            peer = _NOTHING
        elif type(peer) is not dict:
            raise _wrong(n, "peer", "an object", peer)
        response = read("response")
        status, tokens = (0, _UNTOLD) if response is None else _response(response, n)
        at = self._clock(read("at"), n)
        prefix, signatures = ("", ()) if response is None else _given(response, n)
        return _made(Logged, (n, at, account, peer, request, plain, status, tokens, line, prefix, signatures))

    def _clock(self, at: Any, n: int) -> float:
        """The moment of a line. It never goes back: within the tolerance the clock holds."""
        if type(at) is not float and type(at) is not int:
            raise _wrong(n, "at", "a number", at)
        if not 0 <= at < _LATEST_S:
            raise ExchangeLogError(n, f"at is {at:.6g}; it must be seconds since 1970 (not milliseconds)")
        if at < self._at - TOLERANCE_S:
            raise ExchangeLogError(n, f"at goes back by {self._at - at:.3f} s; lines must be ordered by at")
        self._at = max(self._at, float(at))
        return self._at


def facts(account: Mapping[str, Any], n: int) -> AccountFacts:
    """``account.*`` of line ``n``. Raises ``ExchangeLogError`` for values of another kind than the format's."""
    stated = _stated(account, _ACCOUNT, "account", n)
    created = stated.get("created")
    if created is not None and not 0 <= created < _LATEST_S:
        raise ExchangeLogError(n, f"account.created is {created:.6g}; it must be seconds since 1970 (not milliseconds)")
    if not possible_owners(stated.get("owner_country")):
        raise ExchangeLogError(n, "account.owner_country must be a country, or percents by country")
    return AccountFacts(id=account["id"], **stated)


def peer_facts(peer: Mapping[str, Any], n: int) -> dict[str, Any]:
    """``peer.*`` of line ``n``, without what is not stated. Raises ``ExchangeLogError`` likewise."""
    return _stated(peer, _PEER, "peer", n)


def headers(stated: Any, n: int) -> list[tuple[bytes, bytes]]:
    """``request.headers`` of line ``n`` as ASGI has them. Raises ``ExchangeLogError`` for anything but pairs of text."""
    try:
        return [(name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in stated]
    except (AttributeError, TypeError, ValueError):
        raise ExchangeLogError(n, "request.headers must be a list of [name, value]") from None


def _lenient(line: bytes, n: int) -> tuple[Any, bytes]:
    """A line that isn't strict JSON, once more: where only its body is at fault, that's the body's refusal, not the log's.

    The line's own encoder (Python's ``json`` by default, for one) may well have written what no strict reader takes.
    """
    try:
        record = json.loads(line)
        body = record["request"]["body"]
        orjson.loads(json.dumps({**record, "request": {**record["request"], "body": None}}))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ExchangeLogError(n, "is not JSON") from None
    return record, json.dumps(body).encode()


def _response(response: Any, n: int) -> tuple[int, tuple[int, int]]:
    if type(response) is not dict:
        raise _wrong(n, "response", "an object", response)
    status, received, sent = response.get("status"), response.get("input_tokens"), response.get("output_tokens")
    if type(status) is type(received) is type(sent) is int and status >= 0 and received >= 0 and sent >= 0:
        return status, (received, sent)
    numbers = []
    for field, default in (("status", 200), ("input_tokens", -1), ("output_tokens", -1)):
        value = response.get(field)
        if value is None:
            value = default
        elif type(value) is not int or value < 0:
            raise _wrong(n, f"response.{field}", "a whole number", value)
        numbers.append(value)
    return numbers[0], (numbers[1], numbers[2])


def _given(response: Mapping[str, Any], n: int) -> tuple[str, tuple[str, ...]]:
    """The answer's prefix and its signatures, as hashes."""
    prefix, signatures = response.get("prefix"), response.get("signatures")
    if prefix is not None and not is_prefix(prefix):
        raise _wrong(n, "response.prefix", "16 hex digits", prefix)
    if signatures is None:
        return prefix or "", ()
    if not (type(signatures) is list and all([is_prefix(one) for one in signatures])):
        raise _wrong(n, "response.signatures", "a list of 16 hex digits each", signatures)
    return prefix or "", tuple(signatures)


def _stated(
    part: Mapping[str, Any], fields: tuple[tuple[str, tuple[type, ...], str], ...], name: str, n: int
) -> dict[str, Any]:
    stated = {}
    for field, kinds, word in fields:
        value = part.get(field)
        if value is None:
            continue
        if type(value) not in kinds:
            raise _wrong(n, f"{name}.{field}", word, value)
        stated[field] = value
    return stated


def _wrong(n: int, field: str, wanted: str, value: Any) -> ExchangeLogError:
    """What is wrong with a field; never its value, which may be anybody's."""
    if value is None:
        return ExchangeLogError(n, f"{field} is missing")
    if value == "":
        return ExchangeLogError(n, f"{field} is empty")
    return ExchangeLogError(n, f"{field} must be {wanted}, not {_KINDS.get(type(value), 'something else')}")


_KINDS: Mapping[type, str] = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number"}
