"""Streams through guard on a real server: nothing is held back, and a client that leaves ends the work."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from guard import GuardMiddleware

pytestmark = pytest.mark.uvicorn
PATIENCE_S = 10


class Paced:
    """A model that says its second word only after the test has heard the first, and notes how its stream ended."""

    def __init__(self) -> None:
        self.heard = threading.Event()
        self.ended = threading.Event()
        self.whole = False

    async def chat(self, request: Request) -> Response:
        async def events() -> AsyncIterator[str]:
            try:
                yield event("one")
                while not self.heard.is_set():
                    await asyncio.sleep(0.005)
                yield event("two")
                yield "data: [DONE]\n\n"
                self.whole = True
            finally:
                self.ended.set()

        return StreamingResponse(events(), media_type="text/event-stream")


def event(word: str) -> str:
    choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
    return f"data: {json.dumps({'id': '1', 'object': 'chat.completion.chunk', 'choices': [choice]})}\n\n"


def stream(url: str) -> Any:
    body = {"model": "demo", "messages": [{"role": "user", "content": "hello"}], "stream": True}
    headers = {"authorization": "Bearer sk-e2e"}
    return httpx.stream("POST", f"{url}/v1/chat/completions", json=body, headers=headers, timeout=PATIENCE_S)


@pytest.fixture
def paced(deployment: Any, tmp_path: Any) -> Any:
    """(the paced model, the URL where guard stands before it)"""
    policy = tmp_path / "guard.toml"
    policy.write_text('version = 1\nmode = "enforce"\n')
    model = Paced()
    routes = [Route("/v1/chat/completions", model.chat, methods=["POST"])]
    return model, deployment.serve(GuardMiddleware(Starlette(routes=routes), policy=policy))


@pytest.mark.parametrize("framework", ["starlette"])
def test_the_first_byte_is_not_held_back(paced: Any) -> None:
    """The first event is read while the model still waits with the second: guard keeps nothing to itself."""
    model, url = paced
    with stream(url) as answer:
        chunks = answer.iter_raw()
        assert next(chunks) == event("one").encode()
        assert not model.ended.is_set()
        model.heard.set()
        assert b"".join(chunks) == (event("two") + "data: [DONE]\n\n").encode()
    assert model.ended.wait(PATIENCE_S)
    assert model.whole


@pytest.mark.parametrize("framework", ["starlette"])
def test_a_client_that_leaves_ends_the_models_work(paced: Any) -> None:
    """The model's stream is closed soon after the client has gone, as it is without guard."""
    model, url = paced
    with stream(url) as answer:
        next(answer.iter_raw())
    assert model.ended.wait(PATIENCE_S)
    assert not model.whole
