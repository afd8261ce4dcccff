"""The open loop: every arrival is sent when it is due, whatever became of those before it.

Latency is counted from the moment an arrival was due, not from the moment it was sent. A client that waits for one answer
before it asks the next would send nothing while the endpoint stalls and see one slow answer where users saw many: coordinated
omission (G. Tene, "How NOT to Measure Latency", 2013).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from guard.bench.figures import Tally
from guard.bench.schedule import Arrival


class Answer(NamedTuple):
    """A whole answer. ``first_at_s``: when its first byte came, by the loop's clock. ``lost``: why there is none, ``""``: there
    is one."""

    status: int
    first_at_s: float
    stream: bool
    lost: str = ""


Ask = Callable[[Arrival], Awaitable[Answer]]


async def offer(arrivals: Iterable[Arrival], ask: Ask, tally: Tally, *, most_in_flight: int, timeout_s: float) -> bool:
    """Offers all arrivals and waits for what is in flight, ``timeout_s`` after its arrival at most. False: it was broken off.

    An arrival that finds ``most_in_flight`` requests open at its endpoint is counted as dropped, and is not sent.
    """
    loop = asyncio.get_running_loop()
    in_flight = [0] * tally.endpoints
    start_s = loop.time()

    async def one(arrival: Arrival, due_s: float) -> None:
        cell = tally.cells[arrival.endpoint, arrival.kind]
        tally.late_s.append(loop.time() - due_s)
        try:
            async with asyncio.timeout_at(due_s + timeout_s):
                answer = await ask(arrival)
        except TimeoutError:
            cell.failed["timed out"] += 1
        else:
            if answer.lost:
                cell.failed[answer.lost] += 1
            else:
                took_s, first_s = loop.time() - due_s, answer.first_at_s - due_s
                cell.answer(answer.status, took_s, first_s, stream=answer.stream)
        finally:
            in_flight[arrival.endpoint] -= 1

    try:
        async with asyncio.TaskGroup() as tasks:
            for arrival in arrivals:
                due_s = start_s + arrival.at_s
                # Late or not, the others get their turn.
                await asyncio.sleep(max(0.0, due_s - loop.time()))
                cell = tally.cells[arrival.endpoint, arrival.kind]
                cell.offered += 1
                if in_flight[arrival.endpoint] >= most_in_flight:
                    cell.dropped += 1
                    continue
                in_flight[arrival.endpoint] += 1
                tasks.create_task(one(arrival, due_s))
    except asyncio.CancelledError:
        return False  # Ctrl-C: what was seen so far is shown
    return True
