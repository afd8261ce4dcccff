"""What an answer says is heard alike however it is sent, and is what a client brings back."""

from __future__ import annotations

import tracemalloc
from typing import Any

import orjson
import pytest

from guard.dialects import anthropic_messages, gemini, openai_chat, openai_responses
from guard.heard import MOST_BYTES, Heard, brought, last_said, visible
from guard.stream import AnswerMeter
from guard.talk import HELD_BYTES, prefix
from guard.types import Route, Usage

TEXT = 'Well, "quoted" and \\ escaped, déjà vu, then plain words, words, words: the end.\n'
PIECES = [TEXT[at : at + 5] for at in range(0, len(TEXT), 5)]
CHAT: Any = openai_chat.PLUGIN()
MESSAGES: Any = anthropic_messages.PLUGIN()
RESPONSES: Any = openai_responses.PLUGIN()
GEMINI: Any = gemini.PLUGIN()


def chat_events() -> list[dict[str, Any]]:
    first = {"id": "c", "choices": [{"index": 0, "delta": {"role": "assistant", "reasoning_content": "hm"}}]}
    other = {"id": "c", "choices": [{"index": 1, "delta": {"content": "another choice"}}]}
    return [first, *[{"id": "c", "choices": [{"index": 0, "delta": {"content": p}}]} for p in PIECES], other]


def message_events() -> list[dict[str, Any]]:
    def delta(kind: str, **content: str) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": 0, "delta": {"type": kind, **content}}

    thought = [delta("thinking_delta", thinking=p) for p in ("let me", " see", " that")]
    said = [delta("text_delta", text=p) for p in PIECES]
    return [*thought, delta("signature_delta", signature="c2ln"), *said, delta("input_json_delta", partial_json='{"a')]


def response_events() -> list[dict[str, Any]]:
    sealed = {"type": "reasoning", "id": "rs_1", "encrypted_content": "c2ln"}
    said = [{"type": "response.output_text.delta", "delta": p} for p in PIECES]
    return [{"type": "response.output_item.done", "item": sealed}, *said]


def gemini_events() -> list[dict[str, Any]]:
    def piece(index: int, **part: Any) -> dict[str, Any]:
        return {"candidates": [{"index": index, "content": {"role": "model", "parts": [part]}}]}

    said = [piece(0, text=p) for p in PIECES]
    call = piece(0, functionCall={"name": "n", "args": {"a": "b"}})
    return [piece(0, text="let me see", thought=True), *said, piece(1, text="another"), call]


def heard(dialect: Any, data: bytes, kind: bytes, size: int) -> Usage:
    meter = AnswerMeter(dialect, kind)
    for at in range(0, len(data), size):
        meter.feed(data[at : at + size])
    return meter.usage(200, complete=True, input_estimate=1)


@pytest.mark.parametrize("size", [1, 37, 1 << 20])
@pytest.mark.parametrize(
    ("dialect", "events", "signatures"),
    [
        (CHAT, chat_events(), 0),
        (MESSAGES, message_events(), 1),
        (RESPONSES, response_events(), 1),
        (GEMINI, gemini_events(), 0),
    ],
    ids=["chat", "messages", "responses", "gemini"],
)
def test_a_streamed_answer_has_the_hash_of_its_text(
    dialect: Any, events: list[dict[str, Any]], signatures: int, size: int
) -> None:
    """In whatever pieces it comes; reasoning, calls and other choices are no part of it."""
    data = b"".join([b"data: %b\n\n" % orjson.dumps(one) for one in events])
    usage = heard(dialect, data, b"text/event-stream", size)
    assert usage.prefix == prefix(TEXT)
    assert usage.signatures == (prefix("c2ln"),) * signatures


@pytest.mark.parametrize(
    ("dialect", "answer"),
    [
        (CHAT, {"choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}}], "usage": {}}),
        (
            MESSAGES,
            {
                "type": "message",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                    {"type": "text", "text": TEXT},
                    {"type": "tool_use", "id": "t", "name": "n", "input": {"a": "b"}},
                ],
            },
        ),
        (
            RESPONSES,
            {
                "object": "response",
                "output": [
                    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": TEXT}]}
                ],
            },
        ),
        (GEMINI, {"candidates": [{"content": {"role": "model", "parts": [{"text": TEXT[:9]}, {"text": TEXT[9:]}]}}]}),
    ],
    ids=["chat", "messages", "responses", "gemini"],
)
def test_a_whole_answer_has_the_same(dialect: Any, answer: dict[str, Any]) -> None:
    """In one piece or in many."""
    for size in (13, 1 << 20):
        assert heard(dialect, orjson.dumps(answer), b"application/json", size).prefix == prefix(TEXT)


def test_an_answer_that_broke_off_has_none() -> None:
    """Nobody goes on from half an answer as if it were whole; nor from an error."""
    meter = AnswerMeter(CHAT, b"text/event-stream")
    meter.feed(b"data: %b\n\n" % orjson.dumps(chat_events()[1]))
    assert meter.usage(200, complete=False, input_estimate=1).prefix == ""
    assert meter.usage(500, complete=True, input_estimate=1).prefix == ""


def test_what_is_held_of_an_answer_is_bounded() -> None:
    """Some kilobytes of it, however long it is; beyond a mebibyte it has no hash, and nothing of it is kept."""
    tally = Heard()
    tracemalloc.start()
    try:
        for _ in range(MOST_BYTES // 4_096):
            tally.said("x" * 4_096)
        held_bytes, _ = tracemalloc.get_traced_memory()
        assert tally.prefix() == prefix("x" * MOST_BYTES)
        tally.said("y")
        assert tally.prefix() == ""
        rest_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held_bytes <= 3 * HELD_BYTES
    assert rest_bytes <= 2_048


def test_a_client_brings_back_what_it_was_told() -> None:
    """As a string, as blocks, with reasoning and calls beside it: the same text, and the signatures of the latest turns."""
    blocks = [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "text", "text": "one"},
        {"type": "text", "text": " two"},
        {"type": "tool_use", "id": "t", "name": "n", "input": {}},
    ]
    asked = {"role": "user", "content": "hello"}
    assert visible({"role": "assistant", "content": "one two"}) is None
    assert visible({"role": "assistant", "content": "one two", "refusal": None}) == "one two"
    assert brought([asked, {"role": "assistant", "content": blocks}, asked]) == ("one two", ("c2ln",))
    assert brought([asked, {"type": "reasoning", "encrypted_content": "c2ln"}]) == (None, ("c2ln",))
    assert last_said([asked, {"role": "assistant", "content": None, "tool_calls": []}]) == ""


@pytest.mark.parametrize("message", [None, "x", {"role": "assistant", "content": [None, {"type": "text", "text": 7}]}])
def test_what_is_no_message_is_passed_over(message: object) -> None:
    """The dialect has refused it already, or will."""
    assert brought([message])[1] == ()


def test_both_sides_agree() -> None:
    """What an answer was hashed to is what the next request is found by, with reasoning and calls in between."""
    body = {
        "model": "m",
        "max_tokens": 10,
        "messages": [
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "c2ln"}, {"type": "text", "text": TEXT}]},
            {"role": "user", "content": "and then?"},
        ],
    }  # fmt: skip
    ask = MESSAGES.read(body, Route("/v1/messages", "anthropic_messages"))
    assert ask.said is not None
    assert prefix(ask.said) == prefix(TEXT)
    assert ask.sealed == ("c2ln",)


@pytest.mark.parametrize("pieces", [[TEXT], [*PIECES[:7], TEXT[35:]]], ids=["whole", "as it was streamed"])
def test_gemini_brings_back_what_it_was_told(pieces: list[str]) -> None:
    """Its SDK keeps each piece of a streamed answer as a content of its own."""
    body = {
        "contents": [
            {"role": "user", "parts": [{"text": "hello"}]},
            {"role": "model", "parts": [{"text": "let me see", "thought": True}]},
            *[{"role": "model", "parts": [{"text": piece}]} for piece in pieces],
            {"role": "user", "parts": [{"text": "and then?"}]},
        ]
    }
    options = (("path", "/v1beta/models/m:generatecontent"), ("model", "m"))
    ask = GEMINI.read(body, Route("/v1beta/models/m:generateContent", "gemini", options=options))
    assert ask.said == TEXT
