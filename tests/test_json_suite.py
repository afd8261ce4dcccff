"""JSONTestSuite through the body's parser: valid texts in, invalid ones out, and what parsers differ on refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from guard.body import decode, parse
from guard.errors import BadExchange
from guard.settings import Body

BOUNDS = Body()
# Of the files that RFC 8259 leaves to the parser, those that are let in: numbers that only lose precision.
LET_IN = {
    "i_number_double_huge_neg_exp.json",
    "i_number_real_underflow.json",
    "i_number_too_big_neg_int.json",
    "i_number_too_big_pos_int.json",
    "i_number_very_big_negative_int.json",
}


def accepts(text: bytes) -> bool:
    try:
        decode(text, BOUNDS)
    except BadExchange:
        return False
    return True


def accepts_inside(text: bytes) -> bool:
    try:
        parse(b'{"model":"m","messages":[{"role":"user","content":' + text + b"}]}", BOUNDS)
    except BadExchange:
        return False
    return True


@pytest.fixture(scope="module")
def parsing(shared: Path) -> list[tuple[str, bytes]]:
    folder = shared / "suites" / "JSONTestSuite" / "test_parsing"
    if not folder.is_dir():
        pytest.skip("needs JSONTestSuite in ../shared/suites")
    return [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]


def test_every_file_of_the_suite_is_decided_rightly(parsing: list[tuple[str, bytes]]) -> None:
    """As a body and as a message's content: 95 of 95 valid texts in, 188 of 188 invalid ones out, the rest by the table."""
    assert len(parsing) == 318
    counts = {kind: sum(name[0] == kind for name, _ in parsing) for kind in "yni"}

    assert counts == {"y": 95, "n": 188, "i": 35}
    for name, text in parsing:
        expected = name[0] == "y" or name in LET_IN
        assert (name, accepts(text)) == (name, expected)
        assert (name, accepts_inside(text)) == (name, expected)


def test_as_a_body_every_valid_object_is_in_and_nothing_else(parsing: list[tuple[str, bytes]]) -> None:
    """A body is an object; the two files whose top level has a key twice are refused as duplicates."""
    for name, text in parsing:
        try:
            parse(text, BOUNDS)
            reason = ""
        except BadExchange as refused:
            reason = refused.reason
        if name.startswith("y_object_duplicated_key"):
            assert reason == "duplicate_key"
        elif name[0] == "y":
            assert (name, reason) == (name, "" if text.lstrip().startswith(b"{") else "not_an_object")
        else:
            assert (name, bool(reason)) == (name, True)


def test_what_the_standard_library_reads_differently_is_refused(parsing: list[tuple[str, bytes]]) -> None:
    """The files that json accepts and orjson doesn't could be read by an app behind guard: each is a 400."""
    differing = []
    for name, text in parsing:
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            continue
        if not accepts(text):
            differing.append(name)

    assert len(differing) >= 23
    for name in differing:
        assert not accepts_inside(dict(parsing)[name])


def test_the_transform_files_never_crash(shared: Path) -> None:
    """Duplicate keys, unnormalised keys, huge integers, lone surrogates: each is read or refused, inside a message too."""
    folder = shared / "suites" / "JSONTestSuite" / "test_transform"
    files = sorted(folder.iterdir())

    assert len(files) == 22
    for path in files:
        text = path.read_bytes()
        if "surrogate" in path.name and "valid" not in path.name:
            assert (path.name, accepts(text)) == (path.name, False)
        accepts_inside(text)
