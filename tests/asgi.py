"""Drives an ASGI app message by message: to cut a stream in its middle one has to be the server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

Message = dict[str, Any]


def http_scope(
    path: str = "/v1/chat/completions", method: str = "POST", headers: Iterable[tuple[str, str]] = (), **more: Any
) -> Message:
    """An HTTP scope as uvicorn makes it, from a client on the documentation network."""
    pairs = [("content-type", "application/json"), *headers]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("utf-8", "replace"),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in pairs],
        "client": ("192.0.2.1", 40000),
        "server": ("127.0.0.1", 8000),
        "state": {},
        "extensions": {},
        **more,
    }


class Connection:
    """One request to an app. ``chunks`` are its body as it arrives; ``sent`` what the app sent."""

    def __init__(self, app: Any, scope: Message, chunks: Iterable[bytes] = (b"",)) -> None:
        self.app = app
        self.scope = scope
        self.sent: list[Message] = []
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        bodies = list(chunks)
        for index, body in enumerate(bodies):
            self._inbox.put_nowait({"type": "http.request", "body": body, "more_body": index < len(bodies) - 1})

    def disconnect(self) -> None:
        """The client leaves: the next ``receive`` tells the app."""
        self._inbox.put_nowait({"type": "http.disconnect"})

    async def receive(self) -> Message:
        return await self._inbox.get()

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def run(self) -> Connection:
        await self.app(self.scope, self.receive, self.send)
        return self

    @property
    def status(self) -> int:
        return int(next(m["status"] for m in self.sent if m["type"] == "http.response.start"))

    @property
    def headers(self) -> dict[str, str]:
        start = next(m for m in self.sent if m["type"] == "http.response.start")
        return {name.decode(): value.decode() for name, value in start["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(m.get("body", b"") for m in self.sent if m["type"] == "http.response.body")
