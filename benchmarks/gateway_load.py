"""Asks a gateway as many clients do, and reads how much CPU its processes took meanwhile."""

from __future__ import annotations

import asyncio
import json
import time
from functools import cache
from pathlib import Path
from typing import NamedTuple

import traffic

ACCOUNTS = 200
BODY_BYTES = 4096


class Load(NamedTuple):
    """What is asked: by so many clients at once, each again as soon as it has its answer, of all of them at least so many times;
    ``chunks`` 0: JSON."""

    clients: int
    chunks: int
    least: int = 0


class Measured(NamedTuple):
    """What a gateway did with it. ``faults``: answers that were not what was asked for."""

    requests: int
    cpu_s: float
    wall_s: float
    faults: int


def cpu_s(process: int) -> float:
    """CPU seconds that a process, its threads and its children have taken so far (Linux)."""
    total = 0
    for task in Path(f"/proc/{process}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
        children = (task / "children").read_text().split()
        total += sum(int(cpu_s(int(child)) * 1e9) for child in children)
    return total / 1e9


@cache
def requests(chunks: int) -> list[bytes]:
    """Different requests of different accounts; a stream asks for ``chunks`` events by its budget."""
    made = []
    for number, body in enumerate(traffic.request_bodies(BODY_BYTES, stream=bool(chunks))):
        if chunks:
            asked = json.loads(body)
            body = json.dumps(asked | {"max_tokens": chunks}, separators=(",", ":")).encode()
        headers = traffic.request_headers(number % ACCOUNTS, len(body))
        lines = [b"POST %b HTTP/1.1" % traffic.PATH.encode(), *(b"%b: %b" % pair for pair in headers)]
        made.append(b"\r\n".join(lines) + b"\r\n\r\n" + body)
    return made


async def ask(port: int, process: int, load: Load, budget_s: float) -> Measured:
    """Asks until the time is over, enough was asked and every answer is there.

    Each client's first question isn't counted: it is for the connections, its own and the one to the upstream.
    """
    asked, first = requests(load.chunks), requests(0)
    ready = asyncio.Barrier(load.clients + 1)
    until = asyncio.get_running_loop().create_future()
    clients = [
        asyncio.ensure_future(_client(port, [first[n], *asked[n :: load.clients]], load, ready, until))
        for n in range(load.clients)
    ]
    answers = asyncio.gather(*clients)
    opened = asyncio.ensure_future(ready.wait())
    try:
        await asyncio.wait({answers, opened}, return_when=asyncio.FIRST_COMPLETED)
        if not opened.done():
            await answers
        started, began = time.monotonic(), cpu_s(process)
        until.set_result(started + budget_s)
        done = await answers
    finally:
        # One that failed leaves the others waiting for it.
        for task in (opened, *clients):
            task.cancel()
        await asyncio.gather(opened, *clients, return_exceptions=True)
    wall_s = time.monotonic() - started
    return Measured(sum(n for n, _ in done), cpu_s(process) - began, wall_s, sum(faults for _, faults in done))


async def _client(
    port: int, asked: list[bytes], load: Load, ready: asyncio.Barrier, end: asyncio.Future[float]
) -> tuple[int, int]:
    """(requests, faults) of one client, without its first request, the first of ``asked``."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(asked.pop(0))
    faults = int(not await _answered(reader, 0))
    await ready.wait()
    until = await asyncio.shield(end)
    if reader.at_eof():
        # On a busy machine the others took longer to be connected than the gateway keeps a connection that says nothing.
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    served = 0
    while served * load.clients < max(load.least, 1) or time.monotonic() < until:
        writer.write(asked[served % len(asked)])
        faults += not await _answered(reader, load.chunks)
        served += 1
    writer.close()
    return served, faults


async def _answered(reader: asyncio.StreamReader, chunks: int) -> bool:
    """Reads one answer to its end; whether it is what was asked for."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"\r\ncontent-length:" in head:
        body = await reader.readexactly(int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]))
    else:
        body = b""
        while not body.endswith(b"0\r\n\r\n"):
            piece = await reader.read(65_536)
            if not piece:
                return False
            body += piece
    fine = head.startswith(b"http/1.1 200")
    return fine and (
        b"data: [DONE]" in body and body.count(b"data: ") >= chunks // 2 if chunks else b'"choices"' in body
    )
