"""The watch over a client that may leave: it ends with its exchange, and never outlives it."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from guard import leaving
from guard.clock import ManualClock
from guard.config import load
from guard.gateway import gateway
from guard.leaving import ClientLeft, Watch
from tests.asgi import Connection, http_scope
from tests.e2e.conftest import ROOMY


class Noted:
    """The timers that are set from now on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        self.handles: list[asyncio.TimerHandle] = []
        set_timer = loop.call_later

        def call_later(delay: float, callback: Any, *given: Any, **more: Any) -> asyncio.TimerHandle:
            handle = set_timer(delay, callback, *given, **more)
            if getattr(callback, "__self__", None).__class__ is Watch:
                self.handles.append(handle)
            return handle

        monkeypatch.setattr(loop, "call_later", call_later)


@pytest.mark.anyio
@pytest.mark.parametrize("fails", [False, True])
async def test_no_watch_outlives_its_exchange(monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    """However it ends: a server may use what it received by for the next request of the connection."""

    async def answers(_: httpx.Request) -> httpx.Response:
        if fails:
            raise httpx.ConnectError("nobody is there")
        return httpx.Response(200, content=b"fine")

    noted = Noted(monkeypatch)
    app = gateway("http://upstream.test", load(ROOMY), httpx.MockTransport(answers), clock=ManualClock())
    connection = await Connection(app, http_scope(path="/things", method="GET")).run()

    assert connection.status == (502 if fails else 200)
    assert len(noted.handles) == 1
    assert noted.handles[0].cancelled()


@pytest.mark.anyio
async def test_a_watch_that_has_begun_ends_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its task is cancelled, and so is the timer that looks for silence."""
    monkeypatch.setattr(leaving, "WATCH_AFTER_S", 0.0)
    noted, asked = Noted(monkeypatch), asyncio.Event()

    async def receive() -> Any:
        asked.set()
        await asyncio.Event().wait()

    watch = Watch(receive, 60.0)
    watch.begin_later()
    await asked.wait()
    (task,) = [task for task in asyncio.all_tasks() if task.get_name() == "guard gateway watch"]
    watch.end()
    await asyncio.gather(task, return_exceptions=True)

    assert task.cancelled()
    assert noted.handles[-1].cancelled()
    assert not watch.left


@pytest.mark.anyio
async def test_whoever_leaves_while_his_body_is_read_has_left() -> None:
    """No task is needed for that."""

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    watch = Watch(receive, 60.0)
    with pytest.raises(ClientLeft):
        await watch.next()
    assert watch.left
