from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from guard.degrading import CONCISE, Wanted, Watch
from guard.reductions.openai_responses import PLUGIN
from guard.types import Route

ROUTE = Route("/v1/responses", "openai_responses", (("path", "/v1/responses"),))
QUESTION = {"role": "user", "content": "hello"}
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "c", "output": "found"}
THOUGHT = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"text": "hm"}],
    "content": [{"text": "hm"}],
    "encrypted_content": "e",
}
BOTH = Watch(True, True)


def reduced(body: dict[str, Any], route: Route = ROUTE, **wanted: Any) -> tuple[dict[str, Any], Watch]:
    body = deepcopy(body)
    return body, PLUGIN().request(body, Wanted(**wanted), route)


def test_the_budget_is_capped() -> None:
    """Under each name; at least the 16 tokens that the API wants; set where there is none."""
    assert reduced({"max_output_tokens": 900}, budget_tokens=64)[0] == {"max_output_tokens": 64}
    assert reduced({"max_tokens": 900}, budget_tokens=64)[0] == {"max_tokens": 64}
    assert reduced({}, budget_tokens=4)[0] == {"max_output_tokens": 16}


def test_reasoning_is_lowered_and_not_summed_up() -> None:
    """At a new turn, also after a loop that brought its reasoning; within such a loop it is left."""
    stated = {"reasoning": {"effort": "high", "summary": "auto"}, "input": "hello"}
    assert reduced(stated, reasoning=True) == (
        {"reasoning": {"effort": "low"}, "input": "hello"},
        Watch(reasoning=True),
    )
    loop = [QUESTION, THOUGHT, CALL, RESULT]
    assert reduced(stated | {"input": loop}, reasoning=True) == (stated | {"input": loop}, Watch())
    assert reduced(stated | {"input": [*loop, QUESTION]}, reasoning=True)[1].reasoning
    assert reduced(stated | {"input": [RESULT]}, reasoning=True)[1].reasoning


@pytest.mark.parametrize("path", ["/v1/responses/{id}", "/v1/responses/compact", "/responses/input_tokens"])
def test_other_paths_ask_for_nothing_that_could_be_less(path: str) -> None:
    """The request stays as it is; what is kept is watched when it is read again."""
    route = Route("/v1/*", "openai_responses", (("path", path),))
    wanted = {"budget_tokens": 64, "logprobs": True, "reasoning": True, "model": "small", "concise": True}
    assert reduced({}, route, **wanted) == ({}, BOTH)


@pytest.mark.parametrize(
    ("stated", "left"),
    [
        ({}, CONCISE),
        ({"instructions": "Hi."}, f"Hi.\n\n{CONCISE}"),
        ({"instructions": [QUESTION]}, [QUESTION, {"role": "developer", "content": CONCISE}]),
    ],
)
def test_one_instruction_is_added(stated: dict[str, Any], left: Any) -> None:
    assert reduced(stated, concise=True)[0]["instructions"] == left


def test_a_whole_answer_keeps_its_items_and_loses_their_words() -> None:
    """A reasoning item keeps its id and its seal, which later requests need."""
    said = {"type": "message", "content": [{"type": "output_text", "text": "x", "logprobs": [1]}]}
    payload = {"object": "response", "output": [deepcopy(THOUGHT), said, CALL]}
    PLUGIN().answer(payload, BOTH)
    assert payload["output"] == [
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "e"},
        {"type": "message", "content": [{"type": "output_text", "text": "x", "logprobs": []}]},
        CALL,
    ]


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.reasoning_summary_part.added"},
        {"type": "response.reasoning_summary_text.delta", "delta": "hm"},
        {"type": "response.reasoning_text.done", "text": "hm"},
        {"type": "response.content_part.added", "part": {"type": "reasoning_text", "text": "hm"}},
    ],
)
def test_events_of_reasoning_are_left_out(event: dict[str, Any]) -> None:
    assert PLUGIN().stream(BOTH).reduce(deepcopy(event)) == ()
    assert PLUGIN().stream(Watch(logprobs=True)).reduce(event) is None


def test_events_that_repeat_it_are_cleaned() -> None:
    """An item that ends, and the whole response at the end."""
    stream = PLUGIN().stream(BOTH)
    clean = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "e"}
    done = {"type": "response.output_item.done", "item": deepcopy(THOUGHT)}
    assert stream.reduce(done) == ({"type": "response.output_item.done", "item": clean},)
    completed = {"type": "response.completed", "response": {"output": [deepcopy(THOUGHT)]}}
    assert stream.reduce(completed) == ({"type": "response.completed", "response": {"output": [clean]}},)
    delta = {"type": "response.output_text.delta", "delta": "x", "logprobs": [1]}
    assert stream.reduce(delta) == ({"type": "response.output_text.delta", "delta": "x", "logprobs": []},)
    assert stream.reduce({"type": "response.output_text.delta", "delta": "x", "logprobs": []}) is None


def test_the_last_event_tells() -> None:
    """It is what clients make their result of."""
    completed: dict[str, Any] = {"type": "response.completed", "response": {"object": "response"}}
    assert PLUGIN().tell(completed, {"a": 1})
    assert completed["response"]["guard"] == {"a": 1}
    assert not PLUGIN().tell({"type": "response.created", "response": {"object": "response"}}, {"a": 1})
    assert not PLUGIN().tell({"object": "list"}, {"a": 1})
