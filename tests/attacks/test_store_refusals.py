"""A shared store that says no in the middle of a run, on real servers: certificates, passwords, rights, nodes that are not to be
asked. It is an outage like any other, with a line that says what helps (SECURITY 99, 100, 102, 103, 112)."""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from redis import Redis, exceptions

from benchmarks.faultproxy import Proxy
from guard.remote import names
from guard.remote.inspect import RIGHTS
from tests import servers
from tests.attacks.test_store_attacks import (
    AMOUNT,
    CLOCK,
    WINDOW_S,
    came_true,
    off_loop,
    refused,
    replica,
    used_up,
)
from tests.patience import until
from tests.servers import Cluster, Server

pytestmark = pytest.mark.anyio


@pytest.fixture
def own_cluster(program: Path, tmp_path: Path) -> Iterator[Cluster]:
    """Three nodes that may be broken."""
    cluster = Cluster(program, tmp_path / "cluster")
    yield cluster
    cluster.close()


@pytest.fixture
def lone_node(program: Path, tmp_path: Path) -> Iterator[Server]:
    """A node of a cluster that has all slots."""
    node = Cluster._node(program, tmp_path / "node")
    node.call("CLUSTER", "ADDSLOTSRANGE", 0, servers.SLOTS - 1)
    until(lambda: "ok" in re.findall(r"cluster_state\W+(\w+)", str(node.call("CLUSTER", "INFO"))))
    yield node
    node.close()


async def test_its_certificate_expires(own_server: Server, tmp_path: Path) -> None:
    """103: connections that are made anew fail, which is told as what it is; with a new certificate it goes on."""
    authority = trustme.CA()
    trusted = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(trusted))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    past = datetime.now(UTC) - timedelta(hours=1)

    def show(ends: datetime) -> None:
        authority.issue_cert(servers.HOST, not_before=past - timedelta(days=9), not_after=ends).configure_cert(context)

    show(past + timedelta(days=9))
    with Proxy(own_server.port, tls=context) as proxy:

        def begin() -> None:
            show(past)
            proxy.reset()

        url = f"rediss://{servers.HOST}:{proxy.port}?ssl_ca_certs={trusted}"
        async with replica(url, deadline_s=0.5) as one:
            assert one.up
            await refused(own_server, one, begin, lambda: show(past + timedelta(days=9)), "tls")
        show(past)
        proxy.reset()
        async with replica(url, deadline_s=0.5) as newcomer:
            assert not newcomer.up
            assert newcomer.errors.keys() == {"tls"}
            assert ["certificate" in line for line in newcomer.lines] == [True]
            assert await newcomer.admits()


async def test_its_users_password_is_rotated(own_server: Server) -> None:
    """103: WRONGPASS for those who connect anew; the password is in no line and no condition."""
    own_server.call("ACL", "SETUSER", "guard", "reset", "on", ">old-word-44", *RIGHTS.split())

    def begin() -> None:
        own_server.call("ACL", "SETUSER", "guard", "resetpass", ">new-word-55")
        own_server.call("CLIENT", "KILL", "USER", "guard")

    def end() -> None:
        own_server.call("ACL", "SETUSER", "guard", ">old-word-44")

    async with replica(own_server.url.replace("redis://", "redis://guard:old-word-44@")) as one:
        await refused(own_server, one, begin, end, "noauth")
        assert "-word-" not in repr(one.store.condition(CLOCK.now())) + repr(one.lines)
        assert any("refuses the credentials" in line for line in one.lines)


async def test_its_user_is_deleted(own_server: Server) -> None:
    """103: and made again."""
    own_server.call("ACL", "SETUSER", "guard", "reset", "on", ">w", *RIGHTS.split())
    async with replica(own_server.url.replace("redis://", "redis://guard:w@")) as one:
        await refused(
            own_server, one, lambda: own_server.call("ACL", "DELUSER", "guard"),
            lambda: own_server.call("ACL", "SETUSER", "guard", "reset", "on", ">w", *RIGHTS.split()), "noauth",
        )  # fmt: skip


@pytest.mark.parametrize(
    "command",
    ["FLUSHALL", "CONFIG GET *", "KEYS *", "SCRIPT FLUSH", "ACL LIST", "MONITOR", "DEBUG SLEEP 0", "GET elses", "SET elses x",
     "MODULE LIST", "SHUTDOWN", "REPLICAOF NO ONE", "FUNCTION LIST", "CLIENT KILL TYPE normal"],
)  # fmt: skip
async def test_the_least_rights_are_no_more_than_that(own_server: Server, command: str) -> None:
    """112: who has stolen guard's password reads no other key, erases nothing, and commands no server."""
    own_server.call("ACL", "SETUSER", "guard", "reset", "on", ">w", *RIGHTS.split())
    with Redis(host=servers.HOST, port=own_server.port, username="guard", password="w") as client:
        client.set(names.NEWEST, 1)
        with pytest.raises(exceptions.NoPermissionError):
            client.execute_command(*command.split())
        with pytest.raises(exceptions.ResponseError, match=r"(?i)permission|can.t access"):
            client.eval("return redis.call('GET', 'elses')", 0)


async def test_accounts_that_do_not_lie_together(lone_node: Server) -> None:
    """100: the address of one node, as if it were no cluster. Two accounts of one moment lie in different slots: the server says
    CROSSSLOT, which is counted, told with its remedy, and lets nobody through for nothing."""
    async with replica(lone_node.url) as one:
        await used_up(one)
        begun = time.monotonic()
        others = 0
        while one.errors.get("crossslot", 0) < 4:
            outcomes = await asyncio.gather(*[one.admits(f"{n:032x}") for n in range(3)], one.admits())
            others += sum(outcomes[:3])
            assert all(outcomes[:3]) or others > 3 * AMOUNT
            await asyncio.sleep(0.005)
        admitted = await one.admitted(60)
        assert admitted <= (time.monotonic() - begun) * AMOUNT / WINDOW_S + 0.05 * AMOUNT
        assert any("redis+cluster://" in line for line in one.lines)
        assert not one.errors.keys() - {"crossslot", "forgotten"}


async def test_a_node_that_has_not_the_slot(own_cluster: Cluster) -> None:
    """99: the address of one node of three: MOVED for two accounts in three, each limited here as if it were gone."""
    node = own_cluster.nodes[0]
    async with replica(node.url, deadline_s=0.5) as one:
        far = next(n for n in range(100) if own_cluster.owner(names.key(f"{n:032x}")) is not node)
        subject = f"{far:032x}"
        begun = time.monotonic()
        admitted = await one.admitted(2 * AMOUNT, subject)
        assert admitted <= AMOUNT + (time.monotonic() - begun) * AMOUNT / WINDOW_S + 0.05 * AMOUNT
        assert one.errors.get("moved", 0) > 0
        assert any("redis+cluster://" in line for line in one.lines)


async def test_a_cluster_that_lacks_a_node(own_cluster: Cluster) -> None:
    """99: CLUSTERDOWN of the nodes that are left, and a node that nobody answers at: no fresh budget, and back with it."""
    # One account's record lies on a node that stays.
    node, subject = (
        own_cluster.nodes[-1],
        next(f"{n:032x}" for n in range(100) if own_cluster.owner(names.key(f"{n:032x}")) is own_cluster.nodes[0]),
    )
    async with replica(own_cluster.url, deadline_s=0.5) as one:
        while await one.admits(subject):
            pass
        begun = time.monotonic()
        admitted = 0
        await off_loop(node.kill)

        async def go_on() -> None:
            nonlocal admitted
            admitted += await one.admits(subject)
            await asyncio.sleep(0.005)

        while not one.errors.get("clusterdown"):
            await go_on()
            assert time.monotonic() < begun + 30, one.errors
        while one.up:
            await go_on()
        await off_loop(node.start)
        await came_true(own_cluster.whole, 20)
        await one.until_up()
        for _ in range(50):
            await go_on()
        assert admitted <= (time.monotonic() - begun) * AMOUNT / WINDOW_S + 0.05 * AMOUNT
        assert set(one.errors) <= {"clusterdown", "lost", "timeout", "moved", "forgotten"}


async def test_it_loads_a_large_file(program: Path, tmp_path: Path) -> None:
    """102: LOADING after a restart, of a store that keeps its data: the replica waits for it, and finds what was used there."""
    server = Server(program, tmp_path / "kept", save="3600 1")
    try:
        async with replica(server.url) as one:
            await used_up(one)
            server.call("DEBUG", "POPULATE", 2_000)
            server.call("SAVE")
            begun = time.monotonic()
            await off_loop(server.kill)
            server.options |= {"key-load-delay": "500", "loading-process-events-interval-bytes": "1024"}
            admitted = 0

            async def ask(until: Any) -> None:
                nonlocal admitted
                while not until.done():
                    admitted += await one.admits()
                    await asyncio.sleep(0.005)

            starting = asyncio.ensure_future(off_loop(server.start))
            await ask(starting)
            await starting
            assert one.errors.get("loading", 0) > 0, one.errors
            await one.until_up()
            admitted += await one.admitted(50)
            assert admitted <= (time.monotonic() - begun) * AMOUNT / WINDOW_S + 0.05 * AMOUNT
        async with replica(server.url) as newcomer:
            assert await newcomer.level() > 0.9 * AMOUNT
    finally:
        server.close()


async def test_lost_writes_are_counted(own_server: Server) -> None:
    """104: what a failover or an eviction has cost is made good, and told."""
    async with replica(own_server.url, deadline_s=5.0) as one:
        for _ in range(3):
            assert await one.admits()
            assert "forgotten" not in one.errors
        for times in (1, 2):
            await off_loop(own_server.call, "FLUSHALL")
            assert await one.admits()
            assert await one.admits()
            assert one.errors == {"forgotten": times}


async def test_it_really_evicts(own_server: Server) -> None:
    """101: a store that is set up to throw limits away, and full: nobody's limit begins anew, and it is told."""
    own_server.call("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
    async with replica(own_server.url, deadline_s=1.0) as one:
        await used_up(one)
        begun = time.monotonic()
        own_server.call("CONFIG", "SET", "maxmemory", 3_000_000)
        admitted = 0
        for turn in range(40):
            await off_loop(filled, own_server, turn)
            admitted += await one.admitted(5)
            if one.errors.get("forgotten", 0) >= 3:
                break
        assert int(own_server.info("evicted_keys")) > 0
        assert one.errors.get("forgotten", 0) > 0, one.errors
        assert admitted <= (time.monotonic() - begun) * AMOUNT / WINDOW_S + 0.02 * AMOUNT


def filled(server: Server, turn: int) -> None:
    """Somebody else's values, more than there is room for."""
    with server.client() as client, client.pipeline(transaction=False) as many:
        for number in range(300):
            many.set(f"{turn}-{number}", "x" * 10_000)
        many.execute(raise_on_error=False)
