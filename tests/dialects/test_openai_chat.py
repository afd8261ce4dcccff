from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.dialects.openai_chat import OpenAIChat
from guard.errors import BadExchange
from guard.types import Ask, Route, Tally, Turn

from .conftest import FAILED, JSON, LIMITED, OBJECTS, REFUSED, UNREADABLE, read_or_refused

ROUTE = Route("/v1/chat/completions", "openai_chat")
CHAT = OpenAIChat()
HELLO = [{"role": "user", "content": "Hello"}]


def read(**body: Any) -> Ask:
    return CHAT.read({"model": "gpt-5", "messages": HELLO} | body, ROUTE)


def refused(body: Any) -> BadExchange:
    with pytest.raises(BadExchange) as caught:
        CHAT.read(body, ROUTE)
    return caught.value


def test_a_plain_request() -> None:
    """Model, system, turns and parameters of the request that most clients send."""

    ask = read(
        model="GPT-5 ",
        messages=[{"role": "developer", "content": "Be brief."}, *HELLO, {"role": "assistant", "content": "Hi"}],
        temperature=0.5,
        stream=True,
        stream_options={"include_usage": True},
        user="u-1",
    )

    assert ask == Ask(
        dialect="openai_chat",
        model="gpt-5",
        stream=True,
        system="Be brief.",
        turns=(Turn("user", "Hello"), Turn("assistant", "Hi")),
        tools=b"",
        parameters=b'{"temperature":0.5}',
        budget_tokens=None,
        user="u-1",
    )


# One marker in each field that a model may get to see.
MARKED: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "m-system"}], "name": "m-system-name"},
        {"role": "user", "content": "m-user", "name": "m-user-name"},
        {"role": "user", "content": [{"type": "text", "text": "m-part"}, "m-bare-part", {"type": "novel", "words": {"x": ["m-novel"]}}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.org/m-image"}}]},
        {"role": "user", "content": [{"type": "file", "file": {"filename": "m-file", "file_data": "data:text/plain;base64,bS10ZXh0ZmlsZQ=="}}]},
        {"role": "user", "content": [{"type": "text", "text": "m-cached", "cache_control": {"type": "ephemeral"}}]},
        {
            "role": "assistant",
            "content": None,
            "refusal": "m-refusal",
            "reasoning_content": "m-reasoning",
            "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "m-call", "arguments": '{"q": "m-argument"}'}}],
            "function_call": {"name": "m-old-call", "arguments": "m-old-argument"},
            "audio": {"id": "audio_1", "transcript": "m-transcript"},
        },
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "m-refusal-part"}]},
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "m-result"}]},
        {"role": "function", "name": "m-function-name", "content": "m-function-result"},
        {"role": "m-role", "content": "m-strange"},
        {"role": "tool", "tool_call_id": "m-abused-id " * 20, "content": ""},
    ],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "m-tool",
                "description": "m-description",
                "parameters": {"type": "object", "properties": {"m-property": {"type": "string", "description": "m-schema", "enum": ["m-enum"]}}},
            },
        },
        {"type": "custom", "custom": {"name": "m-custom", "format": {"type": "grammar", "grammar": {"definition": "m-grammar"}}}},
    ],
    "functions": [{"name": "m-old-tool", "description": "m-old-description"}],
    "prediction": {"type": "content", "content": [{"type": "text", "text": "m-prediction"}]},
    "response_format": {"type": "json_schema", "json_schema": {"name": "m-format", "schema": {"properties": {"m-field": {}}}}},
    "stop": ["m-stop"],
    "metadata": {"note": "m-metadata"},
    "suffix": "m-suffix",
    "web_search_options": {"user_location": {"approximate": {"city": "m-city"}}},
    "chat_template": "m-template",
    "tool_choice": {"type": "function", "function": {"name": "m-choice"}},
}  # fmt: skip


def markers(value: Any) -> set[str]:
    return {*re.findall(r"m-[a-z-]+", json.dumps(value)), "m-textfile"}


def test_every_text_reaches_the_ask() -> None:
    """Text of every text-bearing field stands in system, turns or texts (SECURITY 68)."""

    ask = read(**MARKED)
    everything = "\n".join([ask.system, *(turn.text for turn in ask.turns), *ask.texts])

    assert {marker for marker in markers(MARKED) if marker not in everything} == set()
    assert len(markers(MARKED)) > 35


def test_where_text_lands() -> None:
    """Conversation text in turns of its role, system text in system, the rest beside them; no file data, no API names."""

    ask = read(**MARKED)

    assert ask.system == "m-system"
    assert [turn.role for turn in ask.turns] == ["user"] * 5 + ["assistant"] * 2 + [
        "tool",
        "function",
        "m-role",
        "tool",
    ]
    assert ask.turns[1] == Turn("user", "m-part\nm-bare-part\nm-novel")
    assert ask.turns[4] == Turn("user", "m-cached")
    assert ask.turns[5].text == "\n".join(
        ["m-refusal", "m-reasoning", "m-call", '{"q": "m-argument"}', "m-old-call", "m-old-argument", "m-transcript"]
    )
    assert "m-user-name" in ask.texts
    assert not any("call_1" in text or "base64" in text for text in (*ask.texts, *(turn.text for turn in ask.turns)))
    assert ask.media == 2


def test_tools_are_canonical() -> None:
    """The order of keys makes no other tool list; an empty one is none."""

    one = read(tools=[{"type": "function", "function": {"name": "a", "description": "b"}}])
    two = read(tools=[{"function": {"description": "b", "name": "a"}, "type": "function"}])

    assert one.tools == two.tools != b""
    assert read(tools=[], functions=None).tools == b""
    assert read(tools=[{"a": 1}], functions=[{"b": 2}]).tools == b'[[{"a":1}],[{"b":2}]]'


@pytest.mark.parametrize(
    ("body", "budget_tokens", "choices"),
    [
        ({}, None, 1),
        ({"max_tokens": None}, None, 1),
        ({"n": 3}, None, 3),
        ({"max_tokens": 10}, 10, 1),
        ({"max_completion_tokens": 20, "max_tokens": 10}, 20, 1),
        ({"max_tokens": 10, "n": 3, "best_of": 5}, 50, 5),
        ({"max_output_tokens": 7, "num_predict": 9, "max_new_tokens": 8}, 9, 1),
    ],
)
def test_budget(body: Any, budget_tokens: int | None, choices: int) -> None:
    """The largest alias times the largest number of choices is reserved (SECURITY 53)."""

    ask = read(**body)

    assert (ask.budget_tokens, ask.choices) == (budget_tokens, choices)


@pytest.mark.parametrize(
    "field", ["max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict", "n", "best_of"]
)
@pytest.mark.parametrize("value", [-1, 0, 1e3, 100.0, True, "100", 2**63, float(2**64), [1]])
def test_numbers_that_are_none(field: str, value: Any) -> None:
    """What is no whole number within bounds is a 400 that names the field (SECURITY 52)."""

    error = refused({"model": "gpt-5", "messages": HELLO, field: value})

    assert (error.status, error.reason) == (400, "invalid_field")
    assert error.public.startswith(f"{field} must be a whole number")


@pytest.mark.parametrize(("value", "streams"), [(True, True), (False, False), (None, False)])
def test_stream(value: Any, streams: bool) -> None:
    """A flag; null counts as absent."""

    assert read(stream=value).stream is streams


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"model": "gpt-5"},
        {"messages": HELLO},
        *(
            {"model": "gpt-5", "messages": HELLO} | change
            for change in (
                {"model": ""},
                {"model": None},
                {"model": 5},
                {"model": "x" * 300},
                {"messages": None},
                {"messages": "Hello"},
                {"messages": {"role": "user"}},
                {"messages": ["Hello"]},
                {"messages": [{"content": "x"}]},
                {"messages": [{"role": 1, "content": "x"}]},
                {"messages": [{"role": ["user"], "content": "x"}]},
                {"messages": [{"role": "user", "content": 1}]},
                {"messages": [{"role": "user", "content": {"text": "x"}}]},
                {"messages": [{"role": "user", "content": [1]}]},
                {"messages": HELLO * 10_001},
                {"messages": [{"role": "user", "content": ["x"] * 10_001}]},
                {"tools": [{}] * 1_001},
                {"tools": {}},
                {"tools": ["x"]},
                {"functions": [{}] * 1_001},
                {"stream": "true"},
                {"stream": 1},
                {"logprobs": 1},
                {"top_logprobs": True},
                {"top_logprobs": -1},
                {"logit_bias": []},
                {"user": 5},
                {"safety_identifier": ["x"]},
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


def test_lists_at_their_bounds_pass() -> None:
    """Ten thousand messages and parts, a thousand tools."""

    ask = read(messages=HELLO * 10_000, tools=[{"type": "function"}] * 1_000)

    assert len(ask.turns) == 10_000
    assert read(messages=[{"role": "user", "content": ["x"] * 10_000}]).turns[0].text.count("x") == 10_000


@pytest.mark.parametrize(
    ("body", "top_logprobs", "logit_bias"),
    [
        ({}, 0, 0),
        ({"logprobs": False}, 0, 0),
        ({"logprobs": None, "top_logprobs": None, "logit_bias": None}, 0, 0),
        ({"logprobs": True}, 1, 0),
        ({"logprobs": True, "top_logprobs": 20}, 20, 0),
        ({"prompt_logprobs": 5}, 5, 0),
        ({"logit_bias": {"1": -100, "2": 100}}, 0, 2),
    ],
)
def test_logprobs_and_bias(body: Any, top_logprobs: int, logit_bias: int) -> None:
    """What a harvest of probabilities asks for is counted."""

    ask = read(**body)

    assert (ask.top_logprobs, ask.logit_bias) == (top_logprobs, logit_bias)


def test_the_sub_user() -> None:
    """``safety_identifier`` has replaced ``user``; null is absent."""

    assert read(user="a", safety_identifier="b").user == "b"
    assert read(user="a", safety_identifier=None).user == "a"
    assert read(user=None).user == ""


def test_parameters_are_a_trait_of_the_program() -> None:
    """What varies from request to request (seed, metadata, messages) is not among them; null is absent."""

    one = read(temperature=1, seed=5, metadata={"a": "b"}, top_p=None, stop=["x"], reasoning_effort="high")

    assert one.parameters == b'{"reasoning_effort":"high","stop":["x"],"temperature":1}'


@pytest.mark.parametrize(
    ("payload", "characters"),
    [
        ({"choices": [{"message": {"role": "assistant", "content": "four"}}, {"message": {"content": "five!"}}]}, 9),
        ({"choices": [{"delta": {"content": "four", "reasoning": "think"}}]}, 9),
        ({"choices": [{"message": {"content": "x", "audio": {"id": "a", "data": "UklG", "transcript": "said"}}}]}, 5),
        ({"choices": [{"message": {"content": "x", "annotations": [{"url_citation": {"title": "long title"}}]}}]}, 1),
        ({"choices": [{"text": "completion"}]}, 10),
        ({"error": {"message": "overloaded"}}, 0),
    ],
)
def test_what_is_output(payload: Any, characters: int) -> None:
    """Answer, reasoning and transcripts of every choice; neither sound nor citations nor errors."""

    tally = Tally()
    CHAT.count(payload, tally)

    assert tally.characters == characters


def test_naughty_strings_are_read_or_refused(shared: Path) -> None:
    """The big list of naughty strings as prompt, model, role and tool name: read whole, or a 400 (SECURITY 60)."""

    for naughty in json.loads((shared / "suites" / "naughty-strings" / "blns.json").read_text()):
        messages = [
            {"role": "user", "content": naughty},
            {"role": naughty, "content": [{"type": naughty, "text": naughty}]},
        ]
        outcome = read_or_refused(
            CHAT, {"model": "gpt-5", "messages": HELLO} | {"messages": messages, "tools": [{"name": naughty}]}, ROUTE
        )

        assert isinstance(outcome, Ask)
        assert outcome.turns[0].text == naughty
        outcome = read_or_refused(CHAT, {"model": "gpt-5", "messages": HELLO} | {"model": naughty}, ROUTE)

        assert outcome.model == outcome.model.strip() if isinstance(outcome, Ask) else outcome.status == 400


@given(OBJECTS)
def test_any_json_is_read_or_refused(body: Any) -> None:
    """Nothing but ``BadExchange`` comes out of ``read``, and it is a 400."""

    for candidate in (body, {"model": "gpt-5", "messages": HELLO} | body):
        outcome = read_or_refused(CHAT, candidate, ROUTE)
        if isinstance(outcome, Ask):
            assert outcome.budget_tokens is None or outcome.budget_tokens > 0
        else:
            assert outcome.status == 400


@given(OBJECTS | st.fixed_dictionaries({"choices": st.lists(OBJECTS), "usage": JSON}))
def test_any_json_is_counted(payload: Any) -> None:
    """``count`` never raises, and only ever adds."""

    tally = Tally()
    CHAT.count(payload, tally)

    assert tally.characters >= 0
    assert -1 <= tally.output_tokens <= 10_000_000


def client(transport: Any) -> openai.OpenAI:
    return openai.OpenAI(
        api_key="sk-test",
        base_url="http://guard.test/v1",
        max_retries=0,
        http_client=openai.DefaultHttpxClient(transport=transport),
    )


@pytest.mark.parametrize(
    ("decision", "raised", "names"),
    [
        (LIMITED, openai.RateLimitError, ("rate_limit_error", "rate_limit_exceeded")),
        (REFUSED, openai.PermissionDeniedError, ("permission_error", "request_refused")),
        (UNREADABLE, openai.BadRequestError, ("invalid_request_error", "invalid_request")),
        (FAILED, openai.InternalServerError, ("server_error", "unavailable")),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_the_sdk_raises_its_own_error(answer: Any, decision: Any, raised: Any, names: Any, stream: bool) -> None:
    """The official client raises the error of the status and finds message, type, code, problem and reference where it looks."""

    with client(answer(CHAT, decision)) as sdk, pytest.raises(raised) as caught:
        sdk.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": "Hi"}], stream=stream)
    error = caught.value

    assert (error.type, error.code, error.param) == (*names, None)
    assert error.body["message"] == decision.public
    assert error.body["problem"]["reference"] == "G-1234"
    assert error.body["problem"]["status"] == decision.status
    assert error.response.headers["x-guard-reference"] == "G-1234"
    assert error.response.headers.get("retry-after") == ("7" if decision is LIMITED else None)
    assert "inside" not in error.response.text
    assert str(decision.score) not in error.response.text or decision.score == 0.0


def test_the_sdk_ends_a_cut_stream_with_an_error(answer: Any) -> None:
    """The chunks before the cut arrive, then the client raises with guard's sentence."""

    chunk = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "delta": {"content": "Hi"}}],
    }
    stream = b"data: " + json.dumps(chunk).encode() + b"\n\n" + CHAT.error_event(REFUSED)
    seen: list[str | None] = []
    with client(answer(CHAT, stream=stream)) as sdk:
        chunks = sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}], stream=True)
        with pytest.raises(openai.APIError, match="Not allowed") as caught:
            seen.extend(chunk.choices[0].delta.content for chunk in chunks)

    assert seen == ["Hi"]
    assert caught.value.body["problem"]["reference"] == "G-1234"
