"""Asks replicas in an open loop: each request at its time, whatever became of those before, and notes what came of it.

One account asks ten times what it may, others ask now and then, and somebody looks at the health route. How long an answer
took counts from the moment when it was due to be asked for, so that a server which holds everybody up is not flattered.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from math import inf
from typing import Literal, NamedTuple

from faults_endpoint import HEALTH, LIMIT, PATH, WINDOW_S

HOST = "127.0.0.1"
PATIENCE_S = 15.0
HOT_PER_S = 10 * LIMIT / WINDOW_S
FILL_PER_S = 200.0
FILL_S = 1.15 * LIMIT / FILL_PER_S
"""How long it takes the account that asks too much to use up what a cold limit holds."""
LIGHT_ACCOUNTS = 60
LIGHT_PER_S = 60.0
HEALTH_PER_S = 25.0
LOST = 0
_BODY = b'{"model":"m","messages":[{"role":"user","content":"Is it so? Yes or no."}],"max_tokens":16}'

Kind = Literal["hot", "light", "health"]


class Planned(NamedTuple):
    """``at``: seconds after the start. Account 0 is the one that asks too much."""

    at: float
    kind: Kind
    account: int


class Answer(NamedTuple):
    """``status`` 0: the request was lost, no answer came. Times are of ``time.monotonic``."""

    due: float
    done: float
    kind: Kind
    status: int

    @property
    def took_s(self) -> float:
        return self.done - self.due


def plan(length_s: float, seed: int) -> list[Planned]:
    """What is asked when; it begins with the hot account's burst, which leaves its limit full."""
    rng = random.Random(seed)
    planned = [Planned(n / FILL_PER_S, "hot", 0) for n in range(int(FILL_S * FILL_PER_S))]
    planned += [Planned(FILL_S + n / HOT_PER_S, "hot", 0) for n in range(int((length_s - FILL_S) * HOT_PER_S))]
    planned += [
        Planned((n + rng.random()) / LIGHT_PER_S, "light", 1 + n % LIGHT_ACCOUNTS)
        for n in range(int(length_s * LIGHT_PER_S))
    ]
    planned += [Planned((n + rng.random()) / HEALTH_PER_S, "health", 0) for n in range(int(length_s * HEALTH_PER_S))]
    return sorted(planned)


class Replica:
    """One server; connections are kept and used again."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, planned: Planned, due: float) -> Answer:
        writer = None
        try:
            async with asyncio.timeout(PATIENCE_S):
                reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(HOST, self.port)
                writer.write(_request(planned))
                status, stays = await _status(reader)
            if stays:
                self._idle.append((reader, writer))
            else:
                writer.close()
        except (OSError, EOFError, ValueError, TimeoutError):
            status = LOST
            if writer is not None:
                writer.transport.abort()
        return Answer(due, time.monotonic(), planned.kind, status)

    async def close(self) -> None:
        for _, writer in self._idle:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def _request(planned: Planned) -> bytes:
    if planned.kind == "health":
        return b"GET %b HTTP/1.1\r\nHost: m\r\n\r\n" % HEALTH.encode()
    return (
        b"POST %b HTTP/1.1\r\nHost: m\r\nAuthorization: Bearer sk-%06d\r\nX-Forwarded-For: 198.51.100.%d\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        % (PATH.encode(), planned.account, 1 + planned.account, len(_BODY), _BODY)
    )


async def _status(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """Reads an answer to its end; its status, and whether the connection stays. Raises ``ValueError`` for one without a length."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
    await reader.readexactly(int(length))
    return int(head[9:12]), b"\r\nconnection: close" not in head


async def meet(replicas: Sequence[Replica]) -> list[Answer]:
    """Each account asks each replica once: from then on nobody is a stranger to any of them."""
    answers = []
    for account in range(LIGHT_ACCOUNTS + 1):
        known = Planned(0.0, "light" if account else "hot", account)
        answers += [await replica.ask(known, time.monotonic()) for replica in replicas]
    return answers


async def ask_all(
    planned: Sequence[Planned],
    replicas: Sequence[Replica],
    seed: int,
    start: float,
    end: Callable[[], float] = lambda: inf,
) -> list[Answer]:
    """Asks all of it that is due before ``end``, each of a replica chosen by chance, from ``start`` on (of ``time.monotonic``)."""
    rng = random.Random(seed)
    asked = []
    for each in planned:
        due = start + each.at
        if due > end():
            break
        if (ahead := due - time.monotonic()) > 0:
            await asyncio.sleep(ahead)
        asked.append(asyncio.ensure_future(rng.choice(replicas).ask(each, due)))
    answers = await asyncio.gather(*asked)
    for replica in replicas:
        await replica.close()
    return answers


class Over(NamedTuple):
    """``share`` of the limit, and the moment of the worst; 0.0 where it never was above it."""

    share: float
    at: float


def over_admitted(admitted: Sequence[float], refills: bool, limit: int = LIMIT, window_s: float = WINDOW_S) -> Over:
    """How far admission went over a limit: the worst of all windows.

    Of a limit that refills all the time an exact meter is kept (capacity ``limit``, drained at ``limit / window_s``): its
    greatest level over the capacity is the worst excess over limit + rate · length of all windows of any length. Of one that
    begins anew, it is the most in any ``window_s``.
    """
    times = sorted(admitted)
    levels = _levels(times, limit / window_s) if refills else _in_windows(times, window_s)
    most, at = max(zip(levels, times, strict=True), default=(0.0, 0.0))
    return Over((most - limit) / limit, at) if most > limit else Over(0.0, 0.0)


def _levels(times: Sequence[float], rate_per_s: float) -> Iterator[float]:
    """An exact meter's level after each."""
    level, last = 0.0, -inf
    for at in times:
        level = max(0.0, level - (at - last) * rate_per_s) + 1.0
        last = at
        yield level


def _in_windows(times: Sequence[float], window_s: float) -> Iterator[float]:
    """How many fall into the window that ends with each."""
    first = 0
    for last, at in enumerate(times):
        while times[first] <= at - window_s:
            first += 1
        yield float(last - first + 1)
