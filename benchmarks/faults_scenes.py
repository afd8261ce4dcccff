"""What is done to the store while it is asked: each fault begins, lasts, and is over, on real servers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from faultproxy import FINE, Fault, Proxy

from tests import servers

POLL_S = 0.05
FLAP_S = 0.2
LOOK_S = 0.02
HEALS_S = 60.0
DEAD = 1
"""A port that nobody listens on."""


class Rig:
    """The store of one run: its servers, and a proxy where the fault lies between it and the replicas."""

    def __init__(self, kind: str, program: Path, folder: Path) -> None:
        self.single: servers.Server | None = None
        self.cluster: servers.Cluster | None = None
        self.trio: servers.Failover | None = None
        self.proxy: Proxy | None = None
        self._looking: dict[servers.Server, Any] = {}
        self._counted: dict[tuple[servers.Server, int], int] = {}
        self._served = [0, 0]
        if kind == "cluster":
            self.cluster = servers.Cluster(program, folder)
            self.url, self.nodes = self.cluster.url, self.cluster.nodes
        elif kind == "failover":
            self.trio = servers.Failover(program, folder)
            self.url, self.nodes = self.trio.url, [self.trio.primary, self.trio.replica]
        else:
            self.single = servers.Server(program, folder)
            self.url, self.nodes = self.single.url, [self.single]
            if kind == "proxy":
                self.proxy = Proxy(self.single.port).__enter__()
                self.url = f"redis://{servers.HOST}:{self.proxy.port}/0"

    def close(self) -> None:
        for client in self._looking.values():
            client.close()
        if self.proxy is not None:
            self.proxy.__exit__()
        for one in (self.single, self.cluster, self.trio):
            if one is not None:
                one.close()

    def served(self) -> int | None:
        """What the store was asked to do so far, None: it is not there. Scripts, where it was asked to run any: what they do counts
        as commands of its own, and once more where there is a replica. Else commands, but for those that look after it."""
        there = False
        for node in self.nodes:
            if node.process is None:
                continue
            if node not in self._looking:
                self._looking[node] = node.client(timeout_s=0.5)
            with contextlib.suppress(servers.RedisError, OSError):
                calls, scripts = 0, 0
                for name, figures in self._looking[node].info("commandstats").items():
                    command = name.removeprefix("cmdstat_").partition("|")[0]
                    scripts += int(figures["calls"]) * (command in _SCRIPTS)
                    calls += int(figures["calls"]) * (command not in _UPKEEP)
                # A server that has been restarted counts from 0; one that doesn't answer now has not forgotten.
                for place, count in enumerate((calls, scripts)):
                    before = self._counted.get((node, place), 0)
                    self._served[place] += count - before if count >= before else count
                    self._counted[node, place] = count
                there = True
        return (self._served[1] or self._served[0]) if there else None


_UPKEEP = {
    "info", "ping", "config", "client", "hello", "cluster", "select", "auth", "command", "script", "time", "replconf",
    "psync", "publish", "subscribe", "flushall", "debug", "role", "readonly", "asking", "migrate", "restore", "scan",
    "restore-asking", "dbsize", "acl",
}  # fmt: skip

_SCRIPTS = {"eval", "evalsha", "fcall"}

Healed = float
"""The moment (``time.monotonic``) when the fault was over."""


class Scene(NamedTuple):
    """One fault: the kind of rig it needs, and what is done for about so many seconds. ``alone``: not measured beside others,
    since there is a bar for its milliseconds, or it takes a core for itself."""

    name: str
    rig: str
    act: Callable[[Rig, float], Awaitable[Healed]]
    alone: bool = False


async def _until(holds: Callable[[], bool]) -> None:
    """Looks now and then: more often would hold up those who ask."""
    ends = time.monotonic() + HEALS_S
    while not await asyncio.to_thread(holds):
        if time.monotonic() > ends:
            raise TimeoutError("the store did not heal")
        await asyncio.sleep(LOOK_S)


def _single(rig: Rig) -> servers.Server:
    assert rig.single is not None
    return rig.single


async def kill(rig: Rig, lasts_s: float) -> Healed:
    """``kill -9``; it comes back empty."""
    await asyncio.to_thread(_single(rig).kill)
    await asyncio.sleep(lasts_s)
    await asyncio.to_thread(_single(rig).start)
    return time.monotonic()


async def hang(rig: Rig, lasts_s: float) -> Healed:
    """It keeps its connections and says nothing."""
    _single(rig).stop()
    await asyncio.sleep(lasts_s)
    _single(rig).resume()
    return time.monotonic()


def _network(fault: Fault) -> Callable[[Rig, float], Awaitable[Healed]]:
    async def act(rig: Rig, lasts_s: float) -> Healed:
        assert rig.proxy is not None
        rig.proxy.fault = fault
        await asyncio.sleep(lasts_s)
        rig.proxy.fault = FINE
        return time.monotonic()

    return act


async def flap(rig: Rig, lasts_s: float) -> Healed:
    """Gone for 200 ms, there for 200 ms, again and again."""
    assert rig.proxy is not None
    end = time.monotonic() + lasts_s
    while time.monotonic() < end:
        for fault in (Fault(down=True), FINE):
            rig.proxy.fault = fault
            await asyncio.sleep(FLAP_S)
    return time.monotonic()


async def fail_over(rig: Rig, lasts_s: float) -> Healed:
    """The primary dies for good; the sentinel makes the replica the primary."""
    assert rig.trio is not None
    trio = rig.trio
    begun = time.monotonic()
    await asyncio.to_thread(trio.primary.kill)
    await _until(trio.promoted)
    healed = time.monotonic()
    await asyncio.sleep(max(0.0, lasts_s - (healed - begun)))
    return healed


async def flush(rig: Rig, lasts_s: float) -> Healed:
    """Everything is erased, scripts too; every second again."""
    end = time.monotonic() + lasts_s
    while time.monotonic() < end:
        for command in ("FLUSHALL", "SCRIPT FLUSH"):
            await asyncio.to_thread(_single(rig).call, *command.split())
        await asyncio.sleep(min(1.0, lasts_s))
    return time.monotonic()


async def out_of_memory(rig: Rig, lasts_s: float) -> Healed:
    """No room for any write."""
    await asyncio.to_thread(_single(rig).call, "CONFIG", "SET", "maxmemory", "1", "maxmemory-policy", "noeviction")
    await asyncio.sleep(lasts_s)
    await asyncio.to_thread(_single(rig).call, "CONFIG", "SET", "maxmemory", "0")
    return time.monotonic()


async def read_only(rig: Rig, lasts_s: float) -> Healed:
    """It has become a replica of a primary that isn't there."""
    await asyncio.to_thread(_single(rig).call, "REPLICAOF", servers.HOST, DEAD)
    await asyncio.sleep(lasts_s)
    await asyncio.to_thread(_single(rig).call, "REPLICAOF", "NO", "ONE")
    return time.monotonic()


async def busy(rig: Rig, lasts_s: float) -> Healed:
    """Somebody's script runs and runs; every other command is told BUSY."""
    server = _single(rig)
    await asyncio.to_thread(server.call, "CONFIG", "SET", "busy-reply-threshold", "10")
    loop = (
        "local function now() local time = redis.call('TIME') return time[1] + time[2] / 1e6 end "
        f"local ends = now() + {lasts_s} while now() < ends do end"
    )
    await asyncio.to_thread(server.call, "EVAL", loop, 0)
    return time.monotonic()


async def cluster_down(rig: Rig, lasts_s: float) -> Healed:
    """One of three nodes dies: the others serve nobody, until it is back, empty."""
    assert rig.cluster is not None
    node = rig.cluster.nodes[-1]
    await asyncio.to_thread(node.kill)
    await asyncio.sleep(lasts_s)
    await asyncio.to_thread(node.start)
    await _until(rig.cluster.whole)
    return time.monotonic()


async def reshard(rig: Rig, lasts_s: float) -> Healed:
    """Every slot that holds something moves to the next node, with all that belongs to it, again and again."""
    assert rig.cluster is not None
    nodes = rig.cluster.nodes
    end = time.monotonic() + lasts_s
    while time.monotonic() < end:
        for place, node in enumerate(nodes):
            await asyncio.to_thread(_move_all, rig.cluster, node, nodes[(place + 1) % len(nodes)], end)
    return time.monotonic()


def _move_all(cluster: servers.Cluster, source: servers.Server, target: servers.Server, end: float) -> None:
    by_slot = {servers.key_slot(key.encode()): key for key in _keys(source)}
    for key in by_slot.values():
        if time.monotonic() > end:
            return
        cluster.begin_move(key, target)
        time.sleep(0.02)  # long enough to be asked meanwhile
        cluster.finish_move(key, target)


def _keys(server: servers.Server) -> Iterator[str]:
    with server.client() as client:
        yield from client.scan_iter()


SCENES = (
    Scene("kill", "single", kill, alone=True),
    Scene("hang", "single", hang, alone=True),
    Scene("late", "proxy", _network(Fault(delay_s=0.1))),
    Scene("one-percent", "proxy", _network(Fault(delay_s=0.2, share=0.01))),
    Scene("flapping", "proxy", flap),
    Scene("half-open", "proxy", _network(Fault(half_open=True))),
    Scene("drip", "proxy", _network(Fault(bytes_per_s=1))),
    Scene("failover", "failover", fail_over),
    Scene("flushall", "single", flush),
    Scene("oom", "single", out_of_memory),
    Scene("readonly", "single", read_only),
    Scene("busy", "single", busy, alone=True),
    Scene("clusterdown", "cluster", cluster_down),
    Scene("reshard", "cluster", reshard),
)


class Watch:
    """Looks all the time how much the store is asked; tells how long after a moment it was asked as before."""

    SPAN_S = 0.25

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._seen: list[tuple[float, int]] = []  # moment, commands since the beginning
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Watch:
        self._task = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            served = await asyncio.to_thread(self._rig.served)
            if served is not None:
                self._seen.append((time.monotonic(), served))
            await asyncio.sleep(POLL_S)

    def rate(self, begin: float, end: float) -> float:
        """Commands a second between two moments; 0.0 where it was not there."""
        inside = [(at, total) for at, total in self._seen if begin <= at <= end]
        if len(inside) < 2:
            return 0.0
        return (inside[-1][1] - inside[0][1]) / (inside[-1][0] - inside[0][0])

    def recovered_s(self, healed: float, healthy_per_s: float) -> float | None:
        """Seconds until it is asked half as often as before the fault, at once and for half a second; None: not while it was
        watched."""
        for at, _ in self._seen:
            spans = [(at, at + 0.1), (at, at + self.SPAN_S), (at + self.SPAN_S, at + 2 * self.SPAN_S)]
            if at >= healed and all(self.rate(*span) >= healthy_per_s / 2 for span in spans):
                return at - healed
        return None
