from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from guard.dialects.openai_completions import OpenAICompletions
from guard.errors import BadExchange
from guard.types import Ask, Route, Tally, Turn

from .conftest import LIMITED, OBJECTS, REFUSED, read_or_refused

ROUTE = Route("/v1/completions", "openai_completions")
COMPLETIONS = OpenAICompletions()
BASE = {"model": "demo", "prompt": "Once"}


def read(**body: Any) -> Ask:
    return COMPLETIONS.read(BASE | body, ROUTE)


def test_a_plain_request() -> None:
    """Model, prompt, suffix, budget and parameters."""
    ask = read(suffix="the end", max_tokens=50, echo=True, user="u-1", stop=["\n\n"], stream=True, logit_bias={"5": 1})

    assert ask == Ask(
        dialect="openai_completions",
        model="demo",
        stream=True,
        system="",
        turns=(Turn("user", "Once"),),
        tools=b"",
        parameters=b'{"echo":true,"max_tokens":50,"stop":["\\n\\n"]}',
        budget_tokens=50,
        user="u-1",
        logit_bias=1,
        texts=("the end", "\n\n"),
    )


@pytest.mark.parametrize(
    ("prompt", "turns"),
    [
        ("a", ["a"]),
        (["a", "b"], ["a", "b"]),
        ([1, 22, 4444], ["  1  22 4444"]),
        ([[1], [2, 3]], ["  1", "  2   3"]),
        ([], []),
        (None, []),
    ],
)
def test_prompts(prompt: Any, turns: list[str]) -> None:
    """Each is a turn; token ids are digits, of which each id is at least a token's worth of bytes."""
    assert [turn.text for turn in read(prompt=prompt).turns] == turns


@pytest.mark.parametrize(
    ("body", "budget_tokens", "choices"),
    [
        ({}, None, 1),
        ({"max_tokens": 10, "n": 3}, 30, 3),
        ({"max_tokens": 10, "n": 2, "best_of": 8}, 80, 8),
        ({"max_tokens": 10, "n": 2, "prompt": ["a", "b", "c"]}, 60, 6),
        ({"max_tokens": 10, "num_predict": 5000}, 5000, 1),
        ({"max_tokens": 0, "echo": True}, 0, 1),
    ],
)
def test_budget(body: Any, budget_tokens: int | None, choices: int) -> None:
    """The largest alias, for every choice of every prompt, shown or not."""
    ask = read(**body)
    assert (ask.budget_tokens, ask.choices) == (budget_tokens, choices)


@pytest.mark.parametrize(("body", "wanted"), [({}, 0), ({"logprobs": 0}, 1), ({"logprobs": 5}, 5), ({"prompt_logprobs": 9}, 9)])  # fmt: skip
def test_logprobs(body: Any, wanted: int) -> None:
    """A number, of which 0 still gives that of the token itself."""
    assert read(**body).top_logprobs == wanted


@pytest.mark.parametrize(
    "body",
    [
        {"model": "demo"},
        {"prompt": "a"},
        BASE | {"prompt": 5},
        BASE | {"prompt": {}},
        BASE | {"prompt": ["a", 5]},
        BASE | {"prompt": [5, "a"]},
        BASE | {"prompt": [True]},
        BASE | {"prompt": [-1]},
        BASE | {"prompt": [1.0]},
        BASE | {"prompt": ["a"] * 4097},
        BASE | {"max_tokens": "9"},
        BASE | {"max_tokens": -1},
        BASE | {"n": 0},
        BASE | {"best_of": 5000},
        BASE | {"logprobs": True},
        BASE | {"stream": "yes"},
        BASE | {"user": 5},
    ],
)
def test_what_can_not_be_judged_is_refused(body: Any) -> None:
    """A field that is not what the API takes is a 400."""
    with pytest.raises(BadExchange) as caught:
        COMPLETIONS.read(body, ROUTE)
    assert caught.value.status == 400


def test_what_is_output() -> None:
    """Text of every choice, and the report."""
    tally = Tally()
    COMPLETIONS.count({"choices": [{"text": "ab"}, {"text": "c"}, 5], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}, tally)  # fmt: skip
    assert (tally.characters, tally.input_tokens, tally.output_tokens) == (3, 3, 2)


@given(OBJECTS)
def test_any_json_is_read_or_refused_and_counted(body: Any) -> None:
    """Nothing but a 400 comes out of ``read``, and nothing at all of ``count``."""
    for candidate in (body, BASE | body):
        outcome = read_or_refused(COMPLETIONS, candidate, ROUTE)
        assert isinstance(outcome, Ask) or outcome.status == 400
    COMPLETIONS.count(body, Tally())


def test_errors() -> None:
    """In OpenAI's shape; a running stream ends with the error and its usual end."""
    error = json.loads(COMPLETIONS.error(LIMITED))["error"]
    assert (error["message"], error["type"], error["code"]) == (
        LIMITED.public,
        "rate_limit_error",
        "rate_limit_exceeded",
    )
    assert COMPLETIONS.error_event(REFUSED).endswith(b"\n\ndata: [DONE]\n\n")
