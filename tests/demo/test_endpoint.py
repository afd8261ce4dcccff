"""The demo's model endpoint: what the official SDKs expect of one, deterministic and without a model."""

from __future__ import annotations

from typing import Any

import httpx
import orjson
import pytest

from guard.demo.endpoint import ANTHROPIC_PATH, OPENAI_PATH, endpoint

pytestmark = pytest.mark.anyio
SCHEMA = {
    "type": "object",
    "properties": {"word": {"type": "string"}, "n": {"type": "integer"}},
    "required": ["word", "n"],
}
OPENAI_TOOL = {"type": "function", "function": {"name": "look_up", "parameters": SCHEMA}}
ANTHROPIC_TOOL = {"name": "look_up", "input_schema": SCHEMA}


def chat(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": list(messages) or [{"role": "user", "content": "hello"}], **fields}


def message(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return chat(*messages, max_tokens=64, **fields)


async def post(path: str, body: Any, headers: dict[str, str] | None = None, **options: Any) -> httpx.Response:
    transport = httpx.ASGITransport(endpoint(**options))
    async with httpx.AsyncClient(transport=transport, base_url="http://model") as client:
        return await client.post(path, json=body, headers=headers)


def events(response: httpx.Response) -> list[dict[str, Any]]:
    """The JSON of every event of a stream."""
    lines = [line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data: ")]
    return [orjson.loads(line) for line in lines if line != "[DONE]"]


async def test_openai_json() -> None:
    """A whole answer with text, an end and usage; the same request gets the same answer."""
    first, second = [await post(OPENAI_PATH, chat(max_tokens=400)) for _ in range(2)]
    assert first.content == second.content
    document = first.json()
    assert document["object"] == "chat.completion"
    assert document["choices"][0]["message"]["content"]
    assert document["choices"][0]["finish_reason"] == "stop"
    usage = document["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    other = (await post(OPENAI_PATH, chat({"role": "user", "content": "another question"}))).json()
    assert other["choices"][0]["message"]["content"] != document["choices"][0]["message"]["content"]


async def test_openai_stream_says_what_the_whole_answer_says() -> None:
    """The deltas joined are the whole answer's text; usage comes where it was asked for, and [DONE] is last."""
    whole = (await post(OPENAI_PATH, chat())).json()
    streamed = await post(OPENAI_PATH, chat(stream=True, stream_options={"include_usage": True}))
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert streamed.text.endswith("data: [DONE]\n\n")
    chunks = events(streamed)
    said = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])
    assert said == whole["choices"][0]["message"]["content"]
    assert chunks[-1]["usage"] == whole["usage"]
    assert all("usage" not in chunk for chunk in events(await post(OPENAI_PATH, chat(stream=True))))


async def test_openai_budget_choices_and_logprobs() -> None:
    """A budget cuts the answer, ``n`` multiplies it and its cost, log-probabilities come when asked for."""
    document = (await post(OPENAI_PATH, chat(max_tokens=3, n=2, logprobs=True, top_logprobs=5))).json()
    assert [choice["index"] for choice in document["choices"]] == [0, 1]
    assert document["choices"][0]["finish_reason"] == "length"
    assert document["usage"]["completion_tokens"] == 6
    tokens = document["choices"][0]["logprobs"]["content"]
    assert len(tokens) == 3
    assert len(tokens[0]["top_logprobs"]) == 5


@pytest.mark.parametrize("stream", [False, True])
async def test_openai_tools(stream: bool) -> None:
    """Tools are called with arguments of their types until a result stands last; then there is an answer."""
    asked = {"role": "user", "content": "look it up"}
    response = await post(OPENAI_PATH, chat(asked, tools=[OPENAI_TOOL], stream=stream))
    if stream:
        deltas = [chunk["choices"][0] for chunk in events(response)]
        calls = [delta["delta"]["tool_calls"][0] for delta in deltas if delta["delta"].get("tool_calls")]
        name, ident = calls[0]["function"]["name"], calls[0]["id"]
        arguments = "".join(call["function"]["arguments"] for call in calls)
        end = deltas[-1]["finish_reason"]
    else:
        choice = response.json()["choices"][0]
        call = choice["message"]["tool_calls"][0]
        name, ident, arguments = call["function"]["name"], call["id"], call["function"]["arguments"]
        end = choice["finish_reason"]
    assert (name, end, orjson.loads(arguments)) == ("look_up", "tool_calls", {"word": "value", "n": 1})
    result = {"role": "tool", "tool_call_id": ident, "content": "found"}
    done = (
        await post(OPENAI_PATH, chat(asked, {"role": "assistant", "content": None}, result, tools=[OPENAI_TOOL]))
    ).json()
    assert done["choices"][0]["message"]["content"]


async def test_anthropic_json() -> None:
    """A whole message with a text block, a stop reason and usage."""
    document = (await post(ANTHROPIC_PATH, message(system=[{"type": "text", "text": "Be kind."}]))).json()
    assert document["type"] == "message"
    assert document["content"][0]["type"] == "text"
    assert document["stop_reason"] == "end_turn"
    assert document["usage"]["input_tokens"] == len("Be kind.hello") // 4
    short = (await post(ANTHROPIC_PATH, chat(max_tokens=2))).json()
    assert (short["stop_reason"], short["usage"]["output_tokens"]) == ("max_tokens", 2)


async def test_anthropic_stream_says_what_the_whole_answer_says() -> None:
    """The events come in the API's order, and their deltas joined are the whole answer's text."""
    whole = (await post(ANTHROPIC_PATH, message())).json()
    found = events(await post(ANTHROPIC_PATH, message(stream=True)))
    assert [event["type"] for event in found[:3]] == ["message_start", "content_block_start", "ping"]
    assert [event["type"] for event in found[-3:]] == ["content_block_stop", "message_delta", "message_stop"]
    said = "".join(event["delta"]["text"] for event in found if event["type"] == "content_block_delta")
    assert said == whole["content"][0]["text"]
    assert found[-2]["usage"]["output_tokens"] == whole["usage"]["output_tokens"]


@pytest.mark.parametrize("stream", [False, True])
async def test_anthropic_tools(stream: bool) -> None:
    """Tools are called until a result stands last; then there is an answer."""
    asked = {"role": "user", "content": "look it up"}
    response = await post(ANTHROPIC_PATH, message(asked, tools=[ANTHROPIC_TOOL], stream=stream))
    if stream:
        found = events(response)
        block = found[1]["content_block"]
        parts = [event["delta"]["partial_json"] for event in found if event["type"] == "content_block_delta"]
        arguments, end = orjson.loads("".join(parts)), found[-2]["delta"]["stop_reason"]
    else:
        document = response.json()
        block = document["content"][0]
        arguments, end = block["input"], document["stop_reason"]
    assert (block["name"], end, arguments) == ("look_up", "tool_use", {"word": "value", "n": 1})
    result = {"type": "tool_result", "tool_use_id": block["id"], "content": "found"}
    turns = (asked, {"role": "assistant", "content": [block]}, {"role": "user", "content": [result]})
    done = (await post(ANTHROPIC_PATH, message(*turns, tools=[ANTHROPIC_TOOL]))).json()
    assert done["content"][0]["type"] == "text"


@pytest.mark.parametrize(("path", "kind"), [(OPENAI_PATH, "error"), (ANTHROPIC_PATH, "type")])
async def test_unknown_credentials_get_a_401_in_the_apis_shape(path: str, kind: str) -> None:
    """With a set of credentials only those are answered, by either header."""
    known = frozenset({"sk-1"})
    for headers in ({}, {"authorization": "Bearer sk-2"}, {"x-api-key": "sk-2"}, {"authorization": "Basic sk-1"}):
        refused = await post(path, message(), headers, credentials=known)
        assert refused.status_code == 401
        assert refused.json()["error"]["type"] == "authentication_error"
        assert kind in refused.json()
    for headers in ({"authorization": "Bearer sk-1"}, {"x-api-key": "sk-1"}):
        assert (await post(path, message(), headers, credentials=known)).status_code == 200


@pytest.mark.parametrize("path", [OPENAI_PATH, ANTHROPIC_PATH])
@pytest.mark.parametrize(
    "body", [[], {}, {"model": "m"}, {"messages": []}, {"model": 1, "messages": [{"role": "user"}]}, "x"]
)
async def test_what_is_no_request_gets_a_400(path: str, body: Any) -> None:
    """Never a 500."""
    assert (await post(path, body)).status_code == 400


async def test_pace_is_kept_between_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every chunk but the first waits for the configured time."""
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("guard.demo.endpoint.asyncio.sleep", wait)
    chunks = events(await post(OPENAI_PATH, chat(stream=True, max_tokens=5), pace_s=0.25))
    assert waits == [0.25] * len(chunks)  # [DONE] waits too, the first chunk doesn't
