"""The bare apps that everything is measured against: the same chat endpoint on Starlette and on FastAPI.

Both parse the body with the standard library's ``json`` and answer 1 KB of JSON, or server-sent events of the number that
the request's ``X-Chunks`` header names (a header, so that bodies stay plain chat requests).
"""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from functools import cache
from itertools import count
from typing import Any

import traffic

ASGIApp = Callable[..., Any]
_turn = count().__next__
_json_answers = cache(traffic.json_answers)
_sse_answers = cache(traffic.sse_answers)


async def _events(events: Sequence[bytes]) -> AsyncIterator[bytes]:
    for event in events:
        yield event


async def chat(request: Any) -> Any:
    from starlette.responses import Response, StreamingResponse

    asked = json.loads(await request.body())
    if asked["stream"]:
        streams = _sse_answers(int(request.headers["x-chunks"]))
        return StreamingResponse(_events(streams[_turn() % len(streams)]), media_type="text/event-stream")
    answers = _json_answers()
    return Response(answers[_turn() % len(answers)], media_type="application/json")


def starlette_app() -> ASGIApp:
    from starlette.applications import Starlette
    from starlette.routing import Route

    return Starlette(routes=[Route(traffic.PATH, chat, methods=["POST"])])


def fastapi_app(dependencies: Sequence[Any] = ()) -> ASGIApp:
    from fastapi import FastAPI, Request, Response

    app = FastAPI(openapi_url=None)

    @app.post(traffic.PATH, dependencies=list(dependencies), response_model=None)
    async def fastapi_chat(request: Request) -> Response:
        answer: Response = await chat(request)
        return answer

    return app


FRAMEWORKS: dict[str, Callable[..., ASGIApp]] = {"starlette": starlette_app, "fastapi": fastapi_app}
