"""The pattern files as data: languages, strengths, folding."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any

import pytest

from guard.plain import in_sight
from guard.scanning import Patterns

TABLES: dict[str, dict[str, Any]] = {
    path.name.removesuffix(".toml"): tomllib.loads(path.read_text(encoding="utf-8"))
    for path in sorted((files("guard") / "patterns").iterdir(), key=lambda path: path.name)
}
MARKS = [(name, mark) for name, table in TABLES.items() for mark in table["marks"]]
NINE = {"en", "zh", "es", "fr", "de", "ja", "ru", "pt", "ko"}
EIGHTEEN = NINE | {"ar", "hi", "tr", "vi", "id", "th", "pl", "nl", "it"}
# The shape of a file is the same in all languages; what turns a signature back was asked for in few.
FEWER = {"instruction_synthesis/rows", "reasoning_elicitation/unseal"}


def expressions(name: str, mark: str) -> list[str]:
    return [
        text
        for language, texts in TABLES[name]["marks"][mark].items()
        if language != "strength"
        for text in ([texts] if isinstance(texts, str) else texts)
    ]


@pytest.mark.parametrize(("name", "mark"), MARKS)
def test_every_mark_speaks_eighteen_languages(name: str, mark: str) -> None:
    """What is seen in English only is harm or leak by language."""
    languages = set(TABLES[name]["marks"][mark]) - {"strength"}

    assert languages >= (EIGHTEEN if f"{name}/{mark}" not in FEWER else {"en"})


@pytest.mark.parametrize(("name", "mark"), MARKS)
def test_expressions_are_folded_like_the_text_they_are_matched_on(name: str, mark: str) -> None:
    """An accent in an expression would never match: the text has lost its own."""
    assert [text for text in expressions(name, mark) if in_sight(text) != text] == []


@pytest.mark.parametrize(("name", "mark"), MARKS)
def test_no_expression_has_a_wide_gap(name: str, mark: str) -> None:
    """Gaps are what makes an automaton large; words that stand far apart are two marks with a [[together]]."""
    assert [text for text in expressions(name, mark) if ".{" in text or ".*" in text or ".+" in text] == []


@pytest.mark.parametrize("name", TABLES)
def test_no_mark_convicts_and_an_empty_text_reads_nothing(name: str) -> None:
    """The strongest single mark is a hint; nothing is found in nothing."""
    assert max(row["strength"] for row in TABLES[name]["marks"].values()) <= 0.6
    assert Patterns(name).reading(b"") == 0.0
