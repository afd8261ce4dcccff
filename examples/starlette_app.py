"""guard round a Starlette app that speaks OpenAI chat.

    uvicorn --app-dir examples starlette_app:app

The endpoint is a stand-in for a model: it repeats the last message, word by word, as JSON or as a stream.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from guard import GuardMiddleware


async def chat(request: Request) -> Response:
    asked = await request.json()
    words = str(asked["messages"][-1]["content"]).split()
    answer = {"id": "chatcmpl-1", "created": 0, "model": asked["model"]}
    if asked.get("stream"):
        return StreamingResponse(events(answer, words), media_type="text/event-stream")
    choice = {"index": 0, "message": {"role": "assistant", "content": " ".join(words)}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": len(words), "total_tokens": 10 + len(words)}
    return JSONResponse({**answer, "object": "chat.completion", "choices": [choice], "usage": usage})


async def events(answer: dict[str, object], words: list[str]) -> AsyncIterator[str]:
    for number, word in enumerate(words):
        delta = {"content": word if number == 0 else f" {word}"}
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        yield f"data: {json.dumps({**answer, 'object': 'chat.completion.chunk', 'choices': [choice]})}\n\n"
    yield "data: [DONE]\n\n"


async def health(request: Request) -> Response:
    """Not a model's route, so guard lets it pass unjudged."""
    return JSONResponse({"status": "fine"})


routes = [Route("/v1/chat/completions", chat, methods=["POST"]), Route("/health", health)]
app = GuardMiddleware(Starlette(routes=routes), policy=Path(__file__).with_name("guard.toml"))
