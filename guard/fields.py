"""Structured fields for HTTP (RFC 9651): values → the one way in which they are written (section 4.1).

Values are Python's own: ``bool``, ``int`` (at most fifteen digits), ``float`` and ``Decimal`` (twelve digits before the point, three
after it), ``str`` (printable ASCII), ``bytes``; and ``Token``, ``Display`` (any text) and ``Date`` (seconds since 1970). An item
with parameters is an ``Item``; a ``tuple`` of members is an inner list. What has no way to be written raises ``ValueError``.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

LARGEST_INTEGER: Final = 999_999_999_999_999
_KEY: Final = re.compile(r"[a-z*][a-z0-9_\-.*]*", re.ASCII)
_TOKEN: Final = re.compile(r"[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*", re.ASCII)
_TEXT: Final = re.compile(r"[ -~]*", re.ASCII)
_PLACES: Final = Decimal("0.001")


class Token(str):
    """A word that is written without quotes."""

    __slots__ = ()


class Display(str):
    """Text in any language."""

    __slots__ = ()


class Date(int):
    """Seconds since 1970."""

    __slots__ = ()


class Item(NamedTuple):
    """A value, or an inner list, with its parameters."""

    value: Any
    parameters: Mapping[str, Any] = {}


def write_list(members: Iterable[Any]) -> str:
    """A list's field value, ``""`` for none: then the field is left out."""
    return ", ".join(write_item(member) for member in members)


def write_dictionary(members: Mapping[str, Any]) -> str:
    """A dictionary's field value; a member that is true is its name alone."""
    return ", ".join(_member(key, value) for key, value in members.items())


def write_item(member: Any) -> str:
    """An item's or inner list's field value."""
    value, parameters = member if isinstance(member, Item) else (member, {})
    if isinstance(value, tuple):
        written = "(" + " ".join(write_item(inner) for inner in value) + ")"
    else:
        written = _bare(value)
    return written + _parameters(parameters)


def _member(key: str, member: Any) -> str:
    value, parameters = member if isinstance(member, Item) else (member, {})
    return _key(key) + _parameters(parameters) if value is True else f"{_key(key)}={write_item(member)}"


def _parameters(parameters: Mapping[str, Any]) -> str:
    return "".join(
        f";{_key(key)}" if value is True else f";{_key(key)}={_bare(value)}" for key, value in parameters.items()
    )


def _key(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError("a key is lower-case letters, digits and _-.*")
    return key


def _bare(value: Any) -> str:
    match value:
        case bool():
            return f"?{value:d}"
        case Date():
            return f"@{_integer(value)}"
        case int():
            return _integer(value)
        case float() | Decimal():
            return _decimal(value)
        case Token():
            if not _TOKEN.fullmatch(value):
                raise ValueError("that is no token")
            return str(value)
        case Display():
            return _display(value)
        case str():
            if not _TEXT.fullmatch(value):
                raise ValueError("a string is printable ASCII")
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case bytes():
            return f":{b64encode(value).decode()}:"
    raise ValueError(f"a {type(value).__name__} can't stand in a structured field")


def _integer(value: int) -> str:
    if abs(value) > LARGEST_INTEGER:
        raise ValueError("an integer has at most fifteen digits")
    return str(int(value))


def _decimal(value: float | Decimal) -> str:
    try:
        rounded = Decimal(repr(value) if isinstance(value, float) else value).quantize(_PLACES, ROUND_HALF_EVEN)
        small = abs(rounded) < 10**12
    except InvalidOperation:
        raise ValueError("that is no decimal number") from None
    if not small:
        raise ValueError("a decimal has at most twelve digits before its point")
    whole, _, places = f"{rounded:f}".partition(".")
    return f"{whole}.{places.rstrip('0') or '0'}"


def _display(value: str) -> str:
    try:
        raw = value.encode()
    except UnicodeEncodeError:
        raise ValueError("a lone surrogate can't be written") from None
    return '%"' + "".join(chr(b) if 0x20 <= b <= 0x7E and b not in b'%"' else f"%{b:02x}" for b in raw) + '"'
