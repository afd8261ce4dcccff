"""A real store that is killed, hangs, or comes and goes under ten times the load that is allowed: nobody gets an error, nobody
waits, nobody gets a fresh budget, and a second after it is back it is used again."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from statistics import quantiles

import pytest

from guard.charges import Slots, Spent, Tariff
from guard.settings import State
from guard.stores.redis import RedisStore
from tests.remote.model import Truth, bill, tariff
from tests.servers import Server

pytestmark = pytest.mark.anyio

AMOUNT, WINDOW_S = 300.0, 6.0
OWN = tariff(("requests", AMOUNT, WINDOW_S))
ALL = tariff(("requests", AMOUNT, WINDOW_S), kind="")
DEADLINE_S = 0.025


@dataclass
class Load:
    """Requests at a steady rate, dealt to the replicas at random; each is over after a moment."""

    stores: Sequence[RedisStore]
    weights: Sequence[float]
    of: Tariff
    per_s: float
    truth: Truth = field(default_factory=lambda: Truth(AMOUNT, WINDOW_S))
    waits_s: list[tuple[float, float]] = field(default_factory=list)
    errors: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self, until: Callable[[], bool]) -> None:
        rng = random.Random(5)
        due = time.monotonic()
        while not until():
            due += 1.0 / self.per_s
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            task = asyncio.ensure_future(self._one(rng.choices(self.stores, self.weights)[0]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await asyncio.gather(*self._tasks)

    async def _one(self, store: RedisStore) -> None:
        begun = time.monotonic()
        now = time.time()
        subject = "a" * 32 if self.of.kind else ""
        try:
            taken, lease = await store.reserve([bill(self.of, subject=subject)], Slots((), now + 900.0), now)
        except Exception:
            self.errors += 1
            raise
        ended = time.monotonic()
        self.waits_s.append((begun, ended - begun))
        if taken.refused < 0:
            self.truth.admit(ended, 1.0)
            store.settle(Spent(1.0, 0.0, 0.0), lease, time.time())


def p99_s(waits: Sequence[tuple[float, float]], since: float, until: float) -> float:
    return quantiles([wait for begun, wait in waits if since <= begun < until] or [0.0, 0.0], n=100)[98]


async def kill(server: Server, down_s: float) -> None:
    await asyncio.to_thread(server.kill)
    await asyncio.sleep(down_s)
    await asyncio.to_thread(server.start)


async def hang(server: Server, down_s: float) -> None:
    server.stop()
    await asyncio.sleep(down_s)
    server.resume()


async def flap(server: Server, down_s: float) -> None:
    for _ in range(int(down_s / 0.4)):
        server.stop()
        await asyncio.sleep(0.2)
        server.resume()
        await asyncio.sleep(0.2)


Fault = Callable[[Server, float], Awaitable[None]]


async def through(
    server: Server, fault: Fault, weights: Sequence[float], of: Tariff, *, up_s: float, down_s: float
) -> dict[str, float]:
    """Load before, during and after a fault; the figures."""
    state = State(store=server.url, deadline_s=DEADLINE_S, replicas=len(weights))
    stores = [RedisStore(state, replica=f"r{number}") for number in range(len(weights))]
    for store in stores:
        await store.open()
    load = Load(stores, weights, of, 10.0 * AMOUNT / WINDOW_S)
    over: list[float] = []
    running = asyncio.ensure_future(load.run(lambda: bool(over) and time.monotonic() > over[0] + 2.0))
    await asyncio.sleep(up_s)
    begun = time.monotonic()
    await fault(server, down_s)
    back = time.monotonic()
    while any(store.condition(time.time())["state"] != "up" for store in stores):
        assert time.monotonic() < back + 5.0, "it is never used again"
        await asyncio.sleep(0.005)
    recovered = time.monotonic()
    over.append(recovered)
    await running
    for store in stores:
        await store.close()
    return {
        "excess": load.truth.excess(),
        "errors": load.errors,
        "recovered_s": recovered - back,
        "p99_s": p99_s(load.waits_s, begun, back),
        "p99_before_s": p99_s(load.waits_s, begun - up_s / 2, begun),
        "longest_s": max(wait for _, wait in load.waits_s),
        "used": load.truth.within(begun, recovered + 2.0) / (load.truth.rate * (recovered + 2.0 - begun)),
        "paid": sum(wait > 0.8 * DEADLINE_S for _, wait in load.waits_s),
    }


FAULTS = [kill, hang, flap]
CROWDS = [[1.0], [50.0, 30.0, 15.0, 5.0]]


def check(figures: dict[str, float], replicas: int) -> None:
    assert figures["errors"] == 0
    assert figures["excess"] <= (0.05 if replicas == 1 else 0.10), figures
    assert figures["recovered_s"] < 1.0, figures
    assert figures["p99_s"] <= figures["p99_before_s"] + DEADLINE_S + 0.025, figures


@pytest.mark.parametrize(
    ("fault", "weights"),
    [(kill, CROWDS[1]), (hang, CROWDS[0]), (flap, CROWDS[1])],
    ids=["kill-4", "hang-1", "flap-4"],
)
async def test_an_outage_under_load(own_server: Server, fault: Fault, weights: list[float]) -> None:
    figures = await through(own_server, fault, weights, OWN, up_s=1.5, down_s=1.2)
    check(figures, len(weights))
    assert figures["used"] > 0.6, figures


async def test_an_outage_of_what_many_share(own_server: Server) -> None:
    """Bought in lots by four replicas, and by shares while the store is away."""
    figures = await through(own_server, kill, CROWDS[1], ALL, up_s=1.5, down_s=1.2)
    check(figures, 4)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("weights", CROWDS, ids=len)
async def test_five_seconds_of_any_of_them(own_server: Server, fault: Fault, weights: list[float]) -> None:
    figures = await through(own_server, fault, weights, OWN, up_s=8.0, down_s=5.0)
    check(figures, len(weights))
