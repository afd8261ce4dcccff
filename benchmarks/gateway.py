"""What does guard cost as a gateway, beside its peers? CPU of the gateway's processes for a request and for a chunk.

    python benchmarks/gateway.py [--quick] [--check] [--json FILE] [--envs DIR] [--only NAME …]

Each gateway (``gateways/*.py``) runs in processes of its own before the same endpoint, LiteLLM in an environment of its own
that is made on first use; one that isn't there is left out, and the table says so. JSON: 16 clients, 4 KB up, 1 KB down.
Streams: 32 clients, an event of 200 bytes every 5 ms; a chunk's cost is the difference of a long and a short stream.

CPU is the processes' own time as the kernel counts it. What else runs on the machine still adds to it (caches, the memory's
bandwidth), to a large program more than to a small one and never evenly, so that neither the least of each nor a quiet moment of
one says how two compare. In each round all take their turns right after one another, in random order; two are compared within a
round; a figure is the median of the rounds, and the quarters of the rounds that lie below and above are printed with it. A turn
lasts until at least so many requests have been answered, and each gateway is warmed up until it answered as many.

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
LOADS = {"JSON": Load(16, 0, 96), "short": Load(32, SHORT, 32), "long": Load(32, LONG, 32)}
# What is asked of a gateway in one turn: a long stream right after a short one.
TURNS = (("JSON",), ("short", "long"))
MOST_TIMES_TWIN = 1.3
MOST_OF_GIANT = 1 / 15
START_S = 120.0
TRIES = 3


class Effort(NamedTuple):
    """Rounds, and seconds for each gateway and load in a round."""

    rounds: int
    budget_s: float


QUICK, FULL = Effort(7, 0.25), Effort(15, 1.0)


class Spread(NamedTuple):
    """A quarter of the rounds lies below ``low``, half below ``middle``, a quarter above ``high``."""

    low: float
    middle: float
    high: float


def spread(figures: list[float]) -> Spread | None:
    """None: there are none."""
    if not figures:
        return None
    ordered = sorted(figures)
    last = len(ordered) - 1
    return Spread(ordered[last // 4], median(ordered), ordered[last - last // 4])


@dataclass
class Peer:
    """One gateway and what was measured of it: load → one figure a round."""

    name: str
    label: str
    skipped: str = ""
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    rounds: dict[str, list[Measured]] = field(default_factory=dict)

    def requests_us(self, load: str = "JSON") -> list[float]:
        """CPU microseconds a request, round by round; empty: not measured."""
        return [each.cpu_s / each.requests * 1e6 for each in self.rounds.get(load, ())]

    def chunks_us(self) -> list[float]:
        """CPU microseconds a chunk, round by round; empty: not measured."""
        pairs = zip(self.requests_us("short"), self.requests_us("long"), strict=False)
        return [(long - short) / (LONG - SHORT) for short, long in pairs]

    def faults(self) -> int:
        return sum(each.faults for done in self.rounds.values() for each in done)


def times(ours: list[float], theirs: list[float]) -> Spread | None:
    """How many times theirs ours is, round by round; None: one of them was not measured."""
    return spread([mine / other for mine, other in zip(ours, theirs, strict=False) if other > 0])


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
    """Fills ``rounds``. What each is asked first is for its first-time paths and isn't counted."""
    rng = random.Random(seed)
    for counted in (False, *[True] * effort.rounds):
        for loads in TURNS:
            for peer in rng.sample(peers, len(peers)):
                await _turn(peer, loads, effort.budget_s, counted=counted)


async def _turn(peer: Peer, loads: tuple[str, ...], budget_s: float, *, counted: bool) -> None:
    for name in loads:
        if peer.skipped or peer.process is None:
            return
        for tries_left in range(TRIES - 1, -1, -1):
            try:
                async with asyncio.timeout(120):
                    done = await ask(peer.port, peer.process.pid, LOADS[name], budget_s)
            except (OSError, EOFError, TimeoutError) as error:
                # A server hangs up on a client that has to wait too long for the others to be connected.
                if not tries_left:
                    peer.skipped = f"gave up under {name}: {type(error).__name__}"
                    return
            else:
                break
        if counted:
            peer.rounds.setdefault(name, []).append(done)


def table(peers: list[Peer]) -> str:
    """CPU microseconds, and how many times what the minimal proxy takes."""
    base = next((peer for peer in peers if peer.name == TWIN), None)
    lines = [f"{'CPU of the gateway, µs':<34}{'a request':>28}{'a stream of 10':>28}{'a chunk':>26}{'requests/s':>13}"]
    for peer in peers:
        if peer.skipped:
            lines.append(f"{peer.label:<34}  skipped: {peer.skipped}")
            continue
        cells = [
            _cell(peer.requests_us(), base.requests_us() if base else []),
            _cell(peer.requests_us("short"), base.requests_us("short") if base else []),
            _cell(peer.chunks_us(), base.chunks_us() if base else []),
        ]
        rate = median(each.requests / each.wall_s for each in peer.rounds["JSON"])
        lines.append(f"{peer.label:<34}{cells[0]:>28}{cells[1]:>28}{cells[2]:>26}{rate:>13,.0f}")
    return "\n".join(lines)


def _cell(figures: list[float], base: list[float]) -> str:
    found, compared = spread(figures), times(figures, base)
    if found is None:
        return "-"
    shown = f"{found.middle:,.1f} [{found.low:,.0f}-{found.high:,.0f}]"
    return shown + (f" ×{compared.middle:.2f}" if compared else "")


def compared(peers: list[Peer]) -> str:
    """Guard beside its two rivals, within the rounds."""
    by_name = {peer.name: peer for peer in peers if not peer.skipped}
    lines = []
    for rival, most in ((TWIN, MOST_TIMES_TWIN), (GIANT, MOST_OF_GIANT)):
        for what, figures in (("a request", Peer.requests_us), ("a chunk", Peer.chunks_us)):
            if GUARD not in by_name or rival not in by_name:
                continue
            found = times(figures(by_name[GUARD]), figures(by_name[rival]))
            if found is None:
                continue
            doubt = ", within the spread of the rounds" if found.low <= most < found.high else ""
            lines.append(
                f"guard / {by_name[rival].label}, {what}: {found.middle:.3f} [{found.low:.3f}-{found.high:.3f}], "
                f"bar {most:.3f}{doubt}"
            )
    return "\n".join(lines)


def shortfalls(peers: list[Peer]) -> list[str]:
    """Every bar that is missed or could not be judged, in words."""
    by_name = {peer.name: peer for peer in peers if not peer.skipped}
    missed = []
    for number, (rival, most) in enumerate(((TWIN, MOST_TIMES_TWIN), (GIANT, MOST_OF_GIANT)), 1):
        for what, figures in (("a request", Peer.requests_us), ("a chunk", Peer.chunks_us)):
            ours = figures(by_name[GUARD]) if GUARD in by_name else []
            theirs = figures(by_name[rival]) if rival in by_name else []
            found = times(ours, theirs)
            if found is None:
                missed.append(f"bar {number} ({what}) could not be judged: {GUARD} or {rival} was not measured")
            elif found.middle > most:
                missed.append(
                    f"bar {number} ({what}): guard takes {found.middle:.3f} times {rival}; at most {most:.3f}"
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
        f"{machine()}\n{effort.rounds} rounds with turns of {effort.budget_s} s and more, medians [quarters]; "
        f"measured in {took_s:.0f} s\n"
    )
    print(table(peers) + "\n\n" + compared(peers))
    for peer in peers:
        if peer.faults():
            print(f"{peer.label}: {peer.faults()} answers were not what was asked for")
    missed = shortfalls(peers)
    if options.json:
        figures = [
            {"name": peer.name, "label": peer.label, "skipped": peer.skipped, "request_us": peer.requests_us(), "chunk_us": peer.chunks_us(),
             "faults": peer.faults(), "rounds": {name: [each._asdict() for each in done] for name, done in peer.rounds.items()}}
            for peer in peers
        ]  # fmt: skip
        options.json.write_text(json.dumps({"machine": machine(), "shortfalls": missed, "gateways": figures}, indent=1))
    if options.check:
        print("\n" + ("\n".join(f"FALLS SHORT: {each}" for each in missed) or "all bars held"))
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
