from __future__ import annotations

import asyncio
from typing import Any

import pytest

from guard.presence import Client

LEFT = {"type": "http.disconnect"}


class Wire:
    """``receive`` of a server: what is put in comes out; ``listeners`` is how many wait at once."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[Any] = asyncio.Queue()
        self.listeners = self.most_listeners = 0

    async def receive(self) -> Any:
        self.listeners += 1
        self.most_listeners = max(self.most_listeners, self.listeners)
        try:
            return await self.inbox.get()
        finally:
            self.listeners -= 1


@pytest.mark.anyio
async def test_a_client_that_stays_is_waited_for() -> None:
    """The time passes, and the app still hears what comes afterwards."""
    wire = Wire()
    client = Client(wire.receive)
    assert await client.stays(0.001)
    wire.inbox.put_nowait({"type": "http.request", "body": b"x"})
    assert await client.receive() == {"type": "http.request", "body": b"x"}
    wire.inbox.put_nowait(LEFT)
    assert [await client.receive() for _ in range(2)] == [LEFT, LEFT]
    client.close()


@pytest.mark.anyio
async def test_a_client_that_leaves_ends_the_wait() -> None:
    """At once, however long the wait would have been; the app hears of it too."""
    wire = Wire()
    client = Client(wire.receive)
    waiting = asyncio.ensure_future(client.stays(3_600))
    await asyncio.sleep(0)
    wire.inbox.put_nowait(LEFT)
    assert await asyncio.wait_for(waiting, 5) is False
    assert await client.receive() == LEFT
    assert await client.stays(3_600) is False


@pytest.mark.anyio
async def test_the_server_is_asked_by_one_at_a_time() -> None:
    """App and guard listen to the same message; an app that gives up listening doesn't take it from guard."""
    wire = Wire()
    client = Client(wire.receive)
    listening = asyncio.ensure_future(client.receive())
    assert await client.stays(0.001)
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening
    waiting = asyncio.ensure_future(client.stays(3_600))
    await asyncio.sleep(0)
    wire.inbox.put_nowait(LEFT)
    assert await asyncio.wait_for(waiting, 5) is False
    assert wire.most_listeners == 1


@pytest.mark.anyio
async def test_what_else_comes_is_no_reason_to_spin() -> None:
    """A message that is not a disconnect is kept for the app, and the wait goes on."""
    wire = Wire()
    client = Client(wire.receive)
    wire.inbox.put_nowait({"type": "http.request", "body": b"x"})
    began = asyncio.get_running_loop().time()
    assert await client.stays(0.02)
    assert await client.stays(0.02)
    assert asyncio.get_running_loop().time() - began >= 0.04 * 0.9
    assert (await client.receive())["body"] == b"x"


@pytest.mark.anyio
async def test_closing_stops_listening() -> None:
    wire = Wire()
    client = Client(wire.receive)
    await client.stays(0.001)
    client.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert wire.listeners == 0


@pytest.mark.anyio
async def test_a_server_that_fails_has_no_client() -> None:
    """``receive`` that raises is taken for a client that is gone."""

    async def broken() -> Any:
        raise OSError

    assert await Client(broken).stays(3_600) is False
