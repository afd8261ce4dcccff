"""Degraded exchanges through the official SDKs: nothing breaks, a stream comes to the same as a whole answer, tool loops end."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import openai
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from guard import GuardMiddleware
from tests.e2e.thinker import SEAL, STEPS, THOUGHT, WORDS, Thinker

pytestmark = [pytest.mark.uvicorn, pytest.mark.parametrize("framework", ["starlette"])]

POLICY = """
version = 1
mode = "enforce"
[[rule]]
id = "less"
action = {{ degrade = ["budget", "logprobs", "reasoning"{more}], notice = "{notice}"{options} }}
"""
QUESTION: list[Any] = [{"role": "user", "content": "How far is the moon?"}]
ANSWER = "".join(WORDS)
SCHEMA = {"type": "object", "properties": {"step": {"type": "integer"}}}
CHAT_TOOLS: list[Any] = [{"type": "function", "function": {"name": "look_up", "parameters": SCHEMA}}]
TOOLS: list[Any] = [{"name": "look_up", "input_schema": SCHEMA}]
ITEM_TOOLS: list[Any] = [{"type": "function", "name": "look_up", "parameters": SCHEMA, "strict": False}]
THINKING: Any = {"type": "enabled", "budget_tokens": 2000}


class Place:
    """A thinker behind guard."""

    def __init__(
        self, deployment: Any, *, always: bool, notice: str = "header", more: str = "", options: str = ""
    ) -> None:
        self.model = Thinker(always=always)
        path = deployment.folder / "guard.toml"
        path.write_text(POLICY.format(notice=notice, more=more, options=options))
        self.url = deployment.serve(GuardMiddleware(self.model.app(), policy=path))

    def openai(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="sk-e2e", max_retries=0, timeout=20)

    def anthropic(self) -> anthropic.Anthropic:
        return anthropic.Anthropic(base_url=self.url, api_key="sk-e2e", max_retries=0, timeout=20)


@pytest.fixture(params=[False, True], ids=["obedient", "always thinking"])
def always(request: Any) -> bool:
    return bool(request.param)


@pytest.mark.parametrize("http", ["httptools"])
@pytest.mark.parametrize("notice", ["header", "body", "none"])
class TestOneAnswer:
    """A degraded stream, put together by the SDK, is the degraded whole answer."""

    def test_chat(self, deployment: Any, always: bool, notice: str) -> None:
        """No reasoning and no log-probabilities in either; the model was asked for less."""
        place = Place(deployment, always=always, notice=notice)
        ask: Any = {
            "model": "demo",
            "messages": QUESTION,
            "reasoning_effort": "high",
            "logprobs": True,
            "max_tokens": 4000,
        }
        with place.openai() as api:
            answer = api.chat.completions.with_raw_response.create(**ask, n=3)
            whole = answer.parse()
            with api.chat.completions.stream(**ask, stream_options={"include_usage": True}) as stream:
                streamed = stream.get_final_completion()
        first = whole.choices[0].to_dict()
        assert first["message"] == {"role": "assistant", "content": ANSWER}
        assert first["logprobs"] is None
        assert streamed.choices[0].message.content == ANSWER
        assert streamed.choices[0].logprobs is None
        assert THOUGHT not in streamed.to_json()
        assert streamed.usage == whole.usage
        told, also = (one.to_dict().get("guard") for one in (whole, streamed))
        if notice == "body":
            assert isinstance(told, dict)
            assert isinstance(also, dict)
            assert {**told, "reference": ""} == {**also, "reference": ""}
            assert told["budget"] == 512
        else:
            assert (told, also) == (None, None)
        assert ("x-guard-notice" in answer.headers) == (notice != "none")
        asked = place.model.received[0]
        assert (asked["max_tokens"], asked["n"], asked["reasoning_effort"]) == (512, 1, "low")
        assert "logprobs" not in asked

    def test_messages(self, deployment: Any, always: bool, notice: str) -> None:
        """No thinking block in either, and the blocks after it have moved up."""
        place = Place(deployment, always=always, notice=notice)
        ask: Any = {"model": "demo", "messages": QUESTION, "thinking": THINKING, "max_tokens": 4000}
        with place.anthropic() as api:
            whole = api.messages.create(**ask)
            with api.messages.stream(**ask) as stream:
                streamed = stream.get_final_message()
        assert [block.type for block in whole.content] == ["text"]
        assert [block.to_dict() for block in streamed.content] == [block.to_dict() for block in whole.content]
        assert streamed.usage.output_tokens == whole.usage.output_tokens
        told, also = (one.to_dict().get("guard") for one in (whole, streamed))
        assert (isinstance(told, dict), isinstance(also, dict)) == (notice == "body",) * 2
        assert place.model.received[0]["thinking"] == {"type": "disabled"}
        assert place.model.received[0]["max_tokens"] == 512

    def test_responses(self, deployment: Any, always: bool, notice: str) -> None:
        """The reasoning item stays and says nothing; no log-probabilities."""
        place = Place(deployment, always=always, notice=notice)
        ask: Any = {"model": "demo", "input": "How far is the moon?", "max_output_tokens": 4000}
        ask |= {"reasoning": {"effort": "high", "summary": "auto"}, "top_logprobs": 5}
        ask["include"] = ["message.output_text.logprobs", "reasoning.encrypted_content"]
        with place.openai() as api:
            whole = api.responses.create(**ask)
            with api.responses.stream(**ask) as stream:
                streamed = stream.get_final_response()
        assert whole.output_text == streamed.output_text == ANSWER
        output = whole.to_dict()["output"]
        assert output[0] == {"id": "rs_0", "type": "reasoning", "summary": []}
        assert not output[1]["content"][0]["logprobs"]
        assert json.dumps(streamed.to_dict()["output"]).count(THOUGHT) == 0
        assert streamed.to_dict()["output"][0] == output[0]
        told, also = (one.to_dict().get("guard") for one in (whole, streamed))
        assert (isinstance(told, dict), isinstance(also, dict)) == (notice == "body",) * 2
        asked = place.model.received[0]
        assert asked["max_output_tokens"] == 512
        assert asked["reasoning"] == {"effort": "low"}
        assert asked["include"] == ["reasoning.encrypted_content"]


@pytest.mark.parametrize("streamed", [False, True])
class TestToolLoop:
    """Five steps, degraded at each of them, run to their end, whether or not the model lets itself be told not to think."""

    def test_chat(self, deployment: Any, always: bool, streamed: bool) -> None:
        place = Place(deployment, always=always)
        messages = list(QUESTION)
        steps = []
        ask: Any = {"model": "demo", "tools": CHAT_TOOLS, "reasoning_effort": "high"}
        with place.openai() as api:
            while True:
                if streamed:
                    with api.chat.completions.stream(messages=messages, **ask) as stream:
                        said: Any = stream.get_final_completion().choices[0].message
                else:
                    said = api.chat.completions.create(messages=messages, **ask).choices[0].message
                if not said.tool_calls:
                    break
                # What leads to a call is left, for some servers want it back.
                assert said.to_dict().get("reasoning_content") == (THOUGHT if always else None)
                call = said.tool_calls[0]
                steps.append(json.loads(call.function.arguments)["step"])
                function = {"name": call.function.name, "arguments": call.function.arguments}
                messages.append(
                    {"role": "assistant", "tool_calls": [{"id": call.id, "type": "function", "function": function}]}
                )
                messages.append({"role": "tool", "tool_call_id": call.id, "content": f"found {steps[-1]}"})
        assert steps == list(range(STEPS))
        assert said.content == ANSWER
        assert "reasoning_content" not in said.to_dict()

    def test_messages(self, deployment: Any, always: bool, streamed: bool) -> None:
        place = Place(deployment, always=always)
        said = self.loop(place, list(QUESTION), streamed)
        assert [block.type for block in said.content] == ["text"]

    def test_messages_that_began_with_thinking(self, deployment: Any, always: bool, streamed: bool) -> None:
        """Degraded from its second step on: the thinking block comes back, thinking stays on and is not taken out."""
        place = Place(deployment, always=always)
        first = [
            {"type": "thinking", "thinking": THOUGHT, "signature": SEAL},
            {"type": "tool_use", "id": "toolu_0", "name": "look_up", "input": {"step": 0}},
        ]
        result = {"type": "tool_result", "tool_use_id": "toolu_0", "content": "found 0"}
        messages = [*QUESTION, {"role": "assistant", "content": first}, {"role": "user", "content": [result]}]
        said = self.loop(place, messages, streamed, begun=1)
        assert [block.type for block in said.content] == ["thinking", "text"]
        assert place.model.received[0]["max_tokens"] == 2256

    def loop(self, place: Place, messages: list[Any], streamed: bool, begun: int = 0) -> Any:
        steps = list(range(begun))
        ask: Any = {"model": "demo", "tools": TOOLS, "thinking": THINKING, "max_tokens": 4000}
        with place.anthropic() as api:
            while True:
                if streamed:
                    with api.messages.stream(messages=messages, **ask) as stream:
                        said: Any = stream.get_final_message()
                else:
                    said = api.messages.create(messages=messages, **ask)
                if said.stop_reason != "tool_use":
                    break
                block = said.content[-1]
                steps.append(block.input["step"])
                messages.append({"role": "assistant", "content": said.content})
                result = {"type": "tool_result", "tool_use_id": block.id, "content": f"found {steps[-1]}"}
                messages.append({"role": "user", "content": [result]})
        assert steps == list(range(STEPS))
        return said

    def test_responses(self, deployment: Any, always: bool, streamed: bool) -> None:
        """The reasoning item that the API wants back with each call is there to be given back."""
        place = Place(deployment, always=always)
        items: list[Any] = list(QUESTION)
        steps = []
        ask: Any = {"model": "demo", "tools": ITEM_TOOLS, "reasoning": {"effort": "high", "summary": "auto"}}
        with place.openai() as api:
            while True:
                if streamed:
                    with api.responses.stream(input=items, **ask) as stream:
                        said: Any = stream.get_final_response()
                else:
                    said = api.responses.create(input=items, **ask)
                calls = [item for item in said.output if item.type == "function_call"]
                if not calls:
                    break
                steps.append(json.loads(calls[0].arguments)["step"])
                items += [item.to_dict() for item in said.output]
                items.append({"type": "function_call_output", "call_id": calls[0].call_id, "output": "found"})
        assert steps == list(range(STEPS))
        assert said.output_text == ANSWER


@pytest.mark.parametrize("http", ["h11"])
def test_the_rest_of_the_reductions(deployment: Any) -> None:
    """A cheaper model and an instruction, in each API; the answer names the model that gave it."""
    place = Place(deployment, always=False, more=', "model", "concise"', options=', model = "small"')
    with place.openai() as api:
        assert api.chat.completions.create(model="big", messages=QUESTION).model == "small"
        assert api.responses.create(model="big", input="How far?", instructions="Be kind.").model == "small"
    with place.anthropic() as client:
        assert client.messages.create(model="big", messages=QUESTION, max_tokens=50, system="Be kind.").model == "small"
    chat, response, message = place.model.received
    assert chat["messages"][0]["role"] == "system"
    assert chat["messages"][1:] == QUESTION
    assert response["instructions"].startswith("Be kind.\n\n")
    assert message["system"].startswith("Be kind.\n\n")


RULE = 'version = 1\nmode = "enforce"\n[[rule]]\nid = "rule"\naction = {action}\n'


def served(deployment: Any, action: str, words: list[str] | None = None) -> str:
    """The URL of a model that says these words, one event each, behind a rule."""
    path = deployment.folder / "guard.toml"
    path.write_text(RULE.format(action=action))

    async def chat(request: Request) -> Response:
        async def said() -> AsyncIterator[str]:
            for word in words or WORDS:
                choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
                yield f"data: {json.dumps({'id': 'c', 'object': 'chat.completion.chunk', 'choices': [choice]})}\n\n"
            yield "data: [DONE]\n\n"

        return StreamingResponse(said(), media_type="text/event-stream")

    app = Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])])
    return str(deployment.serve(GuardMiddleware(app, policy=path)))


def sdk(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key="sk-e2e", max_retries=0, timeout=20)


def test_a_paced_stream_holds_its_rate(deployment: Any) -> None:
    """A hundred tokens at fifty a second: two seconds within a tenth as the client sees it, the first word at once."""
    url = served(deployment, '{ degrade = ["pace"], tokens_per_s = 50 }', ["word" for _ in range(100)])
    with sdk(url) as api:
        asked_at = time.monotonic()
        heard = [time.monotonic() for chunk in api.chat.completions.create(model="m", messages=QUESTION, stream=True)]
    assert len(heard) == 100
    assert heard[0] - asked_at < 1.0
    assert 99 / (heard[-1] - heard[0]) == pytest.approx(50, rel=0.1)


def test_a_delayed_answer_comes_whole(deployment: Any) -> None:
    """Half a second later, with the header that says so."""
    with sdk(served(deployment, '{ delay = "500 ms" }')) as api:
        asked_at = time.monotonic()
        answer = api.chat.completions.with_raw_response.create(model="m", messages=QUESTION, stream=True)
        assert 0.5 <= time.monotonic() - asked_at < 8.0
        assert answer.headers["x-guard-notice"] == "delay=0.5"
        assert "".join(chunk.choices[0].delta.content or "" for chunk in answer.parse()) == ANSWER


def test_a_challenge_raises_permission_denied_with_the_address(deployment: Any) -> None:
    """The SDK's own exception, and its message says where to go."""
    with (
        sdk(served(deployment, '{ challenge = "https://example.org/verify" }')) as api,
        pytest.raises(openai.PermissionDeniedError, match=r"https://example\.org/verify"),
    ):
        api.chat.completions.create(model="m", messages=QUESTION)
