"""How single values of a policy file are worded: readers that turn a value into what is meant, or say what is wrong.

A reader raises ``ValueError(message, hint)``, which ``schema.py`` turns into what pydantic wants. Names that end up in a header
or a log line are refused here when they hold anything that could break one (SECURITY.md, 144).
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Any

from guard.origin import KINDS
from guard.quantities import duration_s, size_bytes, windows
from guard.registry import nearest
from guard.settings import Network, Window
from guard.types import ACTIONS

__all__ = ["duration_s", "size_bytes", "windows"]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_CALLABLE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):(\d{1,5})", re.ASCII)
_ROUTE = re.compile(r"/|(/[A-Za-z0-9._~!$&'()+,;=:@-]+)+/?|(/[A-Za-z0-9._~!$&'()+,;=:@-]+)*/\*", re.ASCII)
_LONGEST_SOCKET = 103  # macOS; Linux has 107
_LONGEST_RETRY_S = 60  # SDKs sleep that long
_LONGEST_DELAY_S = 30
DEFAULT_RETRY_S = 30.0


def money(value: object) -> tuple[Window, ...]:
    """``"2.50/day"``: windows whose amounts are money."""
    return windows(value, decimals=True)


def line(value: object) -> str:
    """One line of printable text, at most 300 characters."""
    text = _text(value)
    if not text.strip():
        raise ValueError("is empty", "say it in a few words")
    if len(text) > 300:
        raise ValueError("is longer than 300 characters", "")
    return text


def identifier(value: object) -> str:
    """The id of a limit or rule: it stands in response headers, metrics and records."""
    text = _text(value)
    if not _ID.fullmatch(text):
        raise ValueError("isn't an id", "letters, digits, '-', '_' and '.', at most 64, for example 'free-tier'")
    return text


def header_name(value: object) -> str:
    """A header's name, lower-case."""
    text = _text(value)
    if text and not _TOKEN.fullmatch(text):
        raise ValueError("isn't a header name", "letters, digits and '-', for example 'x-api-key'")
    return text.lower()


def token(value: object) -> str:
    """The name of a query parameter or cookie."""
    text = _text(value)
    if text and not _TOKEN.fullmatch(text):
        raise ValueError("isn't a name", "letters, digits, '-' and '_'")
    return text


def file_path(value: object) -> str:
    return _text(value)


def data_file(value: object) -> str:
    """A file that must be named."""
    text = _text(value)
    if not text.strip() or "\0" in text:
        raise ValueError("isn't a file", "a path from where the process starts")
    return text


def network_kind(value: object) -> str:
    """What the networks of a list are."""
    text = _text(value)
    if text not in KINDS:
        raise ValueError("unknown kind of network", nearest(text, KINDS))
    return text


def socket_path(value: object) -> str:
    """A Unix socket's path, which systems bound at about a hundred bytes."""
    text = _text(value)
    if len(text.encode()) > _LONGEST_SOCKET:
        raise ValueError(
            f"is longer than {_LONGEST_SOCKET} bytes", "the system bounds a socket's path; use a shorter one"
        )
    return text


def callable_name(value: object) -> str:
    text = _text(value)
    if text and not _CALLABLE.fullmatch(text):
        raise ValueError("isn't the name of a callable", "module:callable, for example 'shop.accounts:describe'")
    return text


def hop(value: object) -> Network:
    """A trusted network. Bits of a host in a network are a mistake: which of both was meant can't be known."""
    text = _text(value)
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        meant = ip_network(text, strict=False)
    except ValueError:
        raise ValueError("isn't an IP network", 'for example "10.0.0.0/8"') from None
    raise ValueError("has bits of a host in it", f'did you mean "{meant}" or "{text.partition("/")[0]}"?')


def host_port(value: object) -> str:
    text = _text(value)
    found = _HOST_PORT.fullmatch(text)
    if text and (found is None or not 0 < int(found.group(2)) < 65_536):
        raise ValueError("isn't host:port", 'for example "127.0.0.1:9901"')
    if found and found.group(1).startswith("["):
        try:
            ip_address(found.group(1)[1:-1])
        except ValueError:
            raise ValueError("isn't host:port", 'for example "[::1]:9901"') from None
    return text


def url(value: object) -> str:
    """Where a client is sent to prove who it is: https, without blanks and without what would end it in a header."""
    text = "" if value is True else _text(value)
    if not re.fullmatch(r"https://[^/<>\"\\ ][^<>\"\\ ]*", text) or not text.isascii():
        raise ValueError(
            "needs the address to verify at, with https", 'for example { challenge = "https://example.org/verify" }'
        )
    return text


def route_path(value: object) -> str:
    """A path as it stands after normalising, or all below one."""
    text = _text(value)
    if not _ROUTE.fullmatch(text) or any(part in (".", "..") for part in text.split("/")):
        raise ValueError("isn't a path", 'for example "/v1/chat/completions", or "/v1/*" for all below it')
    return text


def refuse_or_flat(value: object) -> object:
    """What happens to a path without a dialect; None: it is refused."""
    if value == "refuse":
        return None
    if isinstance(value, dict):
        return value
    raise ValueError("must be refuse or a flat cost", '"refuse", or { flat = 1000 } in tokens')


def delay(value: object) -> float:
    if value is True:
        raise ValueError("needs a time", 'for example { delay = "1 s" }')
    seconds = duration_s(value)
    if seconds > _LONGEST_DELAY_S:
        raise ValueError(f"is longer than {_LONGEST_DELAY_S} s", "a client waits for the first byte")
    return seconds


def retry_after(value: object) -> float:
    if value is True:
        return DEFAULT_RETRY_S
    seconds = duration_s(value)
    if not 1 <= seconds <= _LONGEST_RETRY_S:
        raise ValueError(f"must be from 1 to {_LONGEST_RETRY_S} s", "clients sleep for as long as they are told")
    return seconds


def until(value: object) -> float | None:
    """The end of a day in UTC, or a moment with its time zone → seconds since 1970."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("is a moment without a time zone", "add one: 2027-01-31T12:00:00Z")
        return value.timestamp()
    if isinstance(value, date):
        return (datetime(value.year, value.month, value.day, tzinfo=UTC) + timedelta(days=1)).timestamp()
    if value is None:
        return None
    raise ValueError("must be a date", "for example 2027-01-31, without quotes")


def subject(value: object) -> str:
    """Whom a grant is for."""
    text = _text(value)
    kind, _, name = text.partition(":")
    if kind not in ("account", "org") or not name.strip():
        raise ValueError("isn't an account or organisation", 'for example "org:acme-evals" or "account:4711"')
    return text


def as_list(value: Any) -> Any:
    """One value stands for a list of it."""
    return [value] if isinstance(value, str) else value


def as_path(value: Any) -> Any:
    """A route that is only a path."""
    return {"path": value} if isinstance(value, str) else value


def as_action(value: Any) -> Any:
    """An action without options: its name."""
    if not isinstance(value, str):
        return value
    if value not in ACTIONS:
        raise ValueError("unknown action", nearest(value, ACTIONS))
    if value == "degrade":
        raise ValueError("needs what is to be reduced", 'for example { degrade = ["budget", "logprobs"] }')
    return {value: True}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be text", "")
    if any(ord(character) < 32 or ord(character) in (127, 0x2028, 0x2029, 0x85) for character in value):
        raise ValueError("holds a control character or a line break", "one line of printable text")
    return value
