"""The official, unmodified Anthropic client through guard: what works without it works with it, and a no is the SDK's own."""

from __future__ import annotations

import json
import time
from typing import Any

import anthropic
import httpx
import pytest

pytestmark = pytest.mark.uvicorn

STEPS = 5
TOOLS: list[Any] = [
    {
        "name": "look_up",
        "description": "Looks a thing up.",
        "input_schema": {"type": "object", "properties": {"step": {"type": "integer"}}},
    }
]
QUESTION: list[Any] = [{"role": "user", "content": "How far is the moon? 漢字 🙂"}]
ANSWER = "message 1 read: äöü 漢字 🙂 and so on"
LIMITED = 'version = 1\nmode = "enforce"\n[[limit]]\nid = "tight"\nper = ["account"]\nrequests = "{requests}"\n'
REFUSING = """
version = 1
mode = "enforce"
[[rule]]
id = "closed"
when = { model = "secret-*" }
action = "refuse"
"""
ASK: dict[str, Any] = {"model": "demo", "max_tokens": 64}


def client(url: str, **options: Any) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=url, api_key="sk-e2e", **{"max_retries": 0, "timeout": 20, **options})


def async_client(url: str) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=url, api_key="sk-e2e", max_retries=0, timeout=20)


def test_an_answer_arrives_whole_and_as_a_stream(deployment: Any) -> None:
    """The sync client reads the same text either way, and the usage that the model reported."""
    with client(deployment.guarded()) as api:
        whole: Any = api.messages.create(messages=QUESTION, system="Be brief.", **ASK)
        assert whole.content[0].text == ANSWER
        assert whole.usage.output_tokens == len(ANSWER.split())
        with api.messages.stream(messages=QUESTION, system="Be brief.", **ASK) as stream:
            assert "".join(stream.text_stream) == ANSWER
        assert stream.get_final_message().usage.output_tokens == whole.usage.output_tokens
        assert stream.get_final_message().stop_reason == "end_turn"


@pytest.mark.anyio
async def test_the_async_client_reads_the_same(deployment: Any) -> None:
    """Likewise for the async client, whole and streamed."""
    async with async_client(deployment.guarded()) as api:
        whole: Any = await api.messages.create(messages=QUESTION, **ASK)
        assert whole.content[0].text == ANSWER
        async with api.messages.stream(messages=QUESTION, **ASK) as stream:
            assert "".join([text async for text in stream.text_stream]) == ANSWER


@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_loop_of_five_steps_runs_to_its_end(deployment: Any, streamed: bool) -> None:
    """Each call's input arrives, each result goes back, and the last answer is text."""
    messages = list(QUESTION)
    steps = []
    with client(deployment.guarded()) as api:
        while True:
            said: Any
            if streamed:
                with api.messages.stream(messages=messages, tools=TOOLS, **ASK) as stream:
                    said = stream.get_final_message()
            else:
                said = api.messages.create(messages=messages, tools=TOOLS, **ASK)
            if said.stop_reason != "tool_use":
                break
            block = said.content[0]
            steps.append(block.input["step"])
            messages.append({"role": "assistant", "content": said.content})
            result = {"type": "tool_result", "tool_use_id": block.id, "content": f"found {steps[-1]}"}
            messages.append({"role": "user", "content": [result]})
    assert steps == list(range(STEPS))
    assert said.content[0].text == f"message {1 + 2 * STEPS} read: äöü 漢字 🙂 and so on"


def test_a_conversation_of_sixty_turns(deployment: Any) -> None:
    """Each turn is sent with all before it; none is held up or changed, and the model sees every byte of the client's."""
    messages: list[Any] = []
    with client(deployment.guarded()) as api:
        for turn in range(60):
            messages.append({"role": "user", "content": f"question {turn}"})
            said: Any = api.messages.create(messages=messages, **ASK)
            assert said.content[0].text == f"message {2 * turn + 1} read: äöü 漢字 🙂 and so on"
            messages.append({"role": "assistant", "content": said.content[0].text})
    assert len(deployment.model.received) == 60
    assert json.loads(deployment.model.received[-1])["messages"] == messages[:-1]


def test_a_spent_limit_raises_rate_limit_error(deployment: Any) -> None:
    """The third request of two a minute: the SDK's own exception, how long to wait, and which limit; the model sees two."""
    with client(deployment.guarded(LIMITED.format(requests="2/minute"))) as api:
        for _ in range(2):
            api.messages.create(messages=QUESTION, **ASK)
        for stream in (False, True):
            with pytest.raises(anthropic.RateLimitError) as limited:
                api.messages.create(messages=QUESTION, stream=stream, **ASK)
            assert 1 <= int(limited.value.response.headers["retry-after"]) <= 60
            assert limited.value.response.headers["x-guard-reference"]
            assert "tight" in str(limited.value.body)
    assert len(deployment.model.received) == 2


@pytest.mark.anyio
async def test_a_spent_limit_raises_it_in_the_async_client_too(deployment: Any) -> None:
    """The async client raises the same exception."""
    async with async_client(deployment.guarded(LIMITED.format(requests="1/minute"))) as api:
        await api.messages.create(messages=QUESTION, **ASK)
        with pytest.raises(anthropic.RateLimitError):
            await api.messages.create(messages=QUESTION, **ASK)


def test_the_client_waits_as_long_as_it_is_told_and_goes_on(deployment: Any) -> None:
    """With a retry allowed the SDK honours Retry-After (at most two seconds) and its second try is answered."""
    with client(deployment.guarded(LIMITED.format(requests="1/second")), max_retries=1) as api:
        api.messages.create(messages=QUESTION, **ASK)
        asked_at = time.monotonic()
        said: Any = api.messages.create(messages=QUESTION, **ASK)
        assert 0.9 <= time.monotonic() - asked_at <= 8.0
    assert said.content[0].text == ANSWER
    assert len(deployment.model.received) == 2


def test_a_refusal_raises_permission_denied(deployment: Any) -> None:
    """A rule that refuses: the SDK's own exception, whole and streamed, and nothing reaches the model."""
    with client(deployment.guarded(REFUSING)) as api:
        for stream in (False, True):
            with pytest.raises(anthropic.PermissionDeniedError) as refused:
                api.messages.create(messages=QUESTION, stream=stream, model="secret-1", max_tokens=64)
            assert refused.value.response.headers["x-guard-reference"]
        assert deployment.model.received == []
        assert api.messages.create(messages=QUESTION, **ASK).content


@pytest.mark.parametrize(
    "extra", [{"max_tokens": -1}, {"messages": "no list"}, {"metadata": json.loads("[" * 100 + "]" * 100)}]
)
def test_what_guard_cannot_judge_raises_bad_request(deployment: Any, extra: dict[str, Any]) -> None:
    """A negative budget, a malformed conversation, a body nested a hundred deep: 400, and nothing reaches the model."""
    with client(deployment.guarded()) as api, pytest.raises(anthropic.BadRequestError) as refused:
        api.messages.create(messages=QUESTION, extra_body=extra, **ASK)
    assert refused.value.message
    assert deployment.model.received == []


def test_bytes_arrive_as_without_guard(deployment: Any) -> None:
    """The same requests to the bare model and through guard: equal status, content type and bytes, in both directions."""
    bare, guarded = deployment.bare(), deployment.guarded()
    for extra in ({}, {"stream": True}, {"stream": True, "tools": TOOLS}, {"tools": TOOLS}):
        body = json.dumps({**ASK, "messages": QUESTION, **extra}, indent=1).encode()
        headers = {"x-api-key": "sk-e2e", "anthropic-version": "2023-06-01", "content-type": "application/json"}
        answers = [httpx.post(f"{url}/v1/messages", content=body, headers=headers) for url in (bare, guarded)]
        assert answers[0].content == answers[1].content
        assert answers[0].status_code == answers[1].status_code == 200
        assert answers[0].headers["content-type"] == answers[1].headers["content-type"]
        assert deployment.model.received[-1] == deployment.model.received[-2] == body
