"""The app that each limiter of ``faults.py`` stands before: a model endpoint that answers at once, and a route of its health."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from typing import Any

PATH, HEALTH = "/v1/chat/completions", "/health"
LIMIT, WINDOW_S = 300, 60
_ANSWER = b'{"id":"chatcmpl-1","object":"chat.completion","created":1790000000,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"yes"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10}}'


def store() -> str:
    """The address of the store that all replicas share."""
    return os.environ["FAULTS_STORE"]


def replicas() -> int:
    return int(os.environ["FAULTS_REPLICAS"])


def starlette_app(middleware: Sequence[Any] = ()) -> Any:
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route

    async def chat(request: Any) -> Any:
        await request.body()
        return Response(_ANSWER, media_type="application/json")

    async def health(request: Any) -> Any:
        if not gc.get_freeze_count():
            # Whatever the limiter, a full collection of garbage stops a server for some 50 ms now and then: no fault of the store's,
            # and no more than a tenth of that once what it has loaded is left out.
            gc.collect()
            gc.freeze()
        return Response(b"ok")

    routes = [Route(PATH, chat, methods=["POST"]), Route(HEALTH, health)]
    return Starlette(routes=routes, middleware=list(middleware))
