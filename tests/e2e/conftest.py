"""A scripted model endpoint and a real uvicorn in front of it, for the tests with the official SDKs.

The model is deterministic, so that two runs can be compared byte for byte. The server runs in a thread of this process, so
that a test sees what reached the model.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from guard import GuardMiddleware

STEPS = 5
OPENAI, ANTHROPIC = "/v1/chat/completions", "/v1/messages"
ROOMY = """
version = 1
mode = "enforce"
[[limit]]
id = "roomy"
per = ["account"]
requests = "1000/minute"
tokens = "10000000/day"
concurrent = 8
"""


class Model:
    """Speaks OpenAI chat and Anthropic messages.

    Given tools it calls ``look_up`` until ``STEPS`` results stand in the conversation, and then answers; it remembers every
    body that reached it.
    """

    def __init__(self) -> None:
        self.received: list[bytes] = []

    def starlette(self) -> Starlette:
        handlers = ((OPENAI, self.chat), (ANTHROPIC, self.messages))
        return Starlette(routes=[Route(path, handler, methods=["POST"]) for path, handler in handlers])

    def fastapi(self) -> FastAPI:
        app = FastAPI()
        app.add_api_route(OPENAI, self.chat, methods=["POST"], response_model=None)
        app.add_api_route(ANTHROPIC, self.messages, methods=["POST"], response_model=None)
        return app

    async def chat(self, request: Request) -> Response:
        self.received.append(await request.body())
        asked = json.loads(self.received[-1])
        frame = {"id": "chatcmpl-1", "created": 1_790_000_000, "model": asked["model"]}
        results = sum(message["role"] == "tool" for message in asked["messages"])
        calls = bool(asked.get("tools")) and results < STEPS
        text = answer(asked["messages"])
        usage = {"prompt_tokens": 7, "completion_tokens": len(text.split()), "total_tokens": 7 + len(text.split())}
        function = {"name": "look_up", "arguments": json.dumps({"step": results})}
        call = {"id": f"call_{results}", "type": "function", "function": function}
        end = "tool_calls" if calls else "stop"
        if not asked.get("stream"):
            message = {"role": "assistant", "content": None if calls else text}
            if calls:
                message["tool_calls"] = [call]
            choice = {"index": 0, "message": message, "finish_reason": end}
            return JSONResponse({**frame, "object": "chat.completion", "choices": [choice], "usage": usage})
        deltas: list[dict[str, Any]] = [{"role": "assistant"}]
        if calls:
            deltas.append({"tool_calls": [{"index": 0, **call, "function": {"name": "look_up", "arguments": ""}}]})
            deltas += [
                {"tool_calls": [{"index": 0, "function": {"arguments": part}}]}
                for part in halves(function["arguments"])
            ]
        else:
            deltas += [{"content": part} for part in parts(text)]
        frame = {**frame, "object": "chat.completion.chunk"}
        choices = [[{"index": 0, "delta": delta, "finish_reason": None}] for delta in deltas]
        choices.append([{"index": 0, "delta": {}, "finish_reason": end}])
        chunks = [{**frame, "choices": choice} for choice in choices]
        if (asked.get("stream_options") or {}).get("include_usage"):
            chunks.append({**frame, "choices": [], "usage": usage})
        return stream([f"data: {json.dumps(chunk)}\n\n" for chunk in chunks] + ["data: [DONE]\n\n"])

    async def messages(self, request: Request) -> Response:
        self.received.append(await request.body())
        asked = json.loads(self.received[-1])
        blocks = [block for message in asked["messages"] for block in message["content"] if isinstance(block, dict)]
        results = sum(block["type"] == "tool_result" for block in blocks)
        calls = bool(asked.get("tools")) and results < STEPS
        text = answer(asked["messages"])
        frame = {"id": "msg_1", "type": "message", "role": "assistant", "model": asked["model"], "stop_sequence": None}
        usage = {"input_tokens": 7, "output_tokens": len(text.split())}
        end = "tool_use" if calls else "end_turn"
        tool = {"type": "tool_use", "id": f"toolu_{results}", "name": "look_up"}
        if not asked.get("stream"):
            content = [{**tool, "input": {"step": results}} if calls else {"type": "text", "text": text}]
            return JSONResponse({**frame, "content": content, "stop_reason": end, "usage": usage})
        block: dict[str, Any] = {**tool, "input": {}} if calls else {"type": "text", "text": ""}
        deltas = [{"type": "text_delta", "text": part} for part in parts(text)]
        if calls:
            deltas = [
                {"type": "input_json_delta", "partial_json": part} for part in halves(json.dumps({"step": results}))
            ]
        start = {**frame, "content": [], "stop_reason": None, "usage": {"input_tokens": 7, "output_tokens": 1}}
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": start},
            {"type": "content_block_start", "index": 0, "content_block": block},
            {"type": "ping"},
            *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
            {"type": "content_block_stop", "index": 0},
            {
                "type": "message_delta",
                "delta": {"stop_reason": end, "stop_sequence": None},
                "usage": {"output_tokens": usage["output_tokens"]},
            },
            {"type": "message_stop"},
        ]
        return stream([f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events])


def answer(messages: list[dict[str, Any]]) -> str:
    """What the model says: how long the conversation is."""
    return f"message {len(messages)} read: äöü 漢字 🙂 and so on"


def parts(text: str) -> list[str]:
    words = text.split(" ")
    return [words[0], *(f" {word}" for word in words[1:])]


def halves(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


def stream(events: list[str]) -> Response:
    async def body() -> AsyncIterator[str]:
        for event in events:
            yield event

    return StreamingResponse(body(), media_type="text/event-stream")


class Deployment:
    """One combination of framework and HTTP parser; starts servers that are ended with the test."""

    def __init__(self, framework: str, http: str, folder: Path) -> None:
        self.framework = framework
        self.http = http
        self.folder = folder
        self.model = Model()
        self._running: list[tuple[uvicorn.Server, threading.Thread, socket.socket]] = []

    def bare(self) -> str:
        """The URL of the model without guard."""
        return self.serve(self.model.starlette() if self.framework == "starlette" else self.model.fastapi())

    def guarded(self, policy: str = ROOMY) -> str:
        """The URL of the model with guard round it, set up as the framework's users do, from a policy file."""
        path = self.folder / "guard.toml"
        path.write_text(policy)
        if self.framework == "starlette":
            return self.serve(GuardMiddleware(self.model.starlette(), policy=path))
        app = self.model.fastapi()
        app.add_middleware(GuardMiddleware, policy=path)
        return self.serve(app)

    def serve(self, app: ASGIApp) -> str:
        """The URL of any app. The socket listens before the server does, so nobody need wait for it."""
        listener = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, http=self.http, log_level="warning", timeout_graceful_shutdown=2))
        # A daemon, so that a server that does not end fails its test and nothing else.
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        self._running.append((server, thread, listener))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    def close(self) -> None:
        for server, _, _ in self._running:
            server.should_exit = True
        for _, thread, listener in self._running:
            thread.join(10)
            listener.close()
            assert not thread.is_alive()


@pytest.fixture(params=["starlette", "fastapi"])
def framework(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["h11", "httptools"])
def http(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def deployment(framework: str, http: str, tmp_path: Path) -> Iterator[Deployment]:
    running = Deployment(framework, http, tmp_path)
    yield running
    running.close()


@pytest.fixture
def behind(http: str, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Serves any app with guard round it, under each HTTP parser: (app, policy) → URL."""
    running = Deployment("starlette", http, tmp_path)

    def serve(app: ASGIApp, policy: str = ROOMY) -> str:
        path = tmp_path / "guard.toml"
        path.write_text(policy)
        return running.serve(GuardMiddleware(app, policy=path))

    yield serve
    running.close()
