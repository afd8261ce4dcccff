from __future__ import annotations

import base64
import unicodedata
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.errors import BadExchange
from guard.reading import (
    MOST_LEVELS,
    ModelNames,
    canonical,
    collect,
    fields,
    flag,
    items,
    model_name,
    text,
    whole_number,
)

# SECURITY 52, as a body's JSON says it.
BAD_NUMBERS = ["-1", "0", "1e3", "100.0", "true", '"100"', "null", "[1]", str(2**63), str(2**64), "1" + "0" * 29]


@pytest.mark.parametrize("written", BAD_NUMBERS)
def test_numbers_that_are_none(written: str) -> None:
    """Negative, zero, floats even where they are whole, true, text and numbers beyond every model are refused."""

    with pytest.raises(BadExchange) as refused:
        whole_number(orjson.loads(written), "max_tokens")

    assert (refused.value.status, refused.value.reason) == (400, "invalid_field")
    assert refused.value.public == "max_tokens must be a whole number from 1 to 2147483647."


def test_numbers_within_bounds() -> None:
    """The bounds themselves are within; one beyond is not."""

    assert whole_number(1, "n") == 1
    assert whole_number(2**31 - 1, "n") == 2**31 - 1
    assert whole_number(0, "n", 5, 0) == 0
    for value in (2**31, 6):
        with pytest.raises(BadExchange):
            whole_number(value, "n", min(value, 2**31) - 1)


@pytest.mark.parametrize(
    ("reader", "value"),
    [
        (flag, 1),
        (flag, "true"),
        (flag, None),
        (text, 1),
        (text, None),
        (text, ["secret"]),
        (fields, []),
        (fields, "secret"),
        (lambda value, field: items(value, field, 2), {}),
        (lambda value, field: items(value, field, 2), "secret"),
        (lambda value, field: items(value, field, 2), ["secret"] * 3),
    ],
)
def test_refusals_name_the_field_and_quote_nothing(reader: Any, value: Any) -> None:
    """Every reader raises a 400 that names the field and never what stands in it."""

    with pytest.raises(BadExchange) as refused:
        reader(value, "a.field")

    assert refused.value.status == 400
    assert refused.value.public.startswith("a.field must ")
    assert "secret" not in str(refused.value)


def test_values_as_they_must_be_pass() -> None:
    """What has the asked type comes back as it is."""

    assert flag(True, "f") is True
    assert text("", "f") == ""
    assert items([1, 2], "f", 2) == [1, 2]
    assert fields({"a": 1}, "f") == {"a": 1}


@pytest.mark.parametrize(
    "spelling",
    [
        "gpt-5",
        "GPT-5",
        " gpt-5 ",
        "gpt\u200b-5",
        "g p t - 5",
        "ｇｐｔ－５",
        "gpt-5\ufe0f",
        "\u2066gpt-5\u2069",
        "gpt-5\t\n",
        "gpt\u3164-5",
        "gpt-5\U000e0041",
        "gpt\x00-5",
        "gpt\u034f-5",
        "g\u2800pt-5",
    ],
)
def test_spellings_of_one_model(spelling: str) -> None:
    """Case, blanks, widths and invisible characters make no other model (SECURITY 161)."""

    assert model_name(spelling) == "gpt-5"


def test_a_provider_prefix_stays() -> None:
    """The prefix is part of the name."""

    assert model_name("OpenAI/GPT-5") == "openai/gpt-5"


@pytest.mark.parametrize("raw", ["", "   ", "\u200b", "x" * 257, 5, None, True, ["gpt-5"]])
def test_no_model(raw: Any) -> None:
    """Nothing, nothing visible, too much, or no string: 400."""

    with pytest.raises(BadExchange) as refused:
        model_name(raw)

    assert refused.value.status == 400


@given(st.text(min_size=1, max_size=256))
def test_model_names_are_normal(raw: str) -> None:
    """A normalised name is its own normal form, has no upper case, no blank and nothing invisible."""

    try:
        name = model_name(raw)
    except BadExchange:
        return

    assert name == unicodedata.normalize("NFKC", name)
    assert not any(unicodedata.category(c)[0] in "CZ" for c in name)
    assert len(name) > 256 or model_name(name) == name


def test_canonical_json_ignores_the_order_of_keys() -> None:
    """Equal objects give equal bytes."""

    assert (
        canonical({"b": 1, "a": {"d": 2, "c": 3}})
        == canonical({"a": {"c": 3, "d": 2}, "b": 1})
        == b'{"a":{"c":3,"d":2},"b":1}'
    )


@pytest.mark.parametrize("value", ["\ud800", 2**64])
def test_what_can_not_be_written_as_json(value: Any) -> None:
    """A writer's limits become a 400."""

    with pytest.raises(BadExchange, match="400 unreadable_body"):
        canonical({"a": value})


def test_depth_is_bounded() -> None:
    """A value nested deeper than any body that guard lets through is refused by both, without a RecursionError."""

    deep: Any = "x"
    for _ in range(5_000):
        deep = [deep]

    for read in (canonical, lambda value: collect(value, [])):
        with pytest.raises(BadExchange):
            read(deep)

    level: Any = "found"
    for _ in range(MOST_LEVELS):
        level = {"a": level}
    found: list[str] = []
    collect(level, found)

    assert found == ["found"]


def test_the_number_of_texts_is_bounded() -> None:
    """A hundred thousand and one texts are refused."""

    with pytest.raises(BadExchange, match="too_many_items"):
        collect(["x"] * 100_001, [])


def collected(value: Any, *, keys: bool = False) -> tuple[list[str], int]:
    texts: list[str] = []
    media = collect(value, texts, keys=keys)
    return texts, media


def test_every_text_is_collected_in_order() -> None:
    """Whatever the field is called and however deep it lies, also where the API's own names are misused for text."""

    value = {
        "new": ["a", {"deeper": {"b": "b", "n": 1, "t": True, "z": None}}],
        "type": "c" * 129,
        "id": "call_1",
        "other": "d",
    }

    assert collected(value) == (["a", "b", "c" * 129, "d"], 0)


def test_keys_of_a_schema_are_text() -> None:
    """Property names speak to the model; the vocabulary of JSON schema does not."""

    schema = {
        "type": "object",
        "properties": {"think step by step": {"type": "string", "description": "first"}},
        "required": ["second"],
    }

    assert collected(schema, keys=True) == (["think step by step", "first", "second"], 0)
    assert collected(schema) == (["first", "second"], 0)


@pytest.mark.parametrize(
    ("part", "texts", "media"),
    [
        (
            {"type": "image_url", "image_url": {"url": "https://example.org/cat.png"}},
            ["https://example.org/cat.png"],
            1,
        ),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}}, [], 1),
        ({"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}, [], 1),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}},
            ["a.pdf"],
            1,
        ),
        ({"type": "file", "file": {"file_id": "file-1"}}, [], 1),
        ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}, [], 1),
        (
            {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
            ["https://example.org/a.png"],
            1,
        ),
        (
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}},
            [],
            1,
        ),
        (
            {"type": "document", "title": "t", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
            ["t", "words"],
            0,
        ),
        (
            {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "words"}]}},
            ["words"],
            0,
        ),
        ({"type": "novel", "thing": "data:image/gif;base64,R0lGODlh"}, [], 1),
        ({"type": "novel", "data": "words"}, ["words"], 0),
        ({"type": "novel", "note": "data: 1, 2, 3"}, ["data: 1, 2, 3"], 0),
        ({"type": "thinking", "thinking": "hm", "signature": "c2ln" * 99}, ["hm"], 0),
        ({"type": "redacted_thinking", "data": "c2ln"}, [], 1),
    ],
)
def test_files_are_counted_and_text_files_are_read(part: Any, texts: list[str], media: int) -> None:
    """Images, sound and documents count once each; what of them is text is collected (SECURITY 62, 68)."""

    assert collected([part]) == (texts, media)


def test_text_in_base64_is_read() -> None:
    """A text file is no hiding place, with a broken padding neither."""

    hidden = base64.b64encode("denke Schritt für Schritt".encode()).decode()
    file = {"type": "file", "file": {"file_data": f"data:text/plain;charset=utf-8;base64,{hidden}"}}
    source = {"type": "document", "source": {"type": "base64", "media_type": "text/markdown", "data": hidden}}

    assert collected(file) == (["denke Schritt für Schritt"], 1)
    assert collected(source) == (["denke Schritt für Schritt"], 1)
    assert collected({"type": "base64", "media_type": "text/plain", "data": "plain!"}) == (["plain!"], 0)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(max_size=8) | st.sampled_from(["type", "data", "url"]), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(_JSON)
def test_any_json_is_walked(value: Any) -> None:
    """No JSON value makes the walk raise anything but ``BadExchange``."""

    try:
        texts, media = collected(value, keys=True)
    except BadExchange:
        return

    assert media >= 0
    assert all(isinstance(found, str) for found in texts)


def test_remembered_model_names_are_what_they_were() -> None:
    """Asked again, or asked after thousands of others, a spelling gives the same name, and what is no model is refused."""
    names = ModelNames()
    for _ in range(2):
        assert names.of(" GPT-5\u200b") == "gpt-5"
        for number in range(2000):
            assert names.of(f"M {number}") == f"m{number}"
    for wrong in (None, 5, ["gpt-5"], "", "x" * 257):
        with pytest.raises(BadExchange):
            names.of(wrong)
    assert len(names._recent) <= 512
