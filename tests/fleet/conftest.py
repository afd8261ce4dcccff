"""Replicas for tests: guards in one process that know of each other through a real server alone."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import anyio
import pytest
from redis import Redis

from guard.clock import Clock, ManualClock
from guard.config import load
from guard.fleet.duty import Duty
from guard.fleet.fleet import Fleet
from guard.hashing import REPLAY_KEY, HashKey
from guard.pipeline import Guard
from guard.remote.link import Link
from guard.replay import ExchangeLog, Replay
from guard.settings import Policy
from tests.patience import PATIENCE_S
from tests.populations import START, Judged
from tests.servers import Server

KEY = HashKey(REPLAY_KEY)


class Replica:
    """One guard among others, and a replay that decides by it."""

    def __init__(
        self,
        url: str,
        clock: Clock,
        policy: Policy,
        *,
        serves: bool = True,
        by_store_time: bool = False,
        key: HashKey = KEY,
        former: HashKey | None = None,
    ) -> None:
        self.policy = policy
        self.guard = Guard(policy, key=key, former=former)
        self.link = Link(url)
        self.fleet = Fleet(self.guard, self.link, clock, serves=serves, by_store_time=by_store_time, former=former)
        self.replay = Replay(policy, guard=self.guard, due=_nothing)

    @property
    def duty(self) -> Duty:
        """What it does as whoever leads."""
        assert self.fleet._office.duty is not None
        return self.fleet._office.duty

    async def close(self) -> None:
        """It ends in good order."""
        await self.fleet.close()
        await self.link.close()


class Replicas:
    """Several of them by one clock. ``settle`` lets each have its turn so often that all has come to all."""

    def __init__(self, url: str, policy: Policy | None = None) -> None:
        self.clock = ManualClock(START)
        self._url = url
        self._policy = policy or replace(load("standard"), mode="enforce")
        self.all: list[Replica] = []
        self._dice = random.Random(7)
        self._reader = ExchangeLog()

    def add(self, *, policy: Policy | None = None, **more: Any) -> Replica:
        """One more."""
        made = Replica(self._url, self.clock, policy or self._policy, **more)
        self.all.append(made)
        return made

    async def settle(self, seconds: float = 1.2, rounds: int = 3) -> None:
        """Time passes, and everybody has so many turns."""
        for _ in range(rounds):
            self.clock.advance(seconds / rounds)
            for replica in self.all:
                await replica.fleet.round()

    def leader(self) -> Replica:
        """Whoever leads."""
        return next(replica for replica in self.all if replica.fleet.leads)

    async def lost(self, replica: Replica) -> None:
        """It ends as by ``kill -9``; whoever led, its lease has run out."""
        self.all.remove(replica)
        await replica.link.close()
        with Redis.from_url(self._url) as client:
            for name in client.scan_iter("*:lead"):
                client.delete(name)

    async def led(self) -> Replica:
        """Whoever leads, once somebody does."""
        for _ in range(10):
            await self.settle()
            for replica in self.all:
                if replica.fleet.leads:
                    return replica
        raise AssertionError("nobody leads")

    async def deal(self, lines: Sequence[bytes], every: int = 50) -> Judged:
        """Exchanges come to one or another of those that serve, by lot; all is told after every so many of them."""
        found, reader = Judged(), self._reader
        serving = [replica for replica in self.all if replica.fleet.serves]
        for count, line in enumerate(lines, 1):
            logged = reader.read(line)
            self.clock.set(logged.at)
            found.add(self._dice.choice(serving).replay.decide(logged))
            if count % every == 0:
                await self.settle(0.0, 2)
        await self.settle()
        return found


@pytest.fixture
async def replicas(store_server: Server) -> AsyncIterator[Callable[..., Replicas]]:
    """Makes ``Replicas`` on an empty server; they end with the test."""
    made: list[Replicas] = []

    def make(policy: Policy | None = None) -> Replicas:
        made.append(Replicas(store_server.url, policy))
        return made[-1]

    async with AsyncExitStack() as ending:
        yield make
        for group in made:
            for replica in group.all:
                ending.push_async_callback(replica.close)


async def until(holds: Callable[[], bool], within_s: float = PATIENCE_S) -> float:
    """Looks until it holds, while everybody else goes on; the seconds it took."""
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < within_s, "it never came to hold"
        await anyio.sleep(0.002)
    return time.monotonic() - begun


def _nothing(now: float) -> None:
    """Recognition is led elsewhere."""
