"""What does guard cost as a gateway, beside its peers? CPU of the gateway's processes for a request and for a chunk.

    python benchmarks/gateway.py [--quick] [--check] [--json FILE] [--envs DIR] [--only NAME …]

Each gateway (``gateways/*.py``) runs in processes of its own before the same endpoint, LiteLLM in an environment of its own
that is made on first use; one that isn't there is left out, and the table says so. They take turns in random order, round by
round. JSON: 16 clients, 4 KB up, 1 KB down. Streams: 32 clients, an event of 200 bytes every 5 ms; a chunk's cost is the
difference of long and short streams. A figure is the least of the rounds: whatever else a machine does only adds to it.

Bars that ``--check`` judges, for a request and for a chunk: guard takes at most 1.3 times what a minimal Starlette proxy with
the same client takes, and at most a fifteenth of LiteLLM's.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import environments
from gateway_load import Load, Measured, ask
from overhead import machine

HERE = Path(__file__).resolve().parent
GUARD, TWIN, GIANT = "guard_serve", "starlette_same_client", "litellm_proxy"
PACE_S = 0.005
SHORT, LONG = 10, 70
LOADS = {"JSON": Load(16, 0), "short": Load(32, SHORT), "long": Load(32, LONG)}
MOST_TIMES_TWIN = 1.3
MOST_OF_GIANT = 1 / 15
START_S = 120.0


class Effort(NamedTuple):
    """Rounds, and seconds for each gateway and load in a round."""

    rounds: int
    budget_s: float


QUICK, FULL = Effort(5, 0.25), Effort(15, 1.0)


@dataclass
class Peer:
    """One gateway and what was measured of it: load → one figure a round."""

    name: str
    label: str
    skipped: str = ""
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    rounds: dict[str, list[Measured]] = field(default_factory=dict)

    def request_us(self, load: str = "JSON") -> float | None:
        """CPU microseconds a request; None: not measured."""
        done = self.rounds.get(load)
        return min(each.cpu_s / each.requests for each in done) * 1e6 if done else None

    def chunk_us(self) -> float | None:
        """CPU microseconds a chunk; None: not measured."""
        less, more = self.request_us("short"), self.request_us("long")
        return None if less is None or more is None else (more - less) / (LONG - SHORT)

    def faults(self) -> int:
        return sum(each.faults for done in self.rounds.values() for each in done)


def find(only: list[str]) -> list[Peer]:
    """Every file in ``gateways/``, guard's first and LiteLLM's last."""
    order = {GUARD: 0, TWIN: 1, GIANT: 9}
    names = sorted(
        (path.stem for path in (HERE / "gateways").glob("*.py")), key=lambda name: (order.get(name, 5), name)
    )
    if unknown := set(only) - set(names):
        raise SystemExit(f"no such gateway: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    return [Peer(name, _module(name).LABEL) for name in names if not only or name in only]


def _module(name: str) -> Any:
    return importlib.import_module(f"gateways.{name}")


def start(peer: Peer, upstream: str, cache: Path, scratch: Path) -> None:
    """Starts a gateway and waits until it takes connections; what can't be started is marked as skipped, with the reason."""
    module = _module(peer.name)
    folder = scratch / peer.name
    folder.mkdir()
    peer.port = _free_port()
    try:
        interpreter, made_s = environments.python_of(module.PINS, cache)
        if made_s:
            print(f"made {peer.label}'s environment in {made_s:.0f} s (kept in {cache})", flush=True)
        command = module.command(interpreter, upstream, peer.port, folder)
    except (environments.Unavailable, FileNotFoundError) as why:
        peer.skipped = str(why)
        return
    with (folder / "said").open("wb") as said:
        peer.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd=folder,
            env={**os.environ, "BENCH_UPSTREAM": upstream, "PYTHONPATH": str(HERE)},
        )  # fmt: skip
    until = time.monotonic() + START_S
    while time.monotonic() < until and peer.process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", peer.port), 1):
            return
        time.sleep(0.05)
    said_last = (folder / "said").read_text(errors="replace").strip().splitlines()[-1:]
    peer.skipped = f"did not start: {''.join(said_last) or 'no message'}"


def _free_port() -> int:
    """Below the range that outgoing connections take theirs from: LiteLLM needs a quarter of a minute to start."""
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise SystemExit("no free port between 20,000 and 32,000")


def stop(peer: Peer) -> None:
    if peer.process is None:
        return
    peer.process.terminate()
    try:
        peer.process.wait(10)
    except subprocess.TimeoutExpired:
        peer.process.kill()
        peer.process.wait()


@contextlib.contextmanager
def endpoint() -> Iterator[str]:
    """The endpoint's URL, while it runs."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / "gateway_endpoint.py"), str(PACE_S)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


async def measure(peers: list[Peer], effort: Effort, seed: int) -> None:
    """Fills ``rounds``. The first asking of each is for its first-time paths and isn't counted."""
    rng = random.Random(seed)
    for counted in (False, *[True] * effort.rounds):
        turns = [(peer, name) for peer in peers for name in LOADS if not peer.skipped]
        for peer, name in rng.sample(turns, len(turns)):
            if peer.skipped or peer.process is None:
                continue
            try:
                async with asyncio.timeout(60):
                    done = await ask(peer.port, peer.process.pid, LOADS[name], effort.budget_s if counted else 0.1)
            except (OSError, EOFError, TimeoutError) as error:
                peer.skipped = f"gave up under {name}: {type(error).__name__}"
                continue
            if counted:
                peer.rounds.setdefault(name, []).append(done)


def table(peers: list[Peer]) -> str:
    """CPU microseconds, and how many times what the minimal proxy takes."""
    base = next((peer for peer in peers if peer.name == TWIN), None)
    lines = [f"{'CPU of the gateway, µs':<34}{'a request':>22}{'a stream of 10':>22}{'a chunk':>20}{'requests/s':>13}"]
    for peer in peers:
        if peer.skipped:
            lines.append(f"{peer.label:<34}  skipped: {peer.skipped}")
            continue
        cells = [
            _cell(peer.request_us(), base and base.request_us()),
            _cell(peer.request_us("short"), base and base.request_us("short")),
            _cell(peer.chunk_us(), base and base.chunk_us()),
        ]
        rate = median(each.requests / each.wall_s for each in peer.rounds["JSON"])
        lines.append(f"{peer.label:<34}{cells[0]:>22}{cells[1]:>22}{cells[2]:>20}{rate:>13,.0f}")
    return "\n".join(lines)


def _cell(figure: float | None, base: float | None) -> str:
    if figure is None:
        return "-"
    return f"{figure:,.1f}" + (f" (× {figure / base:.2f})" if base else "")


def shortfalls(peers: list[Peer]) -> list[str]:
    """Every bar that is missed or could not be judged, in words."""
    by_name = {peer.name: peer for peer in peers if not peer.skipped}
    missed = []
    for number, (rival, most) in enumerate(((TWIN, MOST_TIMES_TWIN), (GIANT, MOST_OF_GIANT)), 1):
        for what, figure in (("a request", Peer.request_us), ("a chunk", Peer.chunk_us)):
            ours = figure(by_name[GUARD]) if GUARD in by_name else None
            theirs = figure(by_name[rival]) if rival in by_name else None
            if ours is None or theirs is None:
                missed.append(f"bar {number} ({what}) could not be judged: {GUARD} or {rival} was not measured")
            elif ours > most * theirs:
                missed.append(
                    f"bar {number} ({what}): guard takes {ours / theirs:.3f} times {rival}; at most {most:.3f}"
                )
    if GUARD in by_name and by_name[GUARD].faults():
        missed.append(f"guard: {by_name[GUARD].faults()} answers were not what was asked for")
    return missed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under a minute, once LiteLLM's environment exists")
    parser.add_argument("--check", action="store_true", help="exit 1 and name what falls short of the bars")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round there as well")
    parser.add_argument("--envs", type=Path, metavar="DIR", default=Path.home() / ".cache" / "extraction-guard-bench")
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[], help="only these of gateways/*.py")
    parser.add_argument("--seed", type=int, default=0, help="order of the turns")
    options = parser.parse_args()
    peers = find(options.only)
    effort = QUICK if options.quick else FULL
    with tempfile.TemporaryDirectory(prefix="guard-gateway-") as scratch, endpoint() as upstream:
        try:
            for peer in peers:
                start(peer, upstream, options.envs, Path(scratch))
            started = time.monotonic()
            asyncio.run(measure(peers, effort, options.seed))
            took_s = time.monotonic() - started
        finally:
            for peer in peers:
                stop(peer)
    print(
        f"{machine()}\n{effort.rounds} rounds of {effort.budget_s} s, the least of them; measured in {took_s:.0f} s\n"
    )
    print(table(peers))
    for peer in peers:
        if peer.faults():
            print(f"{peer.label}: {peer.faults()} answers were not what was asked for")
    missed = shortfalls(peers)
    if options.json:
        figures = [
            {"name": peer.name, "label": peer.label, "skipped": peer.skipped, "request_us": peer.request_us(), "chunk_us": peer.chunk_us(),
             "faults": peer.faults(), "rounds": {name: [each._asdict() for each in done] for name, done in peer.rounds.items()}}
            for peer in peers
        ]  # fmt: skip
        options.json.write_text(json.dumps({"machine": machine(), "shortfalls": missed, "gateways": figures}, indent=1))
    if options.check:
        print("\n" + ("\n".join(f"FALLS SHORT: {each}" for each in missed) or "all bars held"))
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
