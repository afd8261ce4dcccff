"""What an API keeps is its receiver's at every replica."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from guard.fleet.receipts import DEADLINE_S
from guard.types import Account, Exchange, Peer
from guard.unjudged import UNREAD
from tests.fleet.conftest import Replica, Replicas, until
from tests.servers import Server

pytestmark = pytest.mark.anyio
OWNER, OTHER = "ab" * 16, "cd" * 16


def naming(replica: Replica, account: str, name: str) -> Exchange:
    return Exchange(
        Account(account), Peer(), "/v1/responses/x", UNREAD, kept=replica.guard.conversations.places([name])
    )


async def refused(replica: Replica, account: str, name: str) -> bool:
    exchange = naming(replica, account, name)
    await replica.fleet.recall(exchange)
    return replica.guard.conversations.foreign(exchange, 10.0) is not None


async def test_an_id_that_one_replica_has_given_out_is_its_owners_at_the_other(
    replicas: Callable[..., Replicas], store_server: Server
) -> None:
    """And nobody else's; nor is one that nobody has received, and an erased account owns none."""
    group = replicas()
    here, there = group.add(), group.add()
    for one in (here, there):
        one.guard.conversations.watch()
    running = asyncio.create_task(here.fleet.run())
    try:
        here.guard.conversations.bind(OWNER, "resp_1", 10.0)
        tries = 0
        while await refused(there, OWNER, "resp_1"):  # this machine may be slower than the deadline
            tries += 1
            assert tries < 500
        assert await refused(there, OTHER, "resp_1")
        assert await refused(there, OWNER, "resp_2")
        here.fleet.voice.erase(OWNER, 11.0)
        await until(lambda: not store_server.call("KEYS", "*kept.*"))
        third = group.add()
        third.guard.conversations.watch()
        assert await refused(third, OWNER, "resp_1")
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_store_that_hangs_holds_no_request_up(replicas: Callable[..., Replicas], own_server: Server) -> None:
    """After the deadline it is as if nobody had received it; what is bound meanwhile waits."""
    group = Replicas(own_server.url)
    one = group.add()
    one.guard.conversations.watch()
    assert await refused(one, OWNER, "resp_1")
    own_server.stop()
    begun = time.monotonic()
    assert await refused(one, OWNER, "resp_2")
    assert time.monotonic() - begun < DEADLINE_S + 3.0
    one.guard.conversations.bind(OWNER, "resp_3", 10.0)
    assert not await refused(one, OWNER, "resp_3")
    own_server.resume()
    await one.fleet._receipts.send()
    assert not one.fleet._receipts._waiting
    await one.close()
