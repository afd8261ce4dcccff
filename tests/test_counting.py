from __future__ import annotations

from typing import Any

import pytest

from guard.counting import MOST_REPORTED_TOKENS, count_strings, count_text, report_input, report_output
from guard.types import Tally


def test_text_is_counted_in_characters_and_bytes() -> None:
    """Scripts of several bytes a character cost what they weigh; a lone surrogate does no harm."""

    tally = Tally()
    for said in ("plain", "Zürich", "天空", "\ud800"):
        count_text(said, tally)

    assert (tally.characters, tally.text_bytes) == (5 + 6 + 2 + 1, 5 + 7 + 6 + 3)


def test_strings_are_counted_however_deep() -> None:
    """Texts and numbers at every depth count; labels don't."""

    deep: Any = "text"
    for _ in range(5_000):
        deep = [deep]
    tally = Tally()
    count_strings({"id": "label", "type": "label", "a": deep, "b": {"c": 12, "d": None, "e": True}}, tally)

    assert (tally.characters, tally.text_bytes) == (4 + 4, 4 + 4)


@pytest.mark.parametrize("value", [-1, True, 1.0, "5", None, [5], 10**18, MOST_REPORTED_TOKENS + 1])
def test_reports_that_can_not_be_true(value: Any) -> None:
    """They leave the tally as it was (SECURITY 83)."""

    tally = Tally()
    report_input(value, tally)
    report_output(value, tally)

    assert tally == Tally()


def test_the_largest_report_counts() -> None:
    """Reports within a stream are cumulative."""

    tally = Tally()
    for value in (0, 7, 3, MOST_REPORTED_TOKENS, 5):
        report_input(value, tally)
        report_output(value, tally)

    assert (tally.input_tokens, tally.output_tokens) == (MOST_REPORTED_TOKENS, MOST_REPORTED_TOKENS)
