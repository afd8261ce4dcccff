"""Amounts with their units, as a policy file writes them: ``"32 MiB"``, ``"10 s"``, ``"20/minute; 500/day"``.

Each reader raises ``ValueError(message, hint)``: what is wrong, and what would be right.
"""

from __future__ import annotations

import re
from decimal import Decimal
from types import MappingProxyType

from limits import parse_many

from guard.settings import Window

_SIZES = MappingProxyType(
    {"b": 1, "kb": 1000, "kib": 1024, "mb": 10**6, "mib": 1024**2, "gb": 10**9, "gib": 1024**3},
)
_TIMES = MappingProxyType(
    {
        **dict.fromkeys(("ms", "millisecond", "milliseconds"), 0.001),
        **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
        **dict.fromkeys(("m", "min", "minute", "minutes"), 60.0),
        **dict.fromkeys(("h", "hour", "hours"), 3600.0),
        **dict.fromkeys(("d", "day", "days"), 86_400.0),
    }
)
_QUANTITY = re.compile(r"\s*(\d{1,15}(?:\.\d{1,6})?)\s*([A-Za-z]+)\s*", re.ASCII)
_NUMBER = re.compile(r"\s*[-+]?[\d_.]+\s*", re.ASCII)
_AMOUNT = re.compile(r"(?:^|(?<=[,;|]))\s*(\d+(?:\.\d*)?|\.\d+)", re.ASCII)
_LONG_NUMBER = re.compile(r"\d{13}", re.ASCII)
# A decimal amount of money is read as so many millionths, since the grammar knows whole numbers only.
_MILLIONTHS = 10**6


def size_bytes(value: object) -> int:
    """``"32 MiB"`` → bytes."""
    number, unit = _quantity(value, "a size", '"32 MiB"')
    if unit not in _SIZES:
        raise ValueError(f"unknown unit of size {unit!r}", "units: B, KiB, MiB, GiB, kB, MB, GB")
    size = int(number * _SIZES[unit])
    if size < 1:
        raise ValueError("must be at least one byte", 'for example "32 MiB"')
    return size


def duration_s(value: object) -> float:
    """``"10 s"`` → seconds."""
    number, unit = _quantity(value, "a time", '"10 s"')
    if unit not in _TIMES:
        raise ValueError(f"unknown unit of time {unit!r}", "units: ms, s, minutes, hours, days")
    seconds = float(number) * _TIMES[unit]
    if seconds <= 0:
        raise ValueError("must be longer than nothing", 'for example "10 s"')
    return seconds


def windows(value: object, *, decimals: bool = False) -> tuple[Window, ...]:
    """``"20/minute; 500/day"`` in the grammar of the ``limits`` package → windows in rising length.

    ``decimals``: amounts may have up to six decimals (money).
    """
    example = '"2.50/day"' if decimals else '"20/minute; 500/day"'
    if isinstance(value, (int, float)) or (isinstance(value, str) and _NUMBER.fullmatch(value)):
        raise ValueError("needs an amount and a time, not a bare number", f"for example {example}")
    if not isinstance(value, str):
        raise ValueError("must be text: an amount and a time", f"for example {example}")
    text = value.strip()
    if re.match(r"-\s*\d", text) or re.search(r"[,;|]\s*-\s*\d", text):
        raise ValueError("an amount must be more than nothing", f"for example {example}")
    if _LONG_NUMBER.search(text):
        raise ValueError("an amount has at most 12 digits", f"for example {example}")
    if decimals:
        if re.search(r"\.\d{7}", text):
            raise ValueError("at most six decimals", f"for example {example}")
        text = _AMOUNT.sub(lambda found: f" {int(Decimal(found.group(1)) * _MILLIONTHS)}", text)
    try:
        # The grammar lets a colon slip in before a separator; a colon is nowhere meant.
        items = parse_many("" if ":" in text else text)
    except ValueError:
        raise ValueError(
            "isn't an amount and a time", f"for example {example}; units: second, minute, hour, day, month, year"
        ) from None
    if re.search(r"(?:/|per)\s*0+\s*[a-z]", text, re.IGNORECASE):
        raise ValueError("a time must be longer than nothing", f"for example {example}")
    found: dict[float, Window] = {}
    for item in items:
        window = Window(item.amount / _MILLIONTHS if decimals else float(item.amount), float(item.get_expiry()))
        if window.amount <= 0:
            raise ValueError("an amount must be more than nothing", f"for example {example}; or leave the key out")
        if window.window_s in found:
            raise ValueError("the same time stands twice", "one amount for each length of time")
        found[window.window_s] = window
    return tuple(found[length] for length in sorted(found))


def _quantity(value: object, what: str, example: str) -> tuple[Decimal, str]:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"must be {what} with its unit, as text", f"for example {example}")
    found = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        bare = not isinstance(value, str) or _NUMBER.fullmatch(value)
        raise ValueError(f"{'needs its unit' if bare else f'is not {what}'}", f"for example {example}")
    return Decimal(found.group(1)), found.group(2).lower()
