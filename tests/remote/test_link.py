"""The line to a store: its address without secrets, its errors in one word, its scripts found again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis import exceptions

from guard.errors import InstallError
from guard.remote.link import Link, Trouble, address, trouble
from tests import servers
from tests.servers import Cluster, Failover, Server

pytestmark = pytest.mark.anyio
ECHO = {"echo": "return {KEYS[1], ARGV[1]}"}


@pytest.fixture
async def link(store_server: Server) -> AsyncIterator[Link]:
    made = Link(store_server.url, scripts=ECHO)
    yield made
    await made.close()


ADDRESSES = {
    "redis://host": ("single", False, (("host", 6379),), 0),
    "valkeys://u:p%40@[::1]:7000/3": ("single", True, (("::1", 7000),), 3),
    "redis+sentinel://a,b:1/2?service=main": ("sentinel", False, (("a", 26379), ("b", 1)), 2),
    "rediss+cluster://a:1,b": ("cluster", True, (("a", 1), ("b", 6379)), 0),
}


@pytest.mark.parametrize(("url", "expected"), ADDRESSES.items())
def test_addresses(url: str, expected: tuple[object, ...]) -> None:
    assert address(url)[:4] == expected


@pytest.mark.parametrize(
    "url",
    ["", "redis", "redis://", "http://h", "redis://secret@h:x", "redis://secret@h/x", "redis+sentinel://secret@h",
     "redis+cluster://secret@h/1", "redis://secret@h?password=secret", "redis://[secret"],
)  # fmt: skip
def test_what_is_no_address_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(InstallError) as refused:
        address(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("scheme", ["redis", "rediss", "valkey+cluster", "redis+sentinel"])
def test_credentials_stand_nowhere(scheme: str) -> None:
    """Neither in what is printed of an address nor of a link."""
    url = f"{scheme}://somebody:hunter2@host:1/0?service=main&sentinel_password=hunter3"
    shown = f"{address(url)} {address(url)!r} {Link(url)!r}"

    assert "hunter" not in shown
    assert "somebody" not in shown
    assert address(url).password == "hunter2"


ERRORS = {
    "lost": [exceptions.ConnectionError("secret"), ConnectionResetError(), asyncio.IncompleteReadError(b"", 1)],
    "timeout": [exceptions.TimeoutError(), TimeoutError(), exceptions.MaxConnectionsError()],
    "noscript": [exceptions.NoScriptError()],
    "readonly": [exceptions.ReadOnlyError(), exceptions.ResponseError("NOREPLICAS not enough")],
    "moved": [exceptions.MovedError("1 h:1"), exceptions.AskError("1 h:1"), exceptions.TryAgainError()],
    "clusterdown": [exceptions.ClusterDownError("x"), exceptions.RedisClusterException("x"), exceptions.MasterDownError("x")],
    "crossslot": [exceptions.ClusterCrossSlotError()],
    "oom": [exceptions.OutOfMemoryError(), exceptions.ResponseError("OOM command not allowed")],
    "loading": [exceptions.BusyLoadingError()],
    "busy": [exceptions.ResponseError("BUSY Redis is busy running a script")],
    "misconf": [exceptions.ResponseError("MISCONF can't save")],
    "noauth": [exceptions.AuthenticationError(), exceptions.ResponseError("NOAUTH x"), exceptions.ResponseError("WRONGPASS x")],
    "noperm": [exceptions.NoPermissionError()],
    "wrongtype": [exceptions.ResponseError("WRONGTYPE x")],
    "other": [exceptions.ResponseError("ERR secret"), exceptions.DataError("secret")],
}  # fmt: skip


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_has_one_word_and_no_message(kind: str) -> None:
    """Nobody knows what a server's message quotes."""
    for error in ERRORS[kind]:
        found = trouble(error)
        assert found.kind == kind, error
        assert "secret" not in str(found)
        assert found.maybe == (kind in {"lost", "timeout"})


async def test_commands_and_scripts(link: Link) -> None:
    assert await link.call("SET", "a", b"\0\xff") in {True, b"OK"}
    assert await link.call("GET", "a", key="a") == b"\0\xff"
    assert await link.script("echo", ["a"], [b"\xfe"]) == [b"a", b"\xfe"]


async def test_a_forgotten_script_is_found_again(link: Link) -> None:
    for _ in range(3):
        await link.call("SCRIPT", "FLUSH")
        assert await link.script("echo", ["a"], ["b"]) == [b"a", b"b"]


async def test_what_the_server_says_is_trouble(link: Link) -> None:
    """Nothing but ``Trouble`` gets out."""
    await link.call("SET", "text", "x")
    for command, kind in (
        (("HGET", "text", "f"), "wrongtype"),
        (("NOSUCH",), "other"),
        (("EVALSHA", "0" * 40, "0"), "noscript"),
    ):
        with pytest.raises(Trouble) as found:
            await link.call(*command)
        assert found.value.kind == kind


async def test_a_server_that_is_gone_and_one_that_hangs(own_server: Server) -> None:
    """Neither takes longer than the link's time, and it is used again when it is back."""
    link = Link(own_server.url, timeout_s=0.1, scripts=ECHO)
    await link.call("PING")
    own_server.stop()
    with pytest.raises(Trouble) as hung:
        await link.call("PING")
    own_server.resume()
    own_server.kill()
    with pytest.raises(Trouble) as lost:
        await link.call("PING")
    own_server.start()

    assert (hung.value.kind, lost.value.kind) == ("timeout", "lost")
    assert await link.script("echo", ["a"], ["b"]) == [b"a", b"b"]
    await link.close()


async def test_more_than_there_are_connections_wait_their_turn(store_server: Server) -> None:
    """Case 106: 500 at once over four connections."""
    link = Link(store_server.url, timeout_s=10.0, connections=4)
    before = int(store_server.info("connected_clients"))
    assert len(await asyncio.gather(*[link.call("GET", "a") for _ in range(500)])) == 500
    assert int(store_server.info("connected_clients")) - before <= 4
    await link.close()


async def test_a_cluster_s_keys_are_found_where_they_are(store_cluster: Cluster) -> None:
    link = Link(store_cluster.url, scripts=ECHO, timeout_s=5.0)
    for number in range(30):
        key = f"{{{number}}}"
        await link.call("SET", key, "x", key=key)
        assert await link.script("echo", [key], ["b"]) == [key.encode(), b"b"]
    with pytest.raises(Trouble) as crossed:
        await link.script("echo", ["{a}", "{b}", "{c}", "{d}"], ["x"])

    assert crossed.value.kind in {"crossslot", "clusterdown"}
    assert {store_cluster.owner(f"{{{number}}}").port for number in range(30)} == {n.port for n in store_cluster.nodes}
    await link.close()


async def test_a_primary_is_found_by_its_sentinels(failover: Failover) -> None:
    link = Link(failover.url, scripts=ECHO, timeout_s=5.0)
    assert await link.script("echo", ["a"], ["b"]) == [b"a", b"b"]
    await link.close()


async def test_a_password_and_a_wrong_one(program: Path, tmp_path: Path) -> None:
    server = servers.Server(program, tmp_path, password="right")
    try:
        good, bad = Link(server.url), Link(server.url.replace("right", "wrong"))
        assert await good.call("PING")
        with pytest.raises(Trouble) as refused:
            await bad.call("PING")
        assert refused.value.kind == "noauth"
        await good.close()
        await bad.close()
    finally:
        server.close()
