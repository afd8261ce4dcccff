"""A small stand-in for a model endpoint: OpenAI chat completions and Anthropic messages, as JSON and as a stream, with tools.

    app = endpoint()                                            # any Starlette app
    app = endpoint(credentials=frozenset({"sk-demo-1"}), pace_s=0.02)

It is deterministic: the same request gets the same answer, from canned text chosen by the last thing said. Where tools are
given and the last message brings no tool's result, it calls the first tool. Used by the demo, the tests and the benchmarks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from guard.demo.anthropic_messages import ANTHROPIC_MESSAGES
from guard.demo.canned import Dialect, answer
from guard.demo.openai_chat import OPENAI_CHAT

OPENAI_PATH = "/v1/chat/completions"
ANTHROPIC_PATH = "/v1/messages"


def endpoint(*, credentials: frozenset[str] | None = None, pace_s: float = 0.0) -> Starlette:
    """The endpoint as a Starlette app.

    ``credentials``: who may ask; anybody else, and nobody, gets a 401 in the API's own shape (None: everybody may).
    ``pace_s``: how long each chunk of a stream waits for the one before.
    """

    def serve(dialect: Dialect) -> Callable[[Request], Any]:
        async def served(request: Request) -> Response:
            if credentials is not None and _credential(request) not in credentials:
                return _json(dialect.error("authentication_error", "That credential is not known here."), 401)
            try:
                asked = orjson.loads(await request.body())
                said = answer(asked, dialect.said(asked))
                if not said.stream:
                    return _json(dialect.whole(asked, said))
                return StreamingResponse(_paced(dialect.events(asked, said), pace_s), media_type="text/event-stream")
            except (KeyError, TypeError, ValueError, AttributeError, IndexError):
                return _json(dialect.error("invalid_request_error", "That is no request of this API."), 400)

        return served

    return Starlette(
        routes=[
            Route(OPENAI_PATH, serve(OPENAI_CHAT), methods=["POST"]),
            Route(ANTHROPIC_PATH, serve(ANTHROPIC_MESSAGES), methods=["POST"]),
        ]
    )


def _credential(request: Request) -> str:
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "")


def _json(payload: object, status: int = 200) -> Response:
    return Response(orjson.dumps(payload), status, media_type="application/json")


async def _paced(events: Iterable[bytes], pace_s: float) -> AsyncIterator[bytes]:
    for place, event in enumerate(events):
        if pace_s and place:
            await asyncio.sleep(pace_s)
        yield event
