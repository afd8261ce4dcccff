from __future__ import annotations

import base64
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import http_sfv
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.fields import Date, Display, Item, Token, write_dictionary, write_item, write_list

FILES = (
    "binary",
    "boolean",
    "date",
    "dictionary",
    "display-string",
    "examples",
    "item",
    "key-generated",
    "large-generated",
    "list",
    "listlist",
    "number",
    "number-generated",
    "param-dict",
    "param-list",
    "param-listlist",
    "string",
    "string-generated",
    "token",
    "token-generated",
)


def bare(value: Any) -> Any:
    """A bare item of the suite's JSON as ours."""
    if not isinstance(value, dict):
        return value
    kinds: dict[str, Any] = {
        "token": Token,
        "binary": base64.b32decode,
        "date": Date,
        "displaystring": Display,
    }
    return kinds[value["__type"]](value["value"])


def member(value: Any) -> Item:
    """An item or inner list of the suite's JSON."""
    inside, parameters = value
    ours = tuple(member(one) for one in inside) if isinstance(inside, list) else bare(inside)
    return Item(ours, {key: bare(one) for key, one in parameters})


def write(kind: str, expected: Any) -> str:
    if kind == "list":
        return write_list(member(one) for one in expected)
    if kind == "dictionary":
        return write_dictionary({key: member(one) for key, one in expected})
    return write_item(member(expected))


@pytest.mark.parametrize("name", FILES)
def test_the_vectors_of_the_working_group(shared: Path, name: str) -> None:
    """Every value of the suite is written as the suite has it, and read back by another parser as the same value."""
    vectors = json.loads((shared / "suites" / "structured-fields" / f"{name}.json").read_text(), parse_float=Decimal)
    kinds: dict[str, Any] = {"list": http_sfv.List, "dictionary": http_sfv.Dictionary, "item": http_sfv.Item}
    tried = 0
    for vector in vectors:
        if vector.get("must_fail"):
            continue  # bytes that stand for no value: there is nothing to write
        tried += 1
        canonical = ", ".join(vector.get("canonical", vector["raw"]))
        written = write(vector["header_type"], vector["expected"])
        assert written == canonical, vector["name"]
        if written and name != "date":  # the other parser knows the years 1 to 9999 only
            again = kinds[vector["header_type"]]()
            again.parse(written.encode())
            assert str(again) == written, vector["name"]
    assert tried


@pytest.mark.parametrize(
    "value",
    [
        10**15,
        -(10**15),
        1e12,
        float("nan"),
        float("inf"),
        "é",
        "a\nb",
        Token(""),
        Token("1a"),
        Token("a b"),
        Display("\ud800"),
        None,
        object(),
    ],
)
def test_what_has_no_way_to_be_written_is_refused(value: Any) -> None:
    """A field is whole or not there: nothing is cut to fit, and no line break gets into a header."""
    with pytest.raises(ValueError, match=r"\w"):
        write_item(value)


@pytest.mark.parametrize("key", ["", "A", "1a", "a b", "a\r\nb", "é"])
def test_keys_are_checked(key: str) -> None:
    with pytest.raises(ValueError, match="key"):
        write_dictionary({key: 1})


VALUES = st.one_of(
    st.booleans(),
    st.integers(-(10**15) + 1, 10**15 - 1),
    st.decimals(-(10**12) + 1, 10**12 - 1, places=3),
    st.text(st.characters(min_codepoint=32, max_codepoint=126)),
    st.binary(),
)


@given(st.dictionaries(st.from_regex(r"[a-z*][a-z0-9_\-.*]{0,9}", fullmatch=True), VALUES))
def test_another_parser_reads_what_was_meant(members: dict[str, Any]) -> None:
    """Dictionaries, by a parser that is not ours."""
    field = http_sfv.Dictionary()
    written = write_dictionary(members).encode()
    if written:
        field.parse(written)
    assert {name: found.value for name, found in field.items()} == members
