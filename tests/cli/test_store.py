"""``guard store check`` on real servers, right and wrong ones: what it says, its exit code, and that it leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.faultproxy import Fault, Proxy
from guard.cli import main
from guard.remote.inspect import RIGHTS, inspect
from tests import servers

SECRET = "open-sesame-7"
Check = Callable[..., tuple[int, dict[str, dict[str, str]], str]]


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Check:
    """Runs it with ``--json``; (exit code, finding by what, all that was printed)."""

    def run(*words: str) -> tuple[int, dict[str, dict[str, str]], str]:
        capsys.readouterr()
        code = main(["store", "check", *words, "--json"])
        out, err = capsys.readouterr()
        return code, {each["what"]: each for each in json.loads(out)} if out else {}, out + err

    return run


def wrong(found: dict[str, dict[str, str]]) -> dict[str, str]:
    """What is not ok."""
    return {what: each["state"] for what, each in found.items() if each["state"] != "ok"}


@pytest.fixture
def locked(program: Path, tmp_path: Path) -> Iterator[servers.Server]:
    """A server that asks for a password."""
    server = servers.Server(program, tmp_path / "server", password=SECRET)
    yield server
    server.close()


def test_a_good_store(store_server: servers.Server, check: Check) -> None:
    """All is looked at, all is well, nothing is left behind."""
    code, found, _ = check(store_server.url)
    assert (code, wrong(found)) == (0, {})
    assert {"reached", "version", "latency", "eviction", "persistence", "scripts", "clock", "memory", "layout"} <= {
        *found
    }
    assert not any(each["remedy"] for each in found.values())
    assert store_server.call("DBSIZE") == 0


def test_in_words(store_server: servers.Server, capsys: pytest.CaptureFixture[str]) -> None:
    """The verdict first, then a line for each finding."""
    assert main(["store", "check", store_server.url]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "the store can be used"
    assert any(
        line.startswith("  ok       version     ") and store_server.info("redis_version") in line for line in lines
    )


@pytest.mark.parametrize(
    ("policy", "most", "state"),
    [
        ("allkeys-lru", "100mb", "error"),
        ("volatile-lru", "100mb", "warning"),
        ("volatile-ttl", "100mb", "ok"),
        ("noeviction", "100mb", "ok"),
        ("allkeys-lru", "0", "warning"),
    ],
)
def test_what_is_thrown_away_when_it_is_full(
    own_server: servers.Server, check: Check, policy: str, most: str, state: str
) -> None:
    """Limits in use must not be: noeviction, or what is nearly drained first."""
    own_server.call("CONFIG", "SET", "maxmemory-policy", policy, "maxmemory", most)
    code, found, _ = check(own_server.url)
    assert found["eviction"]["state"] == state
    assert code == (state == "error")
    assert ("noeviction" in found["eviction"]["remedy"]) == (state != "ok")


def test_a_full_store(own_server: servers.Server, check: Check) -> None:
    """Neither room nor writes: an error each, with what to do."""
    own_server.call("CONFIG", "SET", "maxmemory", "1kb")
    code, found, _ = check(own_server.url)
    assert code == 1
    assert wrong(found) == {"scripts": "error", "memory": "error"}
    assert "maxmemory" in found["memory"]["remedy"]


def test_nobody_listens(check: Check) -> None:
    """One finding, at once."""
    begun = time.monotonic()
    code, found, _ = check(f"redis://127.0.0.1:{servers.free_port()}")
    assert (code, wrong(found)) == (1, {"reached": "error"})
    assert time.monotonic() - begun < 5


def test_somebody_else_listens(check: Check) -> None:
    """A web server, say: it is no Redis, and nothing it says is shown."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        code, found, said = check(f"redis://127.0.0.1:{listener.getsockname()[1]}")
        thread.join(10)
    assert (code, wrong(found)) == (1, {"reached": "error"})
    assert "HTTP" not in said


def test_somebody_who_never_answers(store_server: servers.Server, check: Check) -> None:
    """It gives up within seconds."""
    with Proxy(store_server.port) as proxy:
        proxy.fault = Fault(half_open=True)
        begun = time.monotonic()
        code, found, _ = check(f"redis://127.0.0.1:{proxy.port}")
        assert time.monotonic() - begun < 10
    assert (code, wrong(found)) == (1, {"reached": "error"})


@pytest.mark.parametrize("url", ["redis://127.0.0.1:{port}", "redis://:wrong-{secret}@127.0.0.1:{port}"])
def test_the_password_is_wrong_or_missing(locked: servers.Server, check: Check, url: str) -> None:
    """That is said; the password is not."""
    code, found, said = check(url.format(port=locked.port, secret=SECRET))
    assert (code, wrong(found)) == (1, {"reached": "error"})
    assert "password" in found["reached"]["told"]
    assert SECRET not in said


def test_the_password_is_right(
    locked: servers.Server, check: Check, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the URL, or in a variable that it names; printed nowhere."""
    code, found, said = check(locked.url)
    assert (code, wrong(found)) == (0, {})
    assert SECRET not in said
    monkeypatch.setenv("THE_STORE", locked.url)
    assert main(["store", "check", "env:THE_STORE"]) == 0
    assert SECRET not in capsys.readouterr().out


def test_a_user_without_scripts(own_server: servers.Server, check: Check) -> None:
    """The rights that are missing are named, so that they can be copied; given, all is well."""
    own_server.call("ACL", "SETUSER", "few", "on", f">{SECRET}", "~*", "+@all", "-@scripting")
    url = f"redis://few:{SECRET}@127.0.0.1:{own_server.port}"
    code, found, said = check(url)
    assert (code, wrong(found)) == (1, {"scripts": "error"})
    assert RIGHTS in found["scripts"]["remedy"]
    assert SECRET not in said
    own_server.call("ACL", "SETUSER", "few", "reset", "on", f">{SECRET}", *RIGHTS.split())
    assert check(url)[0] == 0
    assert wrong(check(url)[1]) == {}


def test_a_user_with_little_more_than_scripts(own_server: servers.Server, check: Check) -> None:
    """What can't be told is a warning with the right that is missing, not an error."""
    rights = [word for word in RIGHTS.split() if word not in {"+info", "+scan", "+time"}]
    own_server.call("ACL", "SETUSER", "few", "on", f">{SECRET}", *rights, "-info", "-scan")
    code, found, _ = check(f"redis://few:{SECRET}@127.0.0.1:{own_server.port}")
    assert wrong(found).items() >= {"facts": "warning", "layout": "warning"}.items()
    assert "+info" in found["facts"]["remedy"]
    assert code == (found["scripts"]["state"] == "error")


def test_a_replica(failover: servers.Failover, check: Check) -> None:
    """It takes no writes; found by its sentinel the primary is right."""
    code, found, _ = check(failover.replica.url)
    assert (code, wrong(found)) == (1, {"scripts": "error", "role": "error"})
    assert "sentinel" in found["role"]["remedy"]
    assert check(failover.url)[0] == 0


def test_a_cluster_and_its_node(store_cluster: servers.Cluster, check: Check) -> None:
    """All nodes are looked at; one of them by itself is the wrong address."""
    code, found, _ = check(store_cluster.url)
    assert (code, wrong(found)) == (0, {})
    assert found["cluster"]["told"].startswith("16,384 of 16,384 slots")
    assert "3 nodes alike" in found["version"]["told"]
    code, found, _ = check(store_cluster.nodes[0].url)
    assert code == 1
    assert "redis+cluster" in found["cluster"]["remedy"]


def test_one_node_of_a_cluster_is_set_up_otherwise(store_cluster: servers.Cluster, check: Check) -> None:
    """That node is named."""
    node = store_cluster.nodes[1]
    node.call("CONFIG", "SET", "maxmemory-policy", "allkeys-random", "maxmemory", "500mb")
    try:
        code, found, _ = check(store_cluster.url)
    finally:
        node.call("CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", "0")
    assert (code, wrong(found)) == (1, {"eviction": "error"})
    assert found["eviction"]["told"].startswith(f"127.0.0.1:{node.port}: allkeys-random")


def test_what_else_is_kept_under_our_names(store_server: servers.Server, check: Check) -> None:
    """Keys that never expire are not guard's; those of a newer guard are told; neither is named."""
    store_server.call("HSET", "g1:{intruder}", "a", "1")
    code, found, said = check(store_server.url)
    assert (code, wrong(found)) == (0, {"layout": "warning"})
    assert "intruder" not in said
    store_server.call("FLUSHALL")
    store_server.call("SET", "g2:{x}", "1", "EX", "100")
    code, found, _ = check(store_server.url)
    assert (code, wrong(found)) == (0, {"layout": "warning"})
    assert "newer guard (g2)" in found["layout"]["told"]


def test_a_clock_that_is_wrong(store_server: servers.Server) -> None:
    """By how much, and that both should keep time."""
    found = {each.what: each for each in asyncio.run(inspect(store_server.url, clock=lambda: time.time() - 90))}
    assert found["clock"].state == "warning"
    assert found["clock"].told.startswith("+90.")
    assert "NTP" in found["clock"].remedy


def test_a_slow_store(store_server: servers.Server) -> None:
    """Slower than requests wait: an error, since nothing would be decided by it."""
    with Proxy(store_server.port) as proxy:
        proxy.fault = Fault(delay_s=0.03)
        found = {each.what: each for each in asyncio.run(inspect(f"redis://127.0.0.1:{proxy.port}"))}
    assert found["latency"].state == "error"
    assert "deadline" in found["latency"].remedy


def test_tls(store_server: servers.Server, tmp_path: Path, check: Check) -> None:
    """By an authority that is named; one that isn't known is not talked to."""
    pytest.importorskip("trustme", reason="certificates are made by trustme")
    both, authority = servers.certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(both)
    with Proxy(store_server.port, context) as proxy:
        code, found, _ = check(f"rediss://127.0.0.1:{proxy.port}?ssl_ca_certs={authority}")
        assert (code, wrong(found)) == (0, {})
        assert check(f"rediss://127.0.0.1:{proxy.port}")[0] == 1


def test_the_store_of_the_policy(store_server: servers.Server, tmp_path: Path, check: Check, monkeypatch: Any) -> None:
    """Without a URL it is the one that guard.toml names, with its deadline; none named is said, and exit 2."""
    monkeypatch.chdir(tmp_path)
    head = 'version = 1\nmode = "enforce"\n[[limit]]\nid = "a"\nper = ["account"]\nrequests = "1/minute"\n'
    (tmp_path / "guard.toml").write_text(head + f'[state]\nstore = "{store_server.url}"\ndeadline = "40 ms"\n')
    code, found, _ = check()
    assert (code, wrong(found)) == (0, {})
    assert "40 ms at most" in found["latency"]["told"]
    (tmp_path / "other.toml").write_text(head)
    code, _, said = check("--policy", "other.toml")
    assert code == 2
    assert "other.toml names no store" in said


@pytest.mark.parametrize("url", ["http://127.0.0.1", "redis+sentinel://127.0.0.1", "redis://u:hidden-9@h:x/0"])
def test_an_address_that_is_none(url: str, check: Check) -> None:
    """The question was wrong: exit 2, one sentence, no secret."""
    code, _, said = check(url)
    assert code == 2
    assert "hidden-9" not in said
