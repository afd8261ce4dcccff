from __future__ import annotations

import asyncio
import time

import pytest

from guard.bench.figures import Cell, Tally
from guard.bench.load import Answer, offer
from guard.bench.schedule import EXTRACTOR, ORDINARY, Arrival, Schedule

pytestmark = pytest.mark.anyio
KINDS = (ORDINARY, EXTRACTOR)


def now() -> float:
    return asyncio.get_running_loop().time()


async def at_once(arrival: Arrival) -> Answer:
    return Answer(200, now(), stream=False)


async def offered(schedule: Schedule, ask: object, most: int = 100, timeout_s: float = 5.0) -> tuple[bool, Tally]:
    tally = Tally(schedule.endpoints, KINDS)
    whole = await offer(schedule, ask, tally, most_in_flight=most, timeout_s=timeout_s)  # type: ignore[arg-type]
    return whole, tally


def only(tally: Tally) -> Cell:
    return tally.cells[0, ORDINARY]


async def test_latency_is_counted_from_the_intended_arrival() -> None:
    """The client itself is held up once for 0.3 s: what was due meanwhile is sent late, and has waited since it was due."""
    asked = 0

    async def ask(arrival: Arrival) -> Answer:
        nonlocal asked
        asked += 1
        if asked == 5:
            time.sleep(0.3)  # the whole loop stands still
        return await at_once(arrival)

    _, tally = await offered(Schedule(100.0, 0.5, 1, 0.0), ask)
    assert only(tally).answered == 50
    assert sum(took > 0.1 for took in only(tally).took_s) >= 15
    assert max(tally.late_s) > 0.2


async def test_arrivals_do_not_wait_for_answers() -> None:
    """While nothing is answered, everything is sent on time all the same."""
    gate = asyncio.Event()
    sent = 0

    async def ask(arrival: Arrival) -> Answer:
        nonlocal sent
        sent += 1
        if sent == 20:
            gate.set()
        await gate.wait()
        return await at_once(arrival)

    whole, tally = await offered(Schedule(100.0, 0.2, 1, 0.0), ask)
    assert whole
    assert only(tally).answered == 20


async def test_what_finds_too_many_in_flight_is_counted_as_lost() -> None:
    """Three fit, the rest is dropped and counted; the other endpoint is not touched by it."""
    gate = asyncio.Event()

    async def ask(arrival: Arrival) -> Answer:
        if arrival.turn == 10 and arrival.endpoint == 1:
            gate.set()
        if arrival.endpoint == 0:
            await gate.wait()
        return await at_once(arrival)

    _, tally = await offered(Schedule(200.0, 0.11, 2, 0.0), ask, most=3)
    first, second = tally.cells[0, ORDINARY], tally.cells[1, ORDINARY]
    assert first.offered == second.offered == 11
    assert (first.answered, first.dropped, first.lost) == (3, 8, 8)
    assert (second.answered, second.lost) == (11, 0)


async def test_an_answer_that_comes_too_late_is_lost() -> None:
    """The timeout runs from the intended arrival on."""

    async def ask(arrival: Arrival) -> Answer:
        await asyncio.Event().wait()
        return await at_once(arrival)

    _, tally = await offered(Schedule(50.0, 0.1, 1, 0.0), ask, timeout_s=0.1)
    assert dict(only(tally).failed) == {"timed out": 5}


async def test_broken_off_it_keeps_what_there_was() -> None:
    """Cancelled, it ends what is in flight and tells so; nothing is counted twice."""
    tally = Tally(1, KINDS)
    third = asyncio.Event()

    async def ask(arrival: Arrival) -> Answer:
        if arrival.turn == 2:
            third.set()
            await asyncio.Event().wait()
        return await at_once(arrival)

    schedule = Schedule(100.0, 60.0, 1, 0.0)
    task = asyncio.create_task(offer(schedule, ask, tally, most_in_flight=9, timeout_s=5.0))
    await third.wait()
    task.cancel()
    assert await task is False
    assert (only(tally).answered, only(tally).lost, only(tally).open) == (2, 0, 1)


async def test_a_mistake_of_ours_is_not_counted_as_an_answer() -> None:
    """An error that is none of the network's ends the run: half a table would look like a whole one."""

    async def ask(arrival: Arrival) -> Answer:
        raise KeyError("ours")

    with pytest.raises(ExceptionGroup):
        await offered(Schedule(100.0, 0.1, 1, 0.0), ask)
