from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from guard.dialects.openai_embeddings import OpenAIEmbeddings
from guard.errors import BadExchange
from guard.types import Ask, Route, Tally, Turn

from .conftest import LIMITED, OBJECTS, read_or_refused

ROUTE = Route("/v1/embeddings", "openai_embeddings")
EMBEDDINGS = OpenAIEmbeddings()
BASE = {"model": "demo", "input": "Once"}


def test_a_plain_request() -> None:
    """Each input is a turn; there is no output; what is tuned is a trait of the program."""
    body = {"model": "Demo", "input": ["Once", "upon"], "dimensions": 256, "encoding_format": "base64", "user": "u-1", "note": "beside"}  # fmt: skip

    assert EMBEDDINGS.read(body, ROUTE) == Ask(
        dialect="openai_embeddings",
        model="demo",
        stream=False,
        system="",
        turns=(Turn("user", "Once"), Turn("user", "upon")),
        tools=b"",
        parameters=b'{"dimensions":256,"encoding_format":"base64"}',
        budget_tokens=0,
        user="u-1",
        texts=("beside",),
    )


@pytest.mark.parametrize("given", [5, {}, [5, "a"], ["a", {}], [[1.5]], None, ["a"] * 4097])
def test_what_can_not_be_judged_is_refused(given: Any) -> None:
    """An input that is neither text nor token ids, or too many of them."""
    with pytest.raises(BadExchange) as caught:
        EMBEDDINGS.read({"model": "demo", "input": given}, ROUTE)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("payload", "input_tokens", "output_tokens"),
    [
        ({"object": "list", "data": [{"embedding": [0.5]}], "usage": {"prompt_tokens": 7}}, 7, 0),
        ({"error": {"message": "no"}}, -1, -1),
        ({"data": "text"}, -1, -1),
    ],
)
def test_what_is_output(payload: Any, input_tokens: int, output_tokens: int) -> None:
    """Vectors are none."""
    tally = Tally()
    EMBEDDINGS.count(payload, tally)
    assert (tally.input_tokens, tally.output_tokens) == (input_tokens, output_tokens)


@given(OBJECTS)
def test_any_json_is_read_or_refused_and_counted(body: Any) -> None:
    """Nothing but a 400 comes out of ``read``, and nothing at all of ``count``."""
    for candidate in (body, BASE | body):
        outcome = read_or_refused(EMBEDDINGS, candidate, ROUTE)
        assert isinstance(outcome, Ask) or outcome.status == 400
    EMBEDDINGS.count(body, Tally())


def test_errors() -> None:
    """In OpenAI's shape."""
    assert json.loads(EMBEDDINGS.error(LIMITED))["error"]["type"] == "rate_limit_error"
    assert EMBEDDINGS.error_event(LIMITED).startswith(b"data: ")
