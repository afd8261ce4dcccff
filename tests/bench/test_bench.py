"""Whole load tests of real servers."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from guard.bench.asking import Wish, keys
from guard.bench.bench import Bench
from guard.bench.figures import quantile
from guard.bench.schedule import EXTRACTOR, ORDINARY
from guard.bench.table import frame, table
from guard.bench.target import target
from guard.demo.endpoint import endpoint

pytestmark = [pytest.mark.anyio, pytest.mark.uvicorn]
Serve = Callable[[ASGIApp], str]


def bench(*urls: str, rate: float = 40.0, for_s: float = 1.0, stream: float = 0.5) -> Bench:
    targets = [target(url, ()) for url in urls]
    return Bench(targets, rate, for_s, 0.3, keys("", 4), made_up=True, wish=Wish(stream=stream), timeout_s=3.0)


async def test_one_stall_is_seen_by_all_who_would_have_met_it(serve: Serve) -> None:
    """The server stands still once for 0.5 s. A client that waits its turn would see one slow answer; here all that were due
    meanwhile have waited, the later the less."""
    app, asked = endpoint(), 0

    async def stalling(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal asked
        asked += scope["type"] == "http"
        if asked == 10 and scope["type"] == "http":
            time.sleep(0.5)  # the server's loop, in the server's thread
        await app(scope, receive, send)

    tally = await bench(serve(stalling), rate=50.0, stream=0.0).run(io.StringIO(), live=False)
    took = sorted(took for cell in tally.cells.values() for took in cell.took_s)
    assert len(took) == 50
    waited = [value for value in took if value > 0.1]
    assert len(waited) >= 12
    assert waited[-1] > 0.4
    assert waited[-1] - waited[0] > 0.2, "who was due later has waited less"


async def test_two_endpoints_get_the_same_and_are_told_apart(serve: Serve) -> None:
    """Each is offered half; one that refuses everybody is shown by its statuses and in no latency; streams have a first byte."""
    run = bench(serve(endpoint(pace_s=0.002)), serve(endpoint(credentials=frozenset())), rate=60.0)
    tally = await run.run(io.StringIO(), live=False)
    for kind, share in ((ORDINARY, 21), (EXTRACTOR, 9)):
        first, second = tally.cells[0, kind], tally.cells[1, kind]
        assert first.offered == second.offered == share
        assert dict(first.statuses) == {200: share}
        assert dict(second.statuses) == {401: share}
        assert len(second.took_s) == 0
        assert 0 < len(first.first_s) < share
        assert quantile(sorted(first.first_s), 0.5) < max(first.took_s)
    text = "\n".join(table(tally, [one.url for one in run.targets]))
    assert "B extractor: 9 × 401, not 2xx after p50" in text
    assert all(one.url in text for one in run.targets)


async def test_an_answer_that_breaks_off_is_lost(serve: Serve) -> None:
    """A stream without its end is no answer, whatever its status was."""

    async def breaking(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = [(b"content-length", b"100")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"x", "more_body": False})

    run = bench(serve(breaking), rate=20.0, for_s=0.3)
    tally = await run.run(io.StringIO(), live=False)
    assert tally.answered(0) == 0
    assert sum(cell.lost for cell in tally.cells.values()) == 6
    text = "\n".join(table(tally, [run.targets[0].url]))
    assert "RemoteProtocolError" in text
    assert "lost     lost     lost     lost" in text


async def test_the_live_view_goes_away_and_fits(serve: Serve) -> None:
    """It is drawn on the terminal's other screen, also where the run is broken off, in lines that fit."""
    screen = io.StringIO()
    run = bench(serve(endpoint()), for_s=60.0)
    task = asyncio.create_task(run.run(screen, live=True))
    while "in flight" not in screen.getvalue():
        await asyncio.sleep(0.05)
    task.cancel()
    tally = await task
    assert tally.answered(0) > 0
    assert screen.getvalue().startswith("\x1b[?1049h")
    assert screen.getvalue().endswith("\x1b[?25h\x1b[?1049l")
    for width, height in ((80, 24), (30, 5)):
        lines = frame(tally, "guard bench", [run.targets[0].url], width, height)
        assert len(lines) == height
        assert max(map(len, lines)) <= width
