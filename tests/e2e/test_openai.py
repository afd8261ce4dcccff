"""The official, unmodified OpenAI client through guard: what works without guard works with it, and a no is the SDK's own."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import openai
import pytest

pytestmark = pytest.mark.uvicorn

STEPS = 5
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "look_up",
            "description": "Looks a thing up.",
            "parameters": {"type": "object", "properties": {"step": {"type": "integer"}}},
        },
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


def client(url: str, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key="sk-e2e", **{"max_retries": 0, "timeout": 20, **options})


def async_client(url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="sk-e2e", max_retries=0, timeout=20)


def test_an_answer_arrives_whole_and_as_a_stream(deployment: Any) -> None:
    """The sync client reads the same text either way, and the usage that the model reported."""
    with client(deployment.guarded()) as api:
        whole = api.chat.completions.create(model="demo", messages=QUESTION, max_tokens=50)
        assert whole.choices[0].message.content == ANSWER
        assert whole.usage is not None
        assert whole.usage.completion_tokens == len(ANSWER.split())
        stream = api.chat.completions.create(
            model="demo", messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == ANSWER
        assert chunks[-1].usage == whole.usage


@pytest.mark.anyio
async def test_the_async_client_reads_the_same(deployment: Any) -> None:
    """Likewise for the async client, whole and streamed."""
    async with async_client(deployment.guarded()) as api:
        whole = await api.chat.completions.create(model="demo", messages=QUESTION)
        assert whole.choices[0].message.content == ANSWER
        stream = await api.chat.completions.create(model="demo", messages=QUESTION, stream=True)
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == ANSWER


@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_loop_of_five_steps_runs_to_its_end(deployment: Any, streamed: bool) -> None:
    """Each call's arguments arrive, each result goes back, and the last answer is text."""
    messages = list(QUESTION)
    steps = []
    with client(deployment.guarded()) as api:
        while True:
            if streamed:
                with api.chat.completions.stream(model="demo", messages=messages, tools=TOOLS) as stream:
                    said = stream.get_final_completion().choices[0].message
            else:
                said = api.chat.completions.create(model="demo", messages=messages, tools=TOOLS).choices[0].message
            if not said.tool_calls:
                break
            call: Any = said.tool_calls[0]
            steps.append(json.loads(call.function.arguments)["step"])
            messages.append(
                {
                    "role": "assistant",
                    "tool_calls": [
                        {
                            "id": call.id,
                            "type": "function",
                            "function": {"name": call.function.name, "arguments": call.function.arguments},
                        }
                    ],
                }
            )
            messages.append({"role": "tool", "tool_call_id": call.id, "content": f"found {steps[-1]}"})
    assert steps == list(range(STEPS))
    assert said.content == f"message {1 + 2 * STEPS} read: äöü 漢字 🙂 and so on"


def test_a_conversation_of_sixty_turns(deployment: Any) -> None:
    """Each turn is sent with all before it; none is held up or changed, and the model sees every byte of the client's."""
    messages: list[Any] = []
    with client(deployment.guarded()) as api:
        for turn in range(60):
            messages.append({"role": "user", "content": f"question {turn}"})
            said = api.chat.completions.create(model="demo", messages=messages).choices[0].message.content
            assert said == f"message {2 * turn + 1} read: äöü 漢字 🙂 and so on"
            messages.append({"role": "assistant", "content": said})
    assert len(deployment.model.received) == 60
    assert json.loads(deployment.model.received[-1])["messages"] == messages[:-1]


def test_a_spent_limit_raises_rate_limit_error(deployment: Any) -> None:
    """The third request of two a minute: the SDK's own exception, how long to wait, and which limit; the model sees two."""
    with client(deployment.guarded(LIMITED.format(requests="2/minute"))) as api:
        for _ in range(2):
            api.chat.completions.create(model="demo", messages=QUESTION)
        for stream in (False, True):
            with pytest.raises(openai.RateLimitError) as limited:
                api.chat.completions.create(model="demo", messages=QUESTION, stream=stream)
            assert 1 <= int(limited.value.response.headers["retry-after"]) <= 60
            assert limited.value.response.headers["x-guard-reference"]
            assert "tight" in str(limited.value.body)
    assert len(deployment.model.received) == 2


@pytest.mark.anyio
async def test_a_spent_limit_raises_it_in_the_async_client_too(deployment: Any) -> None:
    """The async client raises the same exception."""
    async with async_client(deployment.guarded(LIMITED.format(requests="1/minute"))) as api:
        await api.chat.completions.create(model="demo", messages=QUESTION)
        with pytest.raises(openai.RateLimitError):
            await api.chat.completions.create(model="demo", messages=QUESTION)


def test_the_client_waits_as_long_as_it_is_told_and_goes_on(deployment: Any) -> None:
    """With a retry allowed the SDK honours Retry-After (at most two seconds) and its second try is answered."""
    with client(deployment.guarded(LIMITED.format(requests="1/second")), max_retries=1) as api:
        api.chat.completions.create(model="demo", messages=QUESTION)
        asked_at = time.monotonic()
        said = api.chat.completions.create(model="demo", messages=QUESTION)
        assert 0.9 <= time.monotonic() - asked_at <= 8.0
    assert said.choices[0].message.content == ANSWER
    assert len(deployment.model.received) == 2


def test_a_refusal_raises_permission_denied(deployment: Any) -> None:
    """A rule that refuses: the SDK's own exception, whole and streamed, and nothing reaches the model."""
    with client(deployment.guarded(REFUSING)) as api:
        for stream in (False, True):
            with pytest.raises(openai.PermissionDeniedError) as refused:
                api.chat.completions.create(model="secret-1", messages=QUESTION, stream=stream)
            assert refused.value.response.headers["x-guard-reference"]
        assert deployment.model.received == []
        assert api.chat.completions.create(model="demo", messages=QUESTION).choices


@pytest.mark.parametrize(
    "extra", [{"max_tokens": -1}, {"messages": "no list"}, {"metadata": json.loads("[" * 100 + "]" * 100)}]
)
def test_what_guard_cannot_judge_raises_bad_request(deployment: Any, extra: dict[str, Any]) -> None:
    """A negative budget, a malformed conversation, a body nested a hundred deep: 400, and nothing reaches the model."""
    with client(deployment.guarded()) as api, pytest.raises(openai.BadRequestError) as refused:
        api.chat.completions.create(model="demo", messages=QUESTION, extra_body=extra)
    assert refused.value.message
    assert deployment.model.received == []


def test_bytes_arrive_as_without_guard(deployment: Any) -> None:
    """The same requests to the bare model and through guard: equal status, headers of the app and bytes, in both ways."""
    bare, guarded = deployment.bare(), deployment.guarded()
    for extra in ({}, {"stream": True}, {"stream": True, "tools": TOOLS}, {"tools": TOOLS}):
        body = json.dumps({"model": "demo", "messages": QUESTION, **extra}, indent=1).encode()
        answers = [
            httpx.post(
                f"{url}/v1/chat/completions",
                content=body,
                headers={"authorization": "Bearer sk-e2e", "content-type": "application/json"},
            )
            for url in (bare, guarded)
        ]
        assert answers[0].content == answers[1].content
        assert answers[0].status_code == answers[1].status_code == 200
        assert answers[0].headers["content-type"] == answers[1].headers["content-type"]
        assert deployment.model.received[-1] == deployment.model.received[-2] == body
