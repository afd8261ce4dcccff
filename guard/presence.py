"""The client of one request that is kept waiting: what it sends next, and whether it is still there.

Servers tell that a client has left through ``receive``. Guard listens to it while it waits, and the app may listen at the same
time; both hear of one and the same message.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Message, Receive


class Client:
    """``receive`` for the app, once nothing but a disconnect is to be expected. ``close`` ends it."""

    __slots__ = ("_next", "_receive")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._next: asyncio.Task[Message] | None = None

    async def receive(self) -> Message:
        """The next message. A disconnect is told as often as it is asked for."""
        listening = self._listen()
        # Shielded: an app that gives up listening must not end the listening of whoever holds its bytes back.
        message = await asyncio.shield(listening)
        if message["type"] != "http.disconnect" and self._next is listening:
            self._next = None
        return message

    async def stays(self, seconds: float) -> bool:
        """Waits that long, or until the client leaves: False."""
        listening = self._listen()
        if not listening.done():
            started = asyncio.get_running_loop().time()
            await asyncio.wait({listening}, timeout=seconds)
            seconds -= asyncio.get_running_loop().time() - started
        if listening.done():
            if listening.exception() is not None or listening.result()["type"] == "http.disconnect":
                return False
            # Something else came, which is the app's to read: there is nothing to listen for until it does.
            if seconds > 0:
                await asyncio.sleep(seconds)
        return True

    def close(self) -> None:
        """Stops listening."""
        if self._next is not None:
            self._next.cancel()

    def _listen(self) -> asyncio.Task[Message]:
        if self._next is None:
            self._next = asyncio.ensure_future(self._heard())
        return self._next

    async def _heard(self) -> Message:
        return await self._receive()
