"""A TCP proxy that does what networks and dying servers do: late, slow, lost and reset connections, switched while it runs.

    with Proxy(server_port) as proxy:        # clients connect to 127.0.0.1:proxy.port
        proxy.fault = Fault(delay_s=0.2, share=0.01)

It runs in a thread with a loop of its own, so that tests and benchmarks, with a loop or without, use it alike. With ``tls``
(a server's context) clients speak TLS to it and it speaks plain to the server: for servers that are built without.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import ssl
import struct
import threading
from typing import NamedTuple

HOST = "127.0.0.1"
READ_BYTES = 65_536


class Fault(NamedTuple):
    """What happens to what passes. A piece is what the server has sent at once: a reply, or the replies of a pipeline."""

    delay_s: float = 0.0
    """How much later a piece comes; those behind it on the same connection wait."""
    share: float = 1.0
    """The share of the pieces that come late."""
    bytes_per_s: float = 0.0
    """How fast answers drip, byte by byte; 0: as they come."""
    silent: bool = False
    """Nothing the server says arrives; a connection that has lost a byte stays silent until it is reset at the fault's end."""
    half_open: bool = False
    """Nothing arrives at either side: new connections open, and no one is there."""
    down: bool = False
    """Connections are reset at once, those that are open and those that come."""


FINE = Fault()


class Proxy:
    """Passes connections on to ``port`` on this host. ``fault`` may be set at any time, from any thread."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None, seed: int = 0) -> None:
        self.target = port
        self.port = 0
        self.pieces = 0
        """Pieces of answers that have arrived from the server."""
        self.late = 0
        """Those of them that were held back."""
        self.accepted = 0
        self._fault = FINE
        self._tls = tls
        self._rng = random.Random(seed)
        self._open: dict[asyncio.StreamWriter, bool] = {}  # a side of a connection → whether it has lost something
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def fault(self) -> Fault:
        return self._fault

    @fault.setter
    def fault(self, fault: Fault) -> None:
        """It holds when this returns."""
        asyncio.run_coroutine_threadsafe(self._switch(fault), self._loop).result(10)

    def reset(self) -> None:
        """Resets every connection that is open now; new ones are welcome."""
        asyncio.run_coroutine_threadsafe(self._reset(everything=True), self._loop).result(10)

    async def _switch(self, fault: Fault) -> None:
        self._fault = fault
        await self._reset(everything=fault.down)

    async def _reset(self, everything: bool) -> None:
        for writer, lossy in list(self._open.items()):
            if everything or (lossy and not (self._fault.silent or self._fault.half_open)):
                _abort(writer)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, HOST, 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        await self._reset(everything=True)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self._fault.down:
            _abort(writer)
            return
        self._open[writer] = self._fault.half_open
        upstream: asyncio.StreamWriter | None = None
        with contextlib.suppress(OSError, asyncio.CancelledError):
            try:
                answers, upstream = await asyncio.open_connection(HOST, self.target)
                self._open[upstream] = self._open[writer]
                asking = asyncio.ensure_future(self._ask(reader, upstream, writer))
                answering = asyncio.ensure_future(self._answer(answers, writer, upstream))
                await asyncio.wait([asking, answering], return_when=asyncio.FIRST_COMPLETED)
                for task in (asking, answering):
                    task.cancel()
                await asyncio.gather(asking, answering, return_exceptions=True)
            finally:
                for side in filter(None, (writer, upstream)):
                    self._open.pop(side, None)
                    _abort(side)

    async def _ask(
        self, reader: asyncio.StreamReader, upstream: asyncio.StreamWriter, client: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(READ_BYTES):
            if self._lost(self._fault.half_open, client, upstream):
                continue
            upstream.write(data)
            await upstream.drain()

    async def _answer(
        self, answers: asyncio.StreamReader, client: asyncio.StreamWriter, upstream: asyncio.StreamWriter
    ) -> None:
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        sending = asyncio.ensure_future(self._send(waiting, client))
        try:
            while data := await answers.read(READ_BYTES):
                fault = self._fault
                if self._lost(fault.silent or fault.half_open, client, upstream):
                    continue
                self.pieces += 1
                late = bool(fault.delay_s) and self._rng.random() < fault.share
                self.late += late
                waiting.put_nowait((self._loop.time() + fault.delay_s * late, data))
            waiting.put_nowait((0.0, b""))
            await sending
        finally:
            sending.cancel()

    def _lost(self, now: bool, *sides: asyncio.StreamWriter) -> bool:
        """Whether this piece is swallowed. Once one was, what follows would be taken for it: all of the connection is."""
        if now:
            self._open.update(dict.fromkeys(sides, True))
        return self._open.get(sides[0], True)

    async def _send(self, waiting: asyncio.Queue[tuple[float, bytes]], client: asyncio.StreamWriter) -> None:
        while True:
            due, data = await waiting.get()
            if not data:
                return
            await asyncio.sleep(due - self._loop.time())
            while data:
                rate = self._fault.bytes_per_s
                client.write(data[:1] if rate else data)
                data = data[1:] if rate else b""
                await client.drain()
                if data:
                    await asyncio.sleep(1 / rate)


def _abort(writer: asyncio.StreamWriter) -> None:
    """Closes with a reset."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
