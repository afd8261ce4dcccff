from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from guard.dialects.json import JSONBody
from guard.errors import BadExchange
from guard.types import Ask, Route, Tally, Turn

from .conftest import LIMITED, OBJECTS, REFUSED, read_or_refused

BODY = JSONBody()
GENERATE = Route(
    "/generate",
    "json",
    (
        ("prompt", "inputs"),
        ("max_tokens", "parameters.max_new_tokens"),
        ("system", "parameters.preamble"),
        ("stream", "options.stream"),
        ("user", "caller.id"),
        ("model", "engine"),
    ),
)
PLAIN = Route("/complete", "json")


def read(body: Any, route: Route = GENERATE) -> Ask:
    return BODY.read(body, route)


def test_a_request_read_by_its_paths() -> None:
    """Each option of the route finds its value, also deep in the body; the rest is parameters and text."""

    ask = read(
        {
            "inputs": "Hello",
            "engine": "Small-1",
            "parameters": {
                "max_new_tokens": 50,
                "preamble": "Be brief.",
                "temperature": 0.5,
                "stop": ["END"],
                "template": {"a": "b"},
            },
            "options": {"stream": True, "wait": False},
            "caller": {"id": "u-1", "note": "from the shop"},
            "seed": 7,
        }
    )

    assert ask == Ask(
        dialect="json",
        model="small-1",
        stream=True,
        system="Be brief.",
        turns=(Turn("user", "Hello"),),
        tools=b"",
        parameters=b'{"options.stream":true,"options.wait":false,"parameters.max_new_tokens":50,"parameters.temperature":0.5,"seed":7}',
        budget_tokens=50,
        user="u-1",
        texts=ask.texts,
    )
    assert sorted(ask.texts) == ["END", "b", "from the shop"]


def test_a_route_without_options() -> None:
    """Then the options' own names are looked for; a prompt may be called inputs or input."""

    for name in ("prompt", "inputs", "input"):
        assert read({name: "Hello", "max_tokens": 5}, PLAIN).turns == (Turn("user", "Hello"),)

    ask = read(
        {"messages": [{"role": "System", "content": "s"}, {"role": "user", "content": [{"text": "Hi"}]}, "bare"]}, PLAIN
    )

    assert ask.system == "s"
    assert ask.turns == (Turn("user", "Hi"), Turn("user", "bare"))
    assert ask.budget_tokens is None


def test_several_prompts_cost_several_answers() -> None:
    """A list of prompts multiplies the budget as ``n`` does (SECURITY 53)."""

    ask = read({"prompt": ["a", "b", "c"], "max_tokens": 10, "n": 2, "best_of": 4}, PLAIN)

    assert [turn.text for turn in ask.turns] == ["a", "b", "c"]
    assert (ask.choices, ask.budget_tokens) == (12, 120)


def test_the_largest_alias_counts() -> None:
    """Beside the named budget every usual alias at the top and beside it is looked at."""

    ask = read({"inputs": "x", "max_tokens": 70, "parameters": {"max_new_tokens": 50, "num_predict": 90, "best_of": 2}})

    assert (ask.choices, ask.budget_tokens) == (2, 180)


def test_files_are_counted() -> None:
    """An image in base64 is media, not text."""

    ask = read({"inputs": "x", "picture": "data:image/png;base64,iVBORw0KGgo="})

    assert (ask.media, ask.texts) == (1, ())


@pytest.mark.parametrize("value", [-1, 0, 1e3, True, "100", 2**63, float(2**64)])
def test_numbers_that_are_none(value: Any) -> None:
    """What is no whole number within bounds is a 400 that names the path (SECURITY 52)."""

    with pytest.raises(BadExchange, match=r"parameters\.max_new_tokens must be a whole number"):
        read({"inputs": "x", "parameters": {"max_new_tokens": value}})


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"prompt": "the wrong name"},
        {"inputs": None},
        {"inputs": 5},
        {"inputs": [1, 2, 3]},
        {"inputs": ["x"] * 1_025},
        {"inputs": "x", "engine": 5},
        {"inputs": "x", "options": {"stream": "true"}},
        {"inputs": "x", "caller": {"id": 5}},
        {"messages": "x"},
        {"messages": [5]},
        {"messages": [{"role": 5}]},
        {"inputs": "x", "n": 0},
    ],
)
def test_what_can_not_be_judged_is_refused(body: Any) -> None:
    """Without prompt or conversation, or with a misshapen one, a 400."""

    with pytest.raises(BadExchange) as refused:
        read(body)

    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("payload", "tally"),
    [
        ({"generated_text": "four", "id": "not this"}, Tally(4, -1, -1, 4)),
        ({"token": {"id": 5, "text": " hi", "logprob": -0.5}, "generated_text": None}, Tally(3, -1, -1, 3)),
        ({"response": "天", "prompt_eval_count": 12, "eval_count": 3}, Tally(1, 12, 3, 3)),
        ({"choices": [{"text": "a"}], "usage": {"prompt_tokens": 2, "completion_tokens": 1}}, Tally(1, 2, 1, 1)),
        ({"usage": {"input_tokens": True, "output_tokens": -1}}, Tally()),
    ],
)
def test_what_is_output(payload: Any, tally: Tally) -> None:
    """Every string but labels, and usage as the usual servers report it."""

    counted = Tally()
    BODY.count(payload, counted)

    assert counted == tally


def test_a_refusal_is_a_problem() -> None:
    """An API of nobody's shape gets RFC 9457 as it is, in a stream as an event named error."""

    details = json.loads(BODY.error(LIMITED))
    event = BODY.error_event(REFUSED)

    assert (details["status"], details["detail"], details["reference"]) == (429, "Too many requests.", "G-1234")
    assert event.startswith(b"event: error\ndata: {")
    assert json.loads(event.split(b"data: ")[1])["status"] == 403
    assert b"inside" not in event


@given(OBJECTS)
def test_any_json_is_read_or_refused(body: Any) -> None:
    """Nothing but ``BadExchange`` comes out of ``read``, and ``count`` raises nothing."""

    for route in (GENERATE, PLAIN):
        outcome = read_or_refused(BODY, body, route)
        if isinstance(outcome, Ask):
            assert outcome.budget_tokens is None or outcome.budget_tokens > 0
        else:
            assert outcome.status == 400
    BODY.count(body, Tally())
