"""Reads a request's body piece by piece, and sees its client leave, while the body is read and afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from guard.eager import Waiting, first_step, rest
from guard.errors import BadExchange

if TYPE_CHECKING:
    from starlette.types import Message, Receive

# A client's leaving is looked for from then on: most requests are answered sooner, and a watch costs a task.
WATCH_AFTER_S = 0.25
# Larger bodies are handed on in pieces, so that the loop is not held by one write.
PIECE_BYTES = 256 * 1024


class ClientLeft(Exception):  # noqa: N818 - what happened, not an error
    """The client went away before its request was whole."""


class Watch:
    """Sees the client leave: while its body is read by being told so, later by a task of its own, which cancels the request's.

    So it does with an exchange in which nothing has moved for ``silence_s``: some faults of an upstream leave a client waiting
    beyond its own timeout. ``moved`` counts what has come from the upstream.
    """

    __slots__ = (
        "_handle",
        "_moved_before",
        "_owner",
        "_receive",
        "_silence_s",
        "_task",
        "left",
        "moved",
        "patience_s",
        "reading",
        "silent",
        "stalled",
    )

    def __init__(self, receive: Receive, silence_s: float) -> None:
        self._silence_s = silence_s
        self._receive = receive
        self._owner = asyncio.current_task()
        self._handle: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self.left = self.stalled = self.reading = self.silent = False
        self.moved = self._moved_before = 0
        self.patience_s = 0.0

    async def next(self) -> Message:
        """The next message of the request's body. Raises ``ClientLeft``, and ``BadExchange`` (408) where none comes."""
        message: Message
        first = first_step(self._receive())
        if isinstance(first, Waiting):
            try:
                async with asyncio.timeout(self.patience_s):
                    message = await rest(first)
            except TimeoutError:
                self.stalled = True
                raise stalled() from None
        else:
            message = first
        if message["type"] == "http.disconnect":
            self.left = True
            raise ClientLeft
        return message

    def begin_later(self) -> None:
        """Watches from a moment on; while the body is still read, whoever reads it is told."""
        if not self.reading:
            self._handle = asyncio.get_running_loop().call_later(WATCH_AFTER_S, self._begin)

    def end(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._run(), name="guard gateway watch")
        self._handle = loop.call_later(self._silence_s, self._listen)

    def _listen(self) -> None:
        if self.moved == self._moved_before:
            self.silent = True
            if self._owner is not None:
                self._owner.cancel()
            return
        self._moved_before = self.moved
        self._handle = asyncio.get_running_loop().call_later(self._silence_s, self._listen)

    async def _run(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.left = True
        if self._owner is not None:
            self._owner.cancel()


async def pieces(first: Message, watch: Watch) -> AsyncIterator[bytes]:
    """A request's body as it comes, in pieces that one write can take."""
    message = first
    while True:
        body = memoryview(message.get("body", b""))
        for at in range(0, len(body), PIECE_BYTES):
            yield bytes(body[at : at + PIECE_BYTES])
        if not message.get("more_body", False):
            break
        message = await watch.next()
    watch.reading = False
    watch.begin_later()


def stalled() -> BadExchange:
    """What a client is told whose body stopped coming."""
    return BadExchange(408, "slow_body", "The request's body did not arrive in time.")
