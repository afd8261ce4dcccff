from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import anthropic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.dialects.anthropic_messages import AnthropicMessages
from guard.errors import BadExchange
from guard.types import Ask, Route, Tally, Turn

from .conftest import FAILED, JSON, LIMITED, OBJECTS, REFUSED, UNREADABLE, read_or_refused

ROUTE = Route("/v1/messages", "anthropic_messages")
MESSAGES = AnthropicMessages()
HELLO = [{"role": "user", "content": "Hello"}]
BASE = {"model": "claude-x", "max_tokens": 100, "messages": HELLO}


def read(**body: Any) -> Ask:
    return MESSAGES.read(BASE | body, ROUTE)


def refused(body: Any) -> BadExchange:
    with pytest.raises(BadExchange) as caught:
        MESSAGES.read(body, ROUTE)
    return caught.value


def test_a_plain_request() -> None:
    """Model, system, turns and parameters of the request that most clients send."""

    ask = read(
        system="Be brief.",
        messages=[*HELLO, {"role": "assistant", "content": "Hi"}],
        stream=True,
        metadata={"user_id": "u-1"},
    )

    assert ask == Ask(
        dialect="anthropic_messages",
        model="claude-x",
        stream=True,
        system="Be brief.",
        turns=(Turn("user", "Hello"), Turn("assistant", "Hi")),
        tools=b"",
        parameters=b'{"max_tokens":100}',
        budget_tokens=100,
        user="u-1",
    )


MARKED: dict[str, Any] = {
    "system": [{"type": "text", "text": "m-system", "cache_control": {"type": "ephemeral", "ttl": "5m"}}],
    "messages": [
        {"role": "user", "content": "m-user"},
        {"role": "system", "content": "m-later-system"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "m-part"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
                {"type": "document", "title": "m-title", "context": "m-context", "source": {"type": "text", "media_type": "text/plain", "data": "m-data"}},
                {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "m-block"}]}},
                {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}},
                {"type": "search_result", "source": "m-source", "title": "m-search", "content": [{"type": "text", "text": "m-found"}]},
                {"type": "novel", "words": ["m-novel"]},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "m-thinking", "signature": "sealed" * 40},
                {"type": "redacted_thinking", "data": "sealed"},
                {"type": "text", "text": "m-answer", "citations": [{"type": "char_location", "cited_text": "m-cited", "document_title": "m-cited-title"}]},
                {"type": "tool_use", "id": "toolu_1", "name": "m-call", "input": {"q": {"deep": ["m-input"]}}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "m-result"}]},
                {"type": "tool_result", "tool_use_id": "toolu_2", "content": "m-bare-result", "is_error": True},
                {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [{"type": "web_search_result", "title": "m-web", "encrypted_content": "sealed"}]},
                {"type": "text", "text": "m-after"},
            ],
        },
        {"role": "m-role", "content": "m-strange"},
    ],
    "tools": [
        {
            "name": "m-tool",
            "description": "m-description",
            "input_schema": {"type": "object", "properties": {"m-property": {"type": "string", "description": "m-schema"}}},
        }
    ],
    "stop_sequences": ["m-stop"],
    "metadata": {"user_id": "u-1", "note": "m-metadata"},
    "mcp_servers": [{"type": "url", "name": "m-server", "url": "https://example.org", "authorization_token": "sealed"}],
    "output_config": {"format": {"type": "json_schema", "schema": {"properties": {"m-field": {}}}}},
    "suffix": "m-suffix",
}  # fmt: skip


def test_every_text_reaches_the_ask() -> None:
    """Text of every text-bearing field stands in system, turns or texts; what is sealed does not (SECURITY 68)."""

    ask = read(**MARKED)
    everything = "\n".join([ask.system, *(turn.text for turn in ask.turns), *ask.texts])
    markers = set(re.findall(r"m-[a-z-]+", json.dumps(MARKED)))

    assert {marker for marker in markers if marker not in everything} == set()
    assert len(markers) > 25
    assert not re.search(r"sealed|toolu_|ephemeral|5m|u-1", everything)


def test_where_text_lands() -> None:
    """Tool results are turns of their own before the user's words; images and PDF files are counted."""

    ask = read(**MARKED)

    assert ask.system == "m-system\nm-later-system"
    assert [turn.role for turn in ask.turns] == ["user", "user", "assistant", "tool", "user", "m-role"]
    assert ask.turns[2].text == "m-thinking\nm-answer\nm-cited\nm-cited-title\nm-call\nm-input"
    assert ask.turns[3] == Turn("tool", "m-result\nm-bare-result\nm-web")
    assert ask.turns[4] == Turn("user", "m-after")
    assert ask.user == "u-1"
    assert ask.media == 3


def test_tools_are_canonical() -> None:
    """The order of keys makes no other tool list; an empty one is none."""

    assert (
        read(tools=[{"name": "a", "description": "b"}]).tools
        == read(tools=[{"description": "b", "name": "a"}]).tools
        != b""
    )
    assert read(tools=[]).tools == b""
    assert read(tools=None).tools == b""


@pytest.mark.parametrize(
    ("body", "budget_tokens"),
    [
        ({}, 100),
        ({"thinking": {"type": "enabled", "budget_tokens": 50}}, 100),
        ({"thinking": {"type": "enabled", "budget_tokens": 5_000}}, 5_000),
        ({"thinking": {"type": "disabled"}}, 100),
        ({"thinking": None}, 100),
    ],
)
def test_budget(body: Any, budget_tokens: int) -> None:
    """``max_tokens``, or a thinking budget beyond it."""

    assert read(**body).budget_tokens == budget_tokens


@pytest.mark.parametrize("value", [-1, 0, 1e3, 100.0, True, "100", None, 2**63, float(2**64), [1]])
def test_numbers_that_are_none(value: Any) -> None:
    """Neither ``max_tokens`` nor the thinking budget takes anything but a whole number within bounds (SECURITY 52)."""

    assert refused(BASE | {"max_tokens": value}).public.startswith("max_tokens must be a whole number")
    if value is not None:
        error = refused(BASE | {"thinking": {"type": "enabled", "budget_tokens": value}})
        assert error.public.startswith("thinking.budget_tokens must be a whole number")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"model": "claude-x", "messages": HELLO},
        {"model": "claude-x", "max_tokens": 5},
        {"max_tokens": 5, "messages": HELLO},
        *(
            BASE | change
            for change in (
                {"model": None},
                {"messages": None},
                {"messages": "Hello"},
                {"messages": ["Hello"]},
                {"messages": [{"content": "Hello"}]},
                {"messages": [{"role": {}, "content": "Hello"}]},
                {"messages": [{"role": "user", "content": 1}]},
                {"messages": [{"role": "user", "content": {"text": "Hello"}}]},
                {"messages": [{"role": "user", "content": [1]}]},
                {"messages": HELLO * 10_001},
                {"messages": [{"role": "user", "content": [{}] * 10_001}]},
                {"system": 1},
                {"system": [None]},
                {"tools": [{}] * 1_001},
                {"tools": "Hello"},
                {"stream": "true"},
                {"stream": 1},
                {"stream": None},
                {"thinking": "enabled"},
                {"metadata": []},
                {"metadata": {"user_id": 5}},
            )
        ),
    ],
)
def test_what_can_not_be_judged_is_refused(body: Any) -> None:
    """A missing or misshapen field is a 400 with a sentence for the client (SECURITY 61, 63)."""

    error = refused(body)

    assert error.status == 400
    assert error.public.endswith(".")
    assert "Hello" not in str(error)


@pytest.mark.parametrize(
    ("payload", "tally"),
    [
        (
            {
                "type": "message",
                "content": [
                    {"type": "thinking", "thinking": "hmm", "signature": "c2ln"},
                    {"type": "text", "text": "four"},
                    {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"q": "xy"}},
                    {"type": "code_execution_tool_result", "content": {"stdout": "not the model's"}},
                ],
                "usage": {
                    "input_tokens": 5,
                    "cache_read_input_tokens": 10,
                    "cache_creation_input_tokens": None,
                    "output_tokens": 8,
                },
            },
            Tally(10, 15, 8, 10),
        ),
        ({"type": "error", "error": {"type": "api_error", "message": "overloaded"}}, Tally()),
        ({"type": "content_block_delta", "delta": {"type": "signature_delta", "signature": "c2ln"}}, Tally()),
        ({"type": "content_block_delta", "delta": {"type": "novel_delta", "words": "abc"}}, Tally(3, -1, -1, 3)),
    ],
)
def test_what_is_output(payload: Any, tally: Tally) -> None:
    """Text, thinking and tool calls of a whole answer; unknown deltas by their strings; not errors, not tool results."""

    counted = Tally()
    MESSAGES.count(payload, counted)

    assert counted == tally


def test_naughty_strings_are_read_or_refused(shared: Path) -> None:
    """The big list of naughty strings as prompt, model, role and tool name: read whole, or a 400 (SECURITY 60)."""

    for naughty in json.loads((shared / "suites" / "naughty-strings" / "blns.json").read_text()):
        messages = [
            {"role": "user", "content": naughty},
            {"role": naughty, "content": [{"type": naughty, "text": naughty}]},
        ]
        outcome = read_or_refused(MESSAGES, BASE | {"messages": messages, "tools": [{"name": naughty}]}, ROUTE)

        assert isinstance(outcome, Ask)
        assert outcome.turns[0].text == naughty
        outcome = read_or_refused(MESSAGES, BASE | {"model": naughty}, ROUTE)

        assert outcome.model == outcome.model.strip() if isinstance(outcome, Ask) else outcome.status == 400


@given(OBJECTS)
def test_any_json_is_read_or_refused(body: Any) -> None:
    """Nothing but ``BadExchange`` comes out of ``read``, and it is a 400."""

    for candidate in (body, BASE | body):
        outcome = read_or_refused(MESSAGES, candidate, ROUTE)
        if isinstance(outcome, Ask):
            assert (outcome.budget_tokens or 0) > 0
        else:
            assert outcome.status == 400


@given(
    OBJECTS
    | st.fixed_dictionaries({"type": JSON, "delta": JSON, "message": JSON, "usage": JSON, "content_block": JSON})
)
def test_any_json_is_counted(payload: Any) -> None:
    """``count`` never raises, and only ever adds."""

    tally = Tally()
    MESSAGES.count(payload, tally)

    assert tally.characters >= 0
    assert -1 <= tally.output_tokens <= 10_000_000


def client(transport: Any) -> anthropic.Anthropic:
    return anthropic.Anthropic(
        api_key="sk-test",
        base_url="http://guard.test",
        max_retries=0,
        http_client=anthropic.DefaultHttpxClient(transport=transport),
    )


@pytest.mark.parametrize(
    ("decision", "raised", "kind"),
    [
        (LIMITED, anthropic.RateLimitError, "rate_limit_error"),
        (REFUSED, anthropic.PermissionDeniedError, "permission_error"),
        (UNREADABLE, anthropic.BadRequestError, "invalid_request_error"),
        (FAILED, anthropic.InternalServerError, "overloaded_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_the_sdk_raises_its_own_error(answer: Any, decision: Any, raised: Any, kind: str, stream: bool) -> None:
    """The official client raises the error of the status and finds type, message, problem and reference where it looks."""

    with client(answer(MESSAGES, decision)) as sdk, pytest.raises(raised) as caught:
        sdk.messages.create(model="claude-x", max_tokens=5, messages=[{"role": "user", "content": "Hi"}], stream=stream)
    error = caught.value

    assert error.body["type"] == "error"
    assert error.body["request_id"] == "G-1234"
    assert error.body["error"]["type"] == kind
    assert error.body["error"]["message"] == decision.public
    assert error.body["error"]["problem"]["status"] == decision.status
    assert error.body["error"]["problem"]["reference"] == "G-1234"
    assert error.response.headers["x-guard-reference"] == "G-1234"
    assert error.response.headers.get("retry-after") == ("7" if decision is LIMITED else None)
    assert "inside" not in error.response.text


def test_the_sdk_ends_a_cut_stream_with_an_error(answer: Any) -> None:
    """The events before the cut arrive, then the client raises with guard's sentence."""

    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}
    stream = (
        b"event: content_block_delta\ndata: " + json.dumps(delta).encode() + b"\n\n" + MESSAGES.error_event(REFUSED)
    )
    seen: list[str] = []
    with client(answer(MESSAGES, stream=stream)) as sdk:
        events = sdk.messages.create(
            model="claude-x", max_tokens=5, messages=[{"role": "user", "content": "Hi"}], stream=True
        )
        with pytest.raises(anthropic.APIStatusError, match="Not allowed") as caught:
            seen.extend(event.delta.text for event in events)

    assert seen == ["Hi"]
    assert caught.value.body["error"]["problem"]["reference"] == "G-1234"
