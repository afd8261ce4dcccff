"""What the detection benchmark reads from a log, and what it says of the cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guard.config import load as load_policy


def test_turns_are_read_from_both_dialects(load: Any, record: Any) -> None:
    """The system prompt and the last user turn, as text or as parts."""
    turns = load("ledger").turns
    parts = [{"type": "text", "text": "one"}, {"type": "image"}, {"type": "text", "text": "two"}]
    assert turns(
        {"system": "s", "messages": [{"role": "user", "content": "a"}, {"role": "user", "content": parts}]}
    ) == ("s", "one\ntwo")
    assert turns(record(0, "x", "hello")["request"]["body"]) == ("be kind", "hello")
    assert turns({}) == ("", "")


def test_harm_is_counted_by_language(load: Any, record: Any, written: Any) -> None:
    """Prompts by their own language, accounts by the one most of theirs are in; a campaign's prompts are nobody's."""
    ledger = load("ledger")
    english, german = "How do I write to the bank about this?", "Wie kann ich das der Bank mit dem Brief sagen?"
    log = written(
        "log.jsonl",
        [
            record(0, "a", english),
            record(1, "a", german),
            record(2, "a", english),
            record(3, "b", german),
            record(4, "x", german, "c"),
        ],
    )
    seen: list[tuple[int, str, str]] = []
    read = ledger.read(log, lambda *each: seen.append(each))
    assert seen[3] == (3, "be kind", german)
    harm = ledger.by_language(read, np.array([False, True, False, True, True]))
    assert harm["en"] == (2, 0, 0, 1, 1)
    assert harm["de"] == (2, 2, 2, 1, 1)


def test_the_curve_follows_the_clock(load: Any, record: Any, written: Any) -> None:
    """Leak by span of time: all of the first day answered, half of the last."""
    ledger = load("ledger")
    day = 86_400
    log = written("log.jsonl", [record(at, "x", "hi", "c") for at in (0, 1, 2 * day, 2 * day)])
    curve = ledger.curve(ledger.read(log), np.array([False, False, True, False]))
    assert [leak for _, leak in curve] == [1.0, 0.5]
    assert curve[0][0] < 0.1
    assert curve[1][0] > 1.9


def test_growth_compares_the_last_tenth_with_the_first(load: Any) -> None:
    """A replay that becomes twice as slow at the end shows 2; start-up before the first byte does not count."""
    growth = load("replay").growth
    steady = [(0, 5.0), *((place, 5.0 + place / 100) for place in range(1, 1002, 10))]
    assert growth(steady, (100, 900), 1000) == pytest.approx(1.0, rel=0.02)
    slower = [(place, cpu_s if place <= 900 else cpu_s + (place - 900) / 100) for place, cpu_s in steady]
    assert growth(slower, (100, 900), 1000) == pytest.approx(2.0, rel=0.02)
    assert growth(steady[:10], (100, 900), 1000) is None


def test_parsing_is_measured_line_by_line(load: Any, record: Any, written: Any) -> None:
    """All lines are counted, and the marks stand where a tenth and nine tenths of them end."""
    log = written("log.jsonl", [record(at, "a", "x" * 100) for at in range(10_000, 20_000)])
    parse = load("replay").parse_cost(log)
    size = log.stat().st_size
    assert parse.lines == 10_000
    assert parse.cpu_s > 0
    assert parse.marks == (pytest.approx(size * 0.1, rel=0.01), pytest.approx(size * 0.9, rel=0.01))


def test_the_policy_without_limits_is_the_shipped_one_otherwise(tmp_path: Path, load: Any) -> None:
    """It loads, has no limit, and keeps every rule of ``standard``."""
    bare, standard = load_policy(str(load("replay").without_limits(tmp_path))), load_policy("standard")
    assert standard.limits
    assert not bare.limits
    assert [rule.id for rule in bare.rules] == [rule.id for rule in standard.rules]
