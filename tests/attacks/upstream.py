"""The model endpoint behind guard in these tests: it remembers what reached it and answers as a header of the request asks.

``x-play`` holds a JSON object; every member is optional:

    status       of the answer (200)
    usage        the reported usage of a JSON answer; null: it reports none
    body         the whole body, as text, instead of an answer of its own
    events       that many SSE events of ``event_bytes`` characters (1 token for four), then ``[DONE]``
    report       usage to report in a last event
    raw          the events as hex digits of bytes, a list of chunks
    hold         wait for ``POST /release`` before answering; with ``hold_at`` n: after n events
    pause_s      wait that long before answering
    crash        raise RuntimeError, before the answer or, with ``hold_at`` n, after n events
    compress     the answer's events are compressed with gzip

``GET /seen`` tells what reached it; it isn't protected.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, NamedTuple

Message = dict[str, Any]
REPORT = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


class Received(NamedTuple):
    """One request as it reached the endpoint."""

    path: str
    headers: list[tuple[bytes, bytes]]
    body: bytes
    client: Any


class Upstream:
    """See the module. ``keep`` False: bodies are hashed and forgotten, for measuring memory."""

    def __init__(self, *, keep: bool = True) -> None:
        self.keep = keep
        self.calls: list[Received] = []
        self.count = 0
        self.running = 0
        self.events_sent = 0
        self.wrong_keys: frozenset[bytes] = frozenset()
        self._gate = asyncio.Event()

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["path"] == "/seen":
            seen = {"count": self.count, "running": self.running, "events_sent": self.events_sent}
            await _json(send, 200, seen)
        elif scope["path"] == "/release":
            gate, self._gate = self._gate, asyncio.Event()
            gate.set()
            await _json(send, 200, {})
        else:
            self.count += 1
            self.running += 1
            try:
                await self._answer(scope, receive, send)
            finally:
                self.running -= 1

    async def _answer(self, scope: Message, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = [(bytes(name), bytes(value)) for name, value in scope["headers"]]
        if self.keep:
            self.calls.append(Received(scope["path"], headers, body, scope["client"]))
        play = json.loads(dict(headers).get(b"x-play", b"{}"))
        if dict(headers).get(b"authorization", b"") in self.wrong_keys:
            play = {"status": 401, "body": '{"error":{"message":"no"}}'}
        if "pause_s" in play:
            await asyncio.sleep(play["pause_s"])
        if play.get("hold") and "hold_at" not in play:
            await _either(self._gate.wait(), _left(receive))
        if play.get("crash") and "hold_at" not in play:
            raise RuntimeError("the endpoint broke")
        got = (b"x-got", sha256(body).hexdigest().encode())
        if "events" in play or "raw" in play:
            await self._stream(play, got, receive, send)
            return
        usage = play.get("usage", REPORT)
        answer = {"choices": [{"message": {"role": "assistant", "content": "hi there"}}]} | (
            {"usage": usage} if usage else {}
        )
        await _json(send, play.get("status", 200), play.get("body", answer), got)

    async def _stream(self, play: Message, got: tuple[bytes, bytes], receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/event-stream"), got]
        squeeze = zlib.compressobj(wbits=31) if play.get("compress") else None
        if squeeze is not None:
            headers.append((b"content-encoding", b"gzip"))
        await send({"type": "http.response.start", "status": play.get("status", 200), "headers": headers})
        for number, chunk in enumerate(_events(play)):
            if number == play.get("hold_at", -1):
                if play.get("crash"):
                    raise RuntimeError("the endpoint broke")
                if await _either(self._gate.wait(), _left(receive)):
                    return
            if squeeze is not None:
                chunk = squeeze.compress(chunk) + squeeze.flush(zlib.Z_SYNC_FLUSH)
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            self.events_sent += 1
        await send({"type": "http.response.body", "body": b"" if squeeze is None else squeeze.flush()})


def _events(play: Message) -> Iterator[bytes]:
    for chunk in play.get("raw", ()):
        yield bytes.fromhex(chunk)
    if "raw" in play:
        return
    word = "w" * int(play.get("event_bytes", 4))
    for _ in range(play["events"]):
        yield b"data: %b\n\n" % json.dumps({"choices": [{"delta": {"content": word}}]}).encode()
    if "report" in play:
        yield b"data: %b\n\n" % json.dumps({"choices": [], "usage": play["report"]}).encode()
    yield b"data: [DONE]\n\n"


async def _left(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _either(go_on: Any, left: Any) -> bool:
    """Waits for the first of both; True where the client has left."""
    tasks = [asyncio.ensure_future(go_on), asyncio.ensure_future(left)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return not tasks[0].done()
    finally:
        for task in tasks:
            task.cancel()


async def _json(send: Any, status: int, answer: Any, *headers: tuple[bytes, bytes]) -> None:
    body = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
    start = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return
