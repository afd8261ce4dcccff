from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from guard.degrading import CONCISE, Wanted, Watch
from guard.reductions.openai_chat import PLUGIN
from guard.types import Route

ROUTE = Route("/v1/*", "openai_chat")
QUESTION = {"role": "user", "content": "hello"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "found"}


def reduced(body: dict[str, Any], **wanted: Any) -> tuple[dict[str, Any], Watch]:
    body = {"model": "m", "messages": [QUESTION]} | deepcopy(body)
    watch = PLUGIN().request(body, Wanted(**wanted), ROUTE)
    return body, watch


@pytest.mark.parametrize(
    "name", ["max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens", "num_predict"]
)
def test_each_name_of_the_budget_is_capped(name: str) -> None:
    """No alias goes round the cap, and a smaller budget of the client's own stays."""
    assert reduced({name: 4000}, budget_tokens=512)[0][name] == 512
    assert reduced({name: 100}, budget_tokens=512)[0][name] == 100


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-5", "max_completion_tokens"),
        ("o3-mini", "max_completion_tokens"),
        ("openai/gpt-4o", "max_completion_tokens"),
        ("gpt-oss-120b", "max_tokens"),
        ("llama-3", "max_tokens"),
        ("Qwen/o-model", "max_tokens"),
    ],
)
def test_a_request_without_a_budget_gets_one_that_its_model_knows(model: str, name: str) -> None:
    """Some models refuse the old name, many servers don't know the new one."""
    body, _ = reduced({"model": model}, budget_tokens=512)
    assert {key: value for key, value in body.items() if "tokens" in key} == {name: 512}


def test_one_choice() -> None:
    """``n`` and ``best_of`` where the client states them; they are not added."""
    body, _ = reduced({"n": 5, "best_of": 8, "max_tokens": 9}, budget_tokens=512)
    assert (body["n"], body["best_of"]) == (1, 1)
    assert "n" not in reduced({"max_tokens": 9}, budget_tokens=512)[0]


def test_thinking_that_stays_on_keeps_its_room() -> None:
    """A budget for thoughts of 3000 leaves 256 tokens for the answer, and never more than was asked for."""
    thinking = {"type": "enabled", "budget_tokens": 3000}
    assert reduced({"thinking": thinking, "max_tokens": 9000}, budget_tokens=512)[0]["max_tokens"] == 3256
    assert reduced({"thinking": thinking, "max_tokens": 3100}, budget_tokens=512)[0]["max_tokens"] == 3100
    both = reduced({"thinking": thinking, "max_tokens": 9000}, budget_tokens=512, reasoning=True)[0]
    assert (both["max_tokens"], both["thinking"]) == (512, {"type": "disabled"})


def test_log_probabilities_are_not_asked_for() -> None:
    """All that asks for them, and the bias by which they can be read without."""
    asked = {"logprobs": True, "top_logprobs": 20, "prompt_logprobs": 1, "logit_bias": {"5": 100}, "seed": 7}
    body, watch = reduced(asked, logprobs=True)
    assert body == {"model": "m", "messages": [QUESTION], "seed": 7}
    assert watch.logprobs


@pytest.mark.parametrize(
    ("stated", "left"),
    [
        ({"reasoning_effort": "high"}, {"reasoning_effort": "low"}),
        ({"reasoning_effort": "minimal"}, {"reasoning_effort": "minimal"}),
        ({"reasoning": {"effort": "high", "summary": "auto"}}, {"reasoning": {"effort": "low"}}),
        ({"reasoning": {"max_tokens": 9000}}, {"reasoning": {"effort": "low"}}),
        ({"reasoning": {"enabled": False}}, {"reasoning": {"enabled": False}}),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, {"thinking": {"type": "disabled"}}),
        ({"enable_thinking": True, "thinking_budget": 5}, {"enable_thinking": False}),
        ({"chat_template_kwargs": {"thinking": True}}, {"chat_template_kwargs": {"thinking": False}}),
        ({"think": "high"}, {"think": "low"}),
        ({"include_reasoning": True}, {"include_reasoning": False}),
        ({}, {}),
    ],
)
def test_every_switch_for_reasoning_is_set_off(stated: dict[str, Any], left: dict[str, Any]) -> None:
    """What the client has set is set the other way; nothing is added that a server may not know. The answer is watched."""
    body, watch = reduced(stated, reasoning=True)
    assert body == {"model": "m", "messages": [QUESTION]} | left
    assert watch.reasoning


def test_a_turn_that_began_with_reasoning_keeps_it() -> None:
    """A client that passes reasoning back within a tool loop goes on as it began; the next question ends that."""
    thought = {"role": "assistant", "reasoning_content": "hm", "tool_calls": [CALL]}
    stated = {"reasoning_effort": "high", "messages": [QUESTION, thought, RESULT]}
    body, watch = reduced(stated, reasoning=True)
    assert body["reasoning_effort"] == "high"
    assert not watch.reasoning
    for last in (QUESTION, QUESTION | {"role": " User "}):
        body, watch = reduced(stated | {"messages": [QUESTION, thought, RESULT, last]}, reasoning=True)
        assert body["reasoning_effort"] == "low"
        assert watch.reasoning


def test_a_turn_that_began_without_reasoning_goes_on_without() -> None:
    """Else a server that wants its reasoning back would miss it."""
    plain = {"role": "assistant", "tool_calls": [CALL]}
    body, watch = reduced({"thinking": {"type": "enabled"}, "messages": [QUESTION, plain, RESULT]}, reasoning=True)
    assert body["thinking"] == {"type": "disabled"}
    assert watch.reasoning


@pytest.mark.parametrize(
    ("messages", "first"),
    [
        ([QUESTION], {"role": "system", "content": CONCISE}),
        ([{"role": "developer", "content": "Hi."}], {"role": "developer", "content": f"Hi.\n\n{CONCISE}"}),
        (
            [{"role": "system", "content": [{"type": "text", "text": "Hi."}]}],
            {"role": "system", "content": [{"type": "text", "text": "Hi."}, {"type": "text", "text": CONCISE}]},
        ),
        ([{"role": "system", "content": None}], {"role": "system", "content": CONCISE}),
    ],
)
def test_one_instruction_is_added(messages: list[Any], first: dict[str, Any]) -> None:
    """To the system message where there is one, for some servers take no second one."""
    body, _ = reduced({"messages": messages}, concise=True)
    assert body["messages"][0] == first
    assert body["messages"][-1] == messages[-1] or len(messages) == 1


def delta(index: int = 0, **said: Any) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": index, "delta": said, "finish_reason": None}]}


def streamed(watch: Watch, *events: dict[str, Any]) -> list[Any]:
    """What becomes of each event: None: it stays as it is."""
    stream = PLUGIN().stream(watch)
    return [None if (left := stream.reduce(deepcopy(event))) is None else list(left) for event in events]


def test_reasoning_is_taken_out_of_a_stream() -> None:
    """An event that brought nothing else is left out, text beside it stays, and what has none passes as it is."""
    left = streamed(
        Watch(reasoning=True),
        delta(role="assistant", reasoning_content="a"),
        delta(reasoning_content="b"),
        delta(content="x", reasoning="c"),
        delta(content="y"),
        {"choices": [], "usage": {"completion_tokens": 3}},
    )
    assert left == [[delta(role="assistant")], [], [delta(content="x")], None, None]


def test_with_tools_reasoning_waits_for_the_call() -> None:
    """It is let through, before the call and in order, only for the choice that calls; else it never comes."""
    watch = Watch(reasoning=True, tools=True)
    first, second = delta(reasoning_content="a"), delta(reasoning_content="b")
    assert streamed(watch, first, second, delta(content="x")) == [[], [], None]
    assert streamed(watch, first, delta(1, reasoning_content="no"), second, delta(tool_calls=[CALL])) == [
        [],
        [],
        [],
        [first, second, delta(tool_calls=[CALL])],
    ]
    assert streamed(watch, delta(tool_calls=[CALL]), delta(reasoning_content="after")) == [None, None]


def test_what_is_held_back_is_bounded() -> None:
    """More than a megabyte of thoughts is dropped, not kept."""
    long = delta(reasoning_content="a" * 700_000)
    assert streamed(Watch(reasoning=True, tools=True), long, long, delta(tool_calls=[CALL])) == [[], [], None]


def test_log_probabilities_are_taken_out() -> None:
    """Of a whole answer and of a stream; null, as the API itself says that there are none."""
    said = {"role": "assistant", "content": "x"}
    payload = {"prompt_logprobs": [1], "choices": [{"index": 0, "message": said, "logprobs": {"content": [1]}}]}
    PLUGIN().answer(payload, Watch(logprobs=True))
    assert payload == {"prompt_logprobs": None, "choices": [{"index": 0, "message": said, "logprobs": None}]}
    event = delta(content="x")
    event["choices"][0]["logprobs"] = {"content": [1]}
    (left,) = streamed(Watch(logprobs=True), event)
    assert left[0]["choices"][0]["logprobs"] is None


@pytest.mark.parametrize("payload", [{}, {"choices": None}, {"choices": ["x", 3]}, {"choices": [{"message": "x"}]}])
def test_odd_answers_stay_as_they_are(payload: dict[str, Any]) -> None:
    """An app that answers in another shape is not broken further."""
    before = deepcopy(payload)
    PLUGIN().answer(payload, Watch(True, True))
    assert payload == before
    assert PLUGIN().stream(Watch(True, True)).reduce(payload) is None


def test_the_answer_tells() -> None:
    """In an answer or the first event of a stream; there is no room in an error."""
    answer = delta(content="x")
    assert PLUGIN().tell(answer, {"a": 1})
    assert answer["guard"] == {"a": 1}
    assert not PLUGIN().tell({"error": {}}, {"a": 1})
