"""A Starlette app that sends on with aiohttp itself."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

LABEL = "Starlette + aiohttp"
PINS: list[str] = []
_SKIPPED = {b"host", b"content-length", b"connection", b"transfer-encoding", b"date", b"server"}


def command(interpreter: Path, upstream: str, port: int, folder: Path) -> list[str]:
    from gateways.starlette_same_client import uvicorn

    return uvicorn(interpreter, "starlette_aiohttp:app", port)


def app() -> Any:
    import aiohttp
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response, StreamingResponse
    from starlette.routing import Route

    upstream = os.environ["BENCH_UPSTREAM"]
    sessions: list[aiohttp.ClientSession] = []

    async def forward(request: Request) -> Response:
        if not sessions:
            sessions.append(aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout(None)))
        headers = {
            name.decode(): value.decode("latin-1") for name, value in request.headers.raw if name not in _SKIPPED
        }
        answer = await sessions[0].post(upstream + request.url.path, headers=headers, data=await request.body())

        async def chunks() -> AsyncIterator[bytes]:
            async with answer:
                async for chunk in answer.content.iter_any():
                    yield chunk

        kept = {name: value for name, value in answer.headers.items() if name.lower().encode() not in _SKIPPED}
        return StreamingResponse(chunks(), answer.status, kept)

    return Starlette(routes=[Route("/{path:path}", forward, methods=["POST"])])
