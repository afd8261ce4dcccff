"""Whose is what an API keeps, between replicas: an id that one has given out is known at the others as soon as it is named there.

Bindings are told at once; one that is named and not known here is asked for, within a deadline. Without an answer it is as if nobody
had received it (``conversations.py``). Only keyed hashes; in the store each lives a week.
"""

from __future__ import annotations

import asyncio
from collections import deque

from guard.conversations import Conversations
from guard.fleet.post import Post
from guard.remote.link import Trouble
from guard.types import Exchange

DEADLINE_S = 0.025
MOST_WAITING = 8_192
MOST_ASKED = 64
"""Exchanges that ask at the same moment; further ones are judged by what is known here."""
_AT_ONCE = 16


class Receipts:
    """What one replica tells and asks of ids."""

    def __init__(self, conversations: Conversations, office: Post) -> None:
        self._conversations, self._post = conversations, office
        self._waiting: deque[tuple[int, int]] = deque(maxlen=MOST_WAITING)
        self._told = asyncio.Event()
        self._asking = 0
        self.errors = 0
        conversations.tell = self._tell

    def _tell(self, place: int, entry: int) -> None:
        self._waiting.append((place, entry))
        self._told.set()

    async def run(self) -> None:
        """Tells what is bound, at once, until it is cancelled; what the store does not take waits, bounded."""
        while True:
            await self._told.wait()
            self._told.clear()
            try:
                await self.send()
            except Trouble:
                self.errors += 1
                await asyncio.sleep(1.0)
                self._told.set()

    async def send(self) -> None:
        """Tells what waits. Raises ``Trouble``."""
        while self._waiting:
            some = [self._waiting.popleft() for _ in range(min(_AT_ONCE, len(self._waiting)))]
            done = await asyncio.gather(*[self._post.bind(*one) for one in some], return_exceptions=True)
            failed = [(one, error) for one, error in zip(some, done, strict=True) if isinstance(error, BaseException)]
            if failed:
                self._waiting.extendleft(reversed([one for one, _ in failed]))
                raise failed[0][1]

    async def recall(self, exchange: Exchange) -> None:
        """Asks whose the ids are that it names and that nobody here has received. Never raises for the store."""
        unknown = self._conversations.unknown(exchange)[:_AT_ONCE]
        if not unknown or self._asking >= MOST_ASKED:
            return
        self._asking += 1
        try:
            async with asyncio.timeout(DEADLINE_S):
                found = await asyncio.gather(*[self._post.bound(place) for place in unknown])
        except (TimeoutError, Trouble):
            self.errors += 1
            return
        finally:
            self._asking -= 1
        for place, entry in zip(unknown, found, strict=True):
            if entry:
                self._conversations.learn(place, entry)
