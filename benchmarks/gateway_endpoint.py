"""The endpoint behind every gateway: a bare protocol that answers chat requests at next to no cost.

``python gateway_endpoint.py PACE_S`` prints its port. A request with ``"stream":true`` gets as many server-sent events as its
``max_tokens`` says, one every ``PACE_S`` seconds; any other 1 KB of JSON.
"""

from __future__ import annotations

import asyncio
import re
import sys
from functools import cache
from itertools import count
from typing import cast

import traffic

_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
_STREAM = re.compile(rb'"stream":\s*true')
_CHUNKS = re.compile(rb'"max_tokens":\s*(\d+)')
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\n%b\r\n\r\n"
_turn = count().__next__
_events = cache(traffic.sse_answers)


@cache
def _answers() -> list[bytes]:
    return [_HEAD % (b"application/json", b"content-length: %d" % len(body)) + body for body in traffic.json_answers()]


class Endpoint(asyncio.Protocol):
    """One connection."""

    def __init__(self, pace_s: float) -> None:
        self.pace_s = pace_s
        self.heard = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.heard += data
        head, blank, body = self.heard.partition(b"\r\n\r\n")
        if not blank:
            return
        stated = _LENGTH.search(head)
        length = int(stated[1]) if stated else 0
        if len(body) < length:
            return
        self.heard = body[length:]
        if not _STREAM.search(body):
            answers = _answers()
            self.transport.write(answers[_turn() % len(answers)])
            return
        asked = _CHUNKS.search(body)
        streams = _events(int(asked[1]) if asked else 10)
        self.transport.write(_HEAD % (b"text/event-stream", b"transfer-encoding: chunked"))
        self._send(iter(streams[_turn() % len(streams)]))

    def _send(self, events) -> None:  # type: ignore[no-untyped-def]
        event = next(events, b"")
        self.transport.write(b"%x\r\n%b\r\n" % (len(event), event))
        if event and not self.transport.is_closing():
            asyncio.get_running_loop().call_later(self.pace_s, self._send, events)


async def main() -> None:
    pace_s = float(sys.argv[1])
    server = await asyncio.get_running_loop().create_server(lambda: Endpoint(pace_s), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
