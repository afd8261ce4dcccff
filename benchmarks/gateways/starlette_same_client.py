"""The least a Starlette app can do with the client that guard uses: httpx over aiohttp. No checks, no timeouts of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

LABEL = "Starlette + httpx over aiohttp"
PINS: list[str] = []
_SKIPPED = {b"host", b"content-length", b"connection", b"transfer-encoding", b"date", b"server"}


def command(interpreter: Path, upstream: str, port: int, folder: Path) -> list[str]:
    return uvicorn(interpreter, "starlette_same_client:app", port)


def uvicorn(interpreter: Path, app: str, port: int) -> list[str]:
    """As `guard serve` runs it."""
    options = ["--no-proxy-headers", "--no-server-header", "--no-access-log", "--ws", "none", "--log-level", "warning"]
    folder = ["--app-dir", str(Path(__file__).parent), "--factory"]
    return [str(interpreter), "-m", "uvicorn", *folder, *options, "--host", "127.0.0.1", "--port", str(port), app]


def app() -> Any:
    import httpx
    from httpx_aiohttp import AiohttpTransport
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.requests import Request
    from starlette.responses import Response, StreamingResponse
    from starlette.routing import Route

    upstream = os.environ["BENCH_UPSTREAM"]
    client = httpx.AsyncClient(transport=AiohttpTransport(), timeout=600.0, trust_env=False)

    async def forward(request: Request) -> Response:
        headers = [pair for pair in request.headers.raw if pair[0] not in _SKIPPED]
        sent = client.build_request("POST", upstream + request.url.path, headers=headers, content=await request.body())
        answer = await client.send(sent, stream=True)
        kept = {name: value for name, value in answer.headers.items() if name.encode() not in _SKIPPED}
        return StreamingResponse(answer.aiter_raw(), answer.status_code, kept, background=BackgroundTask(answer.aclose))

    return Starlette(routes=[Route("/{path:path}", forward, methods=["POST"])])
