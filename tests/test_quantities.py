"""Amounts with their units."""

from __future__ import annotations

from typing import Any

import pytest

from guard.quantities import duration_s, size_bytes, windows
from guard.settings import Window


@pytest.mark.parametrize(
    ("text", "size"),
    [("32 MiB", 33_554_432), ("1.5kB", 1500), ("1 b", 1), (" 2 GB ", 2_000_000_000), ("64KiB", 65_536)],
)
def test_sizes(text: str, size: int) -> None:
    """Binary and decimal units, any case, blank or none."""
    assert size_bytes(text) == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10 s", 10.0), ("1500 ms", 1.5), ("2h", 7200.0), ("15m", 900.0), ("7d", 604_800.0), ("1.5 minutes", 90.0)],
)
def test_times(text: str, seconds: float) -> None:
    """Short and long names of the units."""
    assert duration_s(text) == seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20/minute", [(20, 60)]),
        ("500/day; 20/minute", [(20, 60), (500, 86_400)]),
        ("20 per 2 minutes", [(20, 120)]),
        ("1/second, 2/hour | 3/month", [(1, 1), (2, 3600), (3, 2_592_000)]),
    ],
)
def test_windows_stand_in_rising_length(text: str, expected: list[tuple[float, float]]) -> None:
    """The grammar of the limits package."""
    assert windows(text) == tuple(Window(*pair) for pair in expected)


def test_money_has_decimals() -> None:
    """Exactly, to a millionth."""
    assert windows("2.50/day; .000001/hour", decimals=True) == (Window(0.000001, 3600), Window(2.5, 86_400))
    assert windows("3/day", decimals=True) == (Window(3.0, 86_400),)


@pytest.mark.parametrize(
    "value",
    [20, 2.5, True, None, "20", "-1/day", "1/-1 day", "0/day", "1/0 day", "20/minut", "/day", "1//day", "1/day;;2/hour", "",
     "1/day; 2/day", "1/day; 2/24 hours", "1/day:;2/hour", "1.5/day", "9" * 5000 + "/day", "1/" + "9" * 5000 + " day",
     "\u0661/day", "1/day\n2/hour", [], {}],
)  # fmt: skip
def test_what_is_no_amount_in_a_time_is_refused_with_an_example(value: Any) -> None:
    """Each with what is wrong and what would be right."""
    with pytest.raises(ValueError) as caught:
        windows(value)
    message, hint = caught.value.args
    assert message
    assert "/" in hint or "each length" in hint


@pytest.mark.parametrize(
    "value", [10, "10", "s", "ten s", "0 s", "-1 s", "1e3 s", "10 parsecs", "", None, True, [], "9" * 99]
)
def test_what_is_no_time_is_refused_with_an_example(value: Any) -> None:
    """A bare number has no meaning: seconds to one, milliseconds to another."""
    with pytest.raises(ValueError) as caught:
        duration_s(value)
    assert len(caught.value.args) == 2


@pytest.mark.parametrize("value", [10, "10", "MiB", "0 B", "0.1 B", "10 s", "", None, "1,5 MB"])
def test_what_is_no_size_is_refused_with_an_example(value: Any) -> None:
    """Nothing and less than a byte are no size either."""
    with pytest.raises(ValueError) as caught:
        size_bytes(value)
    assert len(caught.value.args) == 2
