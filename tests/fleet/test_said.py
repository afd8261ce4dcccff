"""What the operator says at one replica holds at all of them within a second, and for who comes later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import orjson
import pytest

from guard.clock import SystemClock
from guard.config import load
from guard.errors import AdminError, StateError
from guard.fleet import said
from guard.pipeline import Guard
from guard.settings import Grant
from guard.types import Account, Exchange, Features, Peer
from guard.words import subject
from tests.fleet.conftest import KEY, Replica, Replicas, until
from tests.populations import hydra, log, people
from tests.servers import Server

pytestmark = pytest.mark.anyio
WITHIN_S = 1.0
SOMEBODY = subject("account:somebody", KEY).partition(":")[2]
WHO = Account(SOMEBODY, names=frozenset({f"account:{SOMEBODY}"}))


@asynccontextmanager
async def running(url: str, count: int = 2, *, by_store_time: bool = False) -> AsyncIterator[list[Replica]]:
    """So many replicas by the real clock, each in its task, once they know what all know."""
    policy = replace(load("standard"), mode="enforce")
    clock = SystemClock()
    made = [Replica(url, clock, policy, by_store_time=by_store_time) for _ in range(count)]
    tasks = [asyncio.create_task(one.fleet.run()) for one in made]
    try:
        await until(lambda: all(one.fleet.ready(0.0) for one in made))
        yield made
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in made:
            await one.close()


async def test_each_word_holds_at_the_other_replica_within_a_second(store_server: Server) -> None:
    """Grant, block, revoke, the mode: said at one, in force at the other."""
    async with running(store_server.url) as (here, there):
        clock = SystemClock()
        words, voice = there.guard.words, here.fleet.voice
        version = words.version
        voice.block("account:somebody", "a test", 0.0, clock.now())
        assert await until(lambda: words.block(WHO, clock.now()) is not None) < WITHIN_S
        assert words.version > version, "a running stream looks again"
        voice.revoke("account:somebody", clock.now())
        assert await until(lambda: words.block(WHO, clock.now()) is None) < WITHIN_S
        voice.grant(Grant("account:somebody", "a test", 0.0, False), clock.now())
        assert await until(lambda: words.grant(WHO, clock.now()) is not None) < WITHIN_S
        held = words.grant(WHO, clock.now())
        assert held is not None
        assert (held.why, held.told) == ("a test", False)
        voice.set_mode("observe", 0.0, clock.now())
        assert await until(lambda: words.mode(clock.now()) == "observe") < WITHIN_S
        voice.set_mode("policy", 0.0, clock.now())
        assert await until(lambda: words.mode(clock.now()) == "enforce") < WITHIN_S


async def test_what_was_said_before_holds_for_who_comes_later(store_server: Server) -> None:
    """A replica that starts takes up grants, blocks and the mode before its first exchange; what was revoked is not among them."""
    async with running(store_server.url, 1) as (here,):
        clock = SystemClock()
        here.fleet.voice.grant(Grant("org:acme", "a test", 0.0), clock.now())
        here.fleet.voice.block("account:somebody", "a test", 0.0, clock.now())
        here.fleet.voice.block("account:another", "a test", 0.0, clock.now())
        here.fleet.voice.revoke("account:another", clock.now())
        here.fleet.voice.set_mode("observe", 0.0, clock.now())
        await until(lambda: here.fleet.condition(0.0)["unsaid"] == 0)
        async with running(store_server.url, 1) as (later,):
            assert later.guard.words.snapshot() == here.guard.words.snapshot()
            assert later.guard.words.counts() == here.guard.words.counts()


async def test_nothing_that_was_typed_stands_in_the_store(store_server: Server) -> None:
    """Subjects travel as keyed hashes."""
    async with running(store_server.url, 1) as (here,):
        now = SystemClock().now()
        for word in (here.fleet.voice.block, lambda typed, *_: here.fleet.voice.erase(typed, now)):
            word("account:somebody-by-name", "a test", 0.0, now)
        await here.fleet.round()
        with store_server.client() as client:
            key = next(iter(client.scan_iter("*:said")))
            kept = repr(store_server.call("XRANGE", key, "-", "+")) + repr(
                store_server.call("HGETALL", key.replace(":said", ":words"))
            )
        assert "somebody-by-name" not in kept
        assert subject("account:somebody-by-name", KEY) in kept


async def test_what_one_replica_sees_the_other_knows_within_a_second(store_server: Server) -> None:
    """By the real clock and the store's: an exchange is looked at by whoever leads, and what it comes to is known to all."""
    async with running(store_server.url, by_store_time=True) as (here, there):
        clock = SystemClock()
        exchange = Exchange(
            replace(WHO, created=1.0), Peer(), "/", Features(2, "json", "m", False, (), (), 10, None, slot=1)
        )
        here.guard.recognition.look(exchange, clock.now())
        known = there.guard.recognition.accounts
        took_s = await until(lambda: known.find(SOMEBODY) is not None)
        assert took_s < 2 * WITHIN_S, "two ways and the leader's hold-back"
        found = known.find(SOMEBODY)
        assert found is not None
        assert (found.count, found.dated) == (1, True)


@pytest.mark.parametrize("which", ["account", "cluster", "grant", "erase"])
async def test_who_is_forgiven_at_one_replica_is_everywhere_and_stays_so(
    replicas: Callable[..., Replicas], which: str
) -> None:
    """Also at whoever leads, whose next findings would else bring it back; an erased account is not known any more."""
    group = replicas()
    first, second = group.add(), group.add()
    await group.led()
    await group.deal(log(people(), hydra())[:1_014])
    asked = first if second.fleet.leads else second
    cluster = next(iter(asked.guard.recognition.clusters))
    key = next(known.key for known in asked.guard.recognition.accounts if known.cluster == cluster.number)
    voice, now = asked.fleet.voice, group.clock.now()
    if which == "account":
        assert voice.forgive(key, now) == 1
    elif which == "cluster":
        assert voice.forgive(f"cluster:{cluster.name}", now) > 40
    elif which == "grant":
        voice.grant(Grant(key, "a test", 0.0), now)
    else:
        assert voice.erase(key, now)
    await group.settle(1.0, 5)
    for one in (first, second):
        known = one.guard.recognition.accounts.find(key)
        assert (known is None) == (which == "erase")
        assert known is None or (known.cluster, bool(known.cleared)) == (0, which in {"account", "cluster"})
        assert len(one.guard.recognition.clusters) == (which != "cluster")
    joined = group.add()
    await group.settle(1.0, 5)
    known = joined.guard.recognition.accounts.find(key)
    assert (known is None) == (which == "erase")
    assert known is None or known.cluster == 0


async def test_what_was_taken_back_does_not_come_back_when_nothing_else_holds(
    replicas: Callable[..., Replicas],
) -> None:
    """Whoever leads tells the words again to a store that has lost them, and to no other."""
    group = replicas()
    first, second = group.add(), group.add()
    led = await group.led()
    other = second if led is first else first
    other.fleet.voice.block("account:somebody", "a test", 0.0, group.clock.now())
    await group.settle()
    other.fleet.voice.revoke("account:somebody", group.clock.now())
    await other.fleet.round()
    group.clock.advance(2.0)
    await led.fleet.round()
    await group.settle(6.0, 6)
    assert [one.guard.words.counts()["blocks"] for one in (first, second)] == [0, 0]


def test_a_cluster_that_there_is_not_is_told_to_nobody() -> None:
    """The mistake is the operator's who makes it."""
    told: list[bytes] = []
    voice = said.Voice(Guard(load("standard"), key=KEY), lambda word, holds: told.append(word))
    with pytest.raises(AdminError):
        voice.forgive("cluster:c1-none", 0.0)
    assert told == []


@pytest.mark.parametrize(
    "word",
    [
        b"",
        b"[]",
        b"{}",
        b'{"v":1}',
        b'{"v":2,"verb":"block","names":["account:x"],"why":"","until":0}',
        b'{"v":1,"verb":"grant","names":["account:x"]}',
        b'{"v":1,"verb":"mode","names":[],"mode":"away","until":0}',
        b'{"v":1,"verb":"holds","names":[],"words":[]}',
    ],
)
def test_what_is_no_word_is_refused(word: bytes) -> None:
    """And changes nothing."""
    guard = Guard(load("standard"), key=KEY)
    before = guard.words.snapshot()
    with pytest.raises(StateError):
        said.hear(word, guard, None, 0.0)
    assert guard.words.snapshot() == before


def test_words_that_hold_survive_being_kept() -> None:
    """What is kept of them is taken up as it was; what can't be read is left out."""
    guard, other = Guard(load("standard"), key=KEY), Guard(load("standard"), key=KEY)
    guard.grant(Grant("org:acme", "a test", 12.0, False), 0.0)
    guard.block("account:x", "a test", 0.0, 0.0)
    guard.set_mode("observe", 5.0, 0.0)
    kept = said.holding(guard) | {"grant account:y": b"torn", "else": b"[]", "block ": orjson.dumps([1])}
    assert said.take_up(kept, other) == len(said.holding(guard))
    assert other.words.snapshot() == guard.words.snapshot()
