"""Measures one variant inside the environment of its own; ``overhead.py`` starts it and speaks to it in JSON lines.

Apps are driven in-process with synthetic scope, receive and send, one task a request as uvicorn does, in a uvloop loop. The
bare app and the wrapped one are measured in turns, in blocks of random order, and the figure is what the wrapping adds.
Uses the standard library and what the environment holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.util
import json
import os
import random
import signal
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import endpoints
import traffic
import uvloop

BLOCK = 25
WARM_UP_S = 0.5
PATIENCE_S = 120


class Workload(NamedTuple):
    """``chunks`` 0: a JSON answer; else the number of server-sent events."""

    body_bytes: int
    chunks: int


class Exchange:
    """One request as a server would present it, and what the app sent back."""

    __slots__ = ("body", "read", "scope", "sent")

    def __init__(self, account: int, body: bytes, chunks: int) -> None:
        headers = traffic.request_headers(account, len(body))
        if chunks:
            headers.append((b"x-chunks", b"%d" % chunks))
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "server": ("127.0.0.1", 8000),
            "client": (f"198.51.{account >> 8}.{account & 255}", 40_000 + account),
            "scheme": "http",
            "method": "POST",
            "root_path": "",
            "path": traffic.PATH,
            "raw_path": traffic.PATH.encode(),
            "query_string": b"",
            "headers": headers,
            "state": {},
        }
        self.body = body
        self.read = False
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        if self.read:  # the client stays connected until it has its answer
            await asyncio.get_running_loop().create_future()
        self.read = True
        return {"type": "http.request", "body": self.body, "more_body": False}

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    def fault(self) -> str:
        """What is wrong with the answer, or ``""``."""
        starts = [message for message in self.sent if message["type"] == "http.response.start"]
        if len(starts) != 1:
            return "sends http.response.start again with every chunk" if starts else "sends no http.response.start"
        if starts[0]["status"] != 200:
            return f"answers {starts[0]['status']} to an ordinary request"
        if self.sent[-1].get("more_body"):
            return "does not finish the answer"
        return ""


class Bench:
    def __init__(self, bare: endpoints.ASGIApp, wrapped: endpoints.ASGIApp) -> None:
        self.apps = (bare, wrapped)
        self.rng = random.Random(0)
        self.bodies: dict[tuple[int, bool], list[bytes]] = {}
        self.account = 0

    def exchanges(self, workload: Workload, count: int) -> list[Exchange]:
        """Accounts take turns; each request has a body by chance of ``traffic.BODIES``."""
        key = (workload.body_bytes, bool(workload.chunks))
        if key not in self.bodies:
            self.bodies[key] = traffic.request_bodies(key[0], stream=key[1])
        made = []
        for _ in range(count):
            self.account = (self.account + 1) % traffic.ACCOUNTS
            made.append(Exchange(self.account, self.rng.choice(self.bodies[key]), workload.chunks))
        return made

    async def block(self, app: endpoints.ASGIApp, exchanges: list[Exchange]) -> tuple[int, int]:
        """CPU and wall nanoseconds that ``app`` takes for them, what it does in the background included."""
        create_task = asyncio.get_running_loop().create_task
        cpu, wall = time.process_time_ns(), time.perf_counter_ns()
        for exchange in exchanges:
            await create_task(app(exchange.scope, exchange.receive, exchange.send))
        return time.process_time_ns() - cpu, time.perf_counter_ns() - wall

    async def warm_up(self) -> None:
        """Every account is seen once by both apps, as far as half a second goes."""
        for app in self.apps:
            until = time.perf_counter() + WARM_UP_S
            for _ in range(traffic.ACCOUNTS):
                await self.block(app, self.exchanges(Workload(1024, 0), 1))
                if time.perf_counter() > until:
                    break

    async def measure(self, workload: Workload, budget_s: float) -> dict[str, Any]:
        """Blocks of both apps in random order until the budget is spent: microseconds a request, and faults by name."""
        dearest_s = 0.0
        for app in self.apps:  # not counted: first-time paths; and it tells how many requests a block can afford
            first_s = (await self.block(app, self.exchanges(workload, 1)))[1] / 1e9
            if first_s < budget_s:
                first_s = (await self.block(app, self.exchanges(workload, 1)))[1] / 1e9
            dearest_s = max(dearest_s, first_s)
        size = max(1, min(BLOCK, int(budget_s / dearest_s / 6)))
        totals = [[0, 0], [0, 0]]
        faults: dict[str, int] = {}
        served = 0
        until = time.perf_counter() + budget_s
        while not served or time.perf_counter() < until:
            for side in self.rng.sample((0, 1), 2):
                exchanges = self.exchanges(workload, size)
                cpu_ns, wall_ns = await self.block(self.apps[side], exchanges)
                totals[side][0] += cpu_ns
                totals[side][1] += wall_ns
                for fault in filter(None, (exchange.fault() for exchange in exchanges if side)):
                    faults[fault] = faults.get(fault, 0) + 1
            served += size
        (bare_cpu, bare_wall), (cpu, wall) = [[ns / served / 1000 for ns in side] for side in totals]
        return {
            "requests": served,
            "bare_cpu_us": bare_cpu,
            "bare_wall_us": bare_wall,
            "added_cpu_us": cpu - bare_cpu,
            "added_wall_us": wall - bare_wall,
            "faults": faults,
        }


@contextlib.asynccontextmanager
async def lifespan(app: endpoints.ASGIApp) -> Any:
    """Starts an app as a server does, and shuts it down."""
    orders: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    words: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
    running = asyncio.get_running_loop().create_task(app(scope, orders.get, words.put))
    await orders.put({"type": "lifespan.startup"})
    if (word := await words.get())["type"] != "lifespan.startup.complete":
        raise RuntimeError(f"the app does not start: {word}")
    yield
    await orders.put({"type": "lifespan.shutdown"})
    await running


def versions(pins: list[str]) -> dict[str, str]:
    found = {"python": sys.version.split()[0]}
    for name in ("extraction-guard", "uvloop", "starlette", "fastapi", *(pin.partition("==")[0] for pin in pins)):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


async def serve(peer: Any, scratch: Path, orders: Any, answers: Any) -> None:
    """Answers each order, a line of JSON, with a line of JSON."""

    def answer(value: object) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    make_bare = endpoints.FRAMEWORKS[peer.FRAMEWORK]
    bare, wrapped = make_bare(), peer.build(make_bare, scratch)
    async with lifespan(bare), lifespan(wrapped):
        bench = Bench(bare, wrapped)
        await bench.warm_up()
        gc.collect()
        gc.freeze()
        answer({"versions": versions(peer.PINS)})
        for line in orders:
            order = json.loads(line)
            signal.alarm(PATIENCE_S)  # the driver must not wait for ever on a peer that hangs
            answer(await bench.measure(Workload(*order["workload"]), order["budget_s"]))


def main() -> None:
    """``worker.py PEER_FILE SCRATCH_DIR``. What the peer prints goes to stderr, so that it can't mix with the answers."""
    spec = importlib.util.spec_from_file_location("peer", sys.argv[1])
    if spec is None or spec.loader is None:
        raise SystemExit(f"no such peer: {sys.argv[1]}")
    peer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(peer)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    signal.alarm(PATIENCE_S)
    uvloop.run(serve(peer, Path(sys.argv[2]), sys.stdin, answers))


if __name__ == "__main__":
    main()
