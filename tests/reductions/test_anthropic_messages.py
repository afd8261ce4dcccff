from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from guard.degrading import CONCISE, Wanted, Watch
from guard.reductions.anthropic_messages import PLUGIN
from guard.types import Route

ROUTE = Route("/v1/*", "anthropic_messages")
QUESTION = {"role": "user", "content": "hello"}
THINKING = {"type": "enabled", "budget_tokens": 3000}
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "s"}
USE = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "found"}]}


def reduced(body: dict[str, Any], **wanted: Any) -> tuple[dict[str, Any], Watch]:
    body = {"model": "m", "messages": [QUESTION], "max_tokens": 9000} | deepcopy(body)
    watch = PLUGIN().request(body, Wanted(**wanted), ROUTE)
    return body, watch


def test_the_budget_is_capped_above_the_thoughts() -> None:
    """512; 256 more than may be thought where thinking stays on; never more than was asked for."""
    assert reduced({}, budget_tokens=512)[0]["max_tokens"] == 512
    assert reduced({"max_tokens": 90}, budget_tokens=512)[0]["max_tokens"] == 90
    assert reduced({"thinking": THINKING}, budget_tokens=512)[0]["max_tokens"] == 3256
    assert reduced({"thinking": THINKING, "max_tokens": 3100}, budget_tokens=512)[0]["max_tokens"] == 3100
    assert reduced({"thinking": THINKING}, budget_tokens=512, reasoning=True)[0]["max_tokens"] == 512
    assert reduced({"thinking": {"type": "adaptive"}}, budget_tokens=512)[0]["max_tokens"] == 512


def test_a_new_turn_does_not_think() -> None:
    """Thinking is off, effort low, and nothing is left that the API takes only with thinking."""
    body, watch = reduced(
        {
            "thinking": THINKING,
            "output_config": {"effort": "high", "format": {}},
            "context_management": {
                "edits": [{"type": "clear_thinking_20251015"}, {"type": "clear_tool_uses_20250919"}]
            },
        },
        reasoning=True,
    )
    assert body["thinking"] == {"type": "disabled"}
    assert body["output_config"] == {"effort": "low", "format": {}}
    assert body["context_management"] == {"edits": [{"type": "clear_tool_uses_20250919"}]}
    assert watch.reasoning


def test_where_nothing_is_said_of_thinking_the_answer_alone_is_watched() -> None:
    """Unless tools are offered: then it is said, because blocks can't be taken out of a loop."""
    assert reduced({}, reasoning=True) == (
        {"model": "m", "messages": [QUESTION], "max_tokens": 9000},
        Watch(reasoning=True),
    )
    assert reduced({"tools": [{}]}, reasoning=True)[0]["thinking"] == {"type": "disabled"}


@pytest.mark.parametrize("kind", ["thinking", "redacted_thinking"])
def test_a_loop_goes_on_as_it_began(kind: str) -> None:
    """With thinking blocks they stay and are let through; without, thinking stays off; the next question ends the turn."""
    with_thought = {"role": "assistant", "content": [THOUGHT | {"type": kind}, USE]}
    without = {"role": "assistant", "content": [USE]}
    loop = [QUESTION, with_thought, RESULT, without, RESULT]
    body, watch = reduced({"thinking": THINKING, "messages": loop}, reasoning=True)
    assert (body["thinking"], watch.reasoning) == (THINKING, False)
    body, watch = reduced({"thinking": THINKING, "messages": [QUESTION, without, RESULT]}, reasoning=True)
    assert (body["thinking"], watch.reasoning) == ({"type": "disabled"}, True)
    body, watch = reduced({"thinking": THINKING, "messages": [*loop, without, QUESTION]}, reasoning=True)
    assert (body["thinking"], watch.reasoning) == ({"type": "disabled"}, True)


@pytest.mark.parametrize(
    ("stated", "left"),
    [
        ({}, CONCISE),
        ({"system": "Hi."}, f"Hi.\n\n{CONCISE}"),
        (
            {"system": [{"type": "text", "text": "Hi.", "cache_control": {"type": "ephemeral"}}]},
            [
                {"type": "text", "text": "Hi.", "cache_control": {"type": "ephemeral"}},
                {"type": "text", "text": CONCISE},
            ],
        ),
    ],
)
def test_one_instruction_is_added(stated: dict[str, Any], left: Any) -> None:
    """After what is there."""
    assert reduced(stated, concise=True)[0]["system"] == left


def test_another_model() -> None:
    assert reduced({}, model="small")[0]["model"] == "small"


def test_blocks_after_a_thought_move_up() -> None:
    """Start, deltas and end of a thought are left out; the indices of what comes after have no gap."""
    stream = PLUGIN().stream(Watch(reasoning=True))

    def event(kind: str, index: int, block: str = "") -> Any:
        said: dict[str, Any] = {"type": f"content_block_{kind}", "index": index}
        return said | ({"content_block": {"type": block}} if block else {})

    assert stream.reduce({"type": "message_start", "message": {}}) is None
    for gone in (event("start", 0, "thinking"), event("delta", 0), event("stop", 0)):
        assert stream.reduce(gone) == ()
    assert stream.reduce(event("start", 1, "text")) == (event("start", 0, "text"),)
    assert stream.reduce(event("start", 2, "redacted_thinking")) == ()
    assert stream.reduce(event("start", 3, "tool_use")) == (event("start", 1, "tool_use"),)
    assert stream.reduce(event("delta", 1)) == (event("delta", 0),)
    assert stream.reduce({"type": "ping"}) is None


def test_a_whole_answer_has_no_thought_and_tells() -> None:
    payload: dict[str, Any] = {"type": "message", "content": [THOUGHT, {"type": "text", "text": "x"}]}
    PLUGIN().answer(payload, Watch(reasoning=True))
    assert payload["content"] == [{"type": "text", "text": "x"}]
    assert PLUGIN().tell(payload, {"a": 1})
    assert payload["guard"] == {"a": 1}
    start: dict[str, Any] = {"type": "message_start", "message": {}}
    assert PLUGIN().tell(start, {"a": 1})
    assert start["message"] == {"guard": {"a": 1}}
    assert not PLUGIN().tell({"type": "ping"}, {"a": 1})
