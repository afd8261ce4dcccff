"""What the content signals read in published prompts, honest and extracting: a generous check that nothing is badly off.

The files are for measuring. No wording is taken from them, and the bounds are wide on purpose: who tunes to them learns them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from guard.plain import folded
from guard.scanning import Patterns

NAMES = ("instruction_synthesis", "reasoning_elicitation", "refusal_probing", "rubric_grading")
ROWS = 200
# Evaluation harnesses and prompt collections ask for steps by trade.
BY_TRADE = {("eval_math_harness", "reasoning_elicitation"), ("fabric_patterns", "reasoning_elicitation")}


@pytest.fixture(scope="module")
def data(shared: Path) -> Path:
    folder = shared / "data"
    if not folder.is_dir():
        pytest.skip("needs shared/data beside the project")
    return folder


def rows(path: Path) -> Iterator[tuple[str, bytes]]:
    """(language, text) of every so many rows, evenly from the whole file."""
    lines = path.read_bytes().splitlines()
    for line in lines[:: max(1, len(lines) // ROWS)]:
        row = json.loads(line)
        yield row["lang"], folded(f"{row['system']}\n{row['user']}").encode()


@cache
def readings(path: Path) -> list[tuple[str, tuple[float, ...]]]:
    patterns = [Patterns(name) for name in NAMES]
    return [(language, tuple(p.reading(text) for p in patterns)) for language, text in rows(path)]


def test_honest_sources_read_low(data: Path) -> None:
    """In no honest source is a signal's mean above a tenth (where steps are asked for by trade: two fifths)."""
    too_high = {}
    for path in sorted((data / "benign").glob("*.jsonl")):
        found = [values for _, values in readings(path)]
        for name, column in zip(NAMES, zip(*found, strict=True), strict=True):
            mean = sum(column) / len(column)
            share = sum(value > 0.3 for value in column) / len(column)
            print(f"{path.stem:34} {name:24} mean {mean:.3f}, above 0.3: {share:.1%}")
            if mean > (0.4 if (path.stem, name) in BY_TRADE else 0.1):
                too_high[path.stem, name] = mean

    assert not too_high


def test_no_language_of_honest_prompts_reads_high(data: Path) -> None:
    """Chinese, Portuguese, French, Spanish and other honest prompts are flagged no oftener than one in ten."""
    readers = [Patterns(name) for name in NAMES]
    flagged: dict[str, list[bool]] = {}
    for path in sorted((data / "benign").glob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            if b'"lang":"en"' not in line:
                row = json.loads(line)
                text = folded(f"{row['system']}\n{row['user']}").encode()
                strongest = max(reader.reading(text) for reader in readers)
                flagged.setdefault(row["lang"], []).append(strongest > 0.3)
    shares = {language: sum(ones) / len(ones) for language, ones in flagged.items() if len(ones) >= 20}
    print(shares)

    assert shares
    assert max(shares.values()) <= 0.1


def test_reasoning_and_grading_are_found_in_extraction(data: Path) -> None:
    """The sources that ask for reasoning or for grades read higher than the mean honest source does."""
    for path in sorted((data / "extraction").glob("*.jsonl")):
        found = [values for _, values in readings(path)]
        for name, column in zip(NAMES, zip(*found, strict=True), strict=True):
            share = sum(value > 0.3 for value in column) / len(column)
            print(f"{path.stem:34} {name:24} mean {sum(column) / len(column):.3f}, above 0.3: {share:.1%}")
    honest = [values for path in sorted((data / "benign").glob("*.jsonl")) for _, values in readings(path)]
    for stem, column in (("openthoughts_r1_reasoning_calls", 1), ("ultrafeedback_rubric_calls", 3)):
        extraction = [values[column] for _, values in readings(data / "extraction" / f"{stem}.jsonl")]
        assert sum(extraction) / len(extraction) > 2 * sum(values[column] for values in honest) / len(honest)
