"""What does guard cost a request, beside its peers? CPU and wall time added over the bare app of the same framework.

    python benchmarks/overhead.py [--quick] [--check] [--json FILE] [--envs DIR] [--only NAME …]

Each variant (``peers/*.py``) runs in a process of its own, peers in an environment of their own that is made on first use.
The variants take turns in random order, round by round; a figure is the median over the rounds of what a variant adds to the
bare app that the same process measured at the same moment. CPU time is the figure to trust: wall time moves with the host.

Bars that ``--check`` judges: guard with everything on adds at most 0.7 times what slowapi's ASGI middleware with three
limits adds (4 KB, JSON), and at most 2 µs of CPU to each chunk of a streamed answer.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

from variants import Variant, died, find, start, stop

GUARD, RIVAL = "guard_full", "slowapi_asgi"
# (name, body bytes, chunks of the answer; 0: JSON). The long stream is for the cost of one chunk: a difference of two
# streams is free of what guard does once a request.
SHORT_CHUNKS, LONG_CHUNKS = 50, 450
WORKLOADS = {
    "JSON 1K": (1024, 0),
    "JSON 4K": (4096, 0),
    "JSON 16K": (16384, 0),
    "SSE 1K": (1024, SHORT_CHUNKS),
    "SSE 4K": (4096, SHORT_CHUNKS),
    "SSE 16K": (16384, SHORT_CHUNKS),
    "long SSE": (4096, LONG_CHUNKS),
}
MOST_RATIO = 0.7
MOST_CHUNK_US = 2.0
# A variant that serves fewer requests than that in its share of a round is measured once, not in every round.
TOO_FEW = 4


class Effort(NamedTuple):
    """Rounds, seconds for each variant and workload in a round, and the seconds after which no further round begins (but for the
    fewest that a median needs)."""

    rounds: int
    budget_s: float
    most_s: float


FEWEST_ROUNDS = 3
QUICK, FULL = Effort(5, 0.08, 30), Effort(15, 0.4, 900)


def measure(chosen: list[Variant], scratch: Path, effort: Effort, seed: int) -> int:
    """Fills ``rounds`` of every variant. Returns how many rounds there was time for."""
    rng = random.Random(seed)
    for variant in chosen:
        ready = variant.ask(None)
        if ready is None and not variant.skipped:
            variant.skipped = died(variant, scratch)
        variant.versions = ready["versions"] if ready else {}
    slow: set[tuple[str, str]] = set()
    until = time.monotonic() + effort.most_s
    for done in range(effort.rounds):
        if done >= FEWEST_ROUNDS and time.monotonic() > until:
            return done
        turns = [(variant, workload) for variant in chosen for workload in WORKLOADS]
        for variant, workload in rng.sample(turns, len(turns)):
            if variant.skipped or (variant.name, workload) in slow:
                continue
            measured = variant.ask({"workload": WORKLOADS[workload], "budget_s": effort.budget_s})
            if measured is None:
                variant.skipped = died(variant, scratch)
                continue
            variant.rounds.setdefault(workload, []).append(measured)
            if measured["requests"] < TOO_FEW:
                slow.add((variant.name, workload))
    return effort.rounds


def chunk_us(variant: Variant) -> float | None:
    """CPU microseconds added to one chunk of a stream; None: not measured often enough."""
    return variant.slope_us("SSE 4K", "long SSE", LONG_CHUNKS - SHORT_CHUNKS)


def table(chosen: list[Variant]) -> str:
    """CPU microseconds added per request, wall in brackets; the bare apps first, as they are."""
    columns = [name for name in WORKLOADS if name != "long SSE"]
    lines = [_line("added per request, µs of CPU (wall)", [*columns, "a chunk"])]
    for framework in ("starlette", "fastapi"):
        peers = [variant for variant in chosen if variant.framework == framework]
        cells = [
            _cell([(v.median(name, "bare_cpu_us"), v.median(name, "bare_wall_us")) for v in peers]) for name in columns
        ]
        lines.append(_line(f"(bare {framework}, as it is)", cells))
    for variant in chosen:
        if variant.skipped and not variant.rounds:
            lines.append(_line(variant.label, []) + f"  skipped: {variant.skipped}")
            continue
        cells = [
            _cell([(variant.median(name, "added_cpu_us"), variant.median(name, "added_wall_us"))]) for name in columns
        ]
        chunk = chunk_us(variant)
        lines.append(_line(variant.label, [*cells, "-" if chunk is None else f"{chunk:.2f}"]))
    return "\n".join(lines)


def _line(label: str, cells: list[str]) -> str:
    return f"{label:<36}" + "".join(f"{cell:>15}" for cell in cells)


def _cell(figures: list[tuple[float | None, float | None]]) -> str:
    known = [(cpu_us, wall_us) for cpu_us, wall_us in figures if cpu_us is not None and wall_us is not None]
    if not known:
        return "-"
    cpu_us, wall_us = median(cpu for cpu, _ in known), median(wall for _, wall in known)
    return f"{cpu_us:.1f} ({wall_us:.0f})" if cpu_us < 10_000 else f"{cpu_us / 1000:.0f}k ({wall_us / 1000:.0f}k)"


def ratio(chosen: list[Variant]) -> float | None:
    """Guard with everything on ÷ slowapi with three limits, CPU added at 4 KB, JSON; None: one of them is missing."""
    added = {variant.name: variant.median("JSON 4K", "added_cpu_us") for variant in chosen}
    guard, rival = added.get(GUARD), added.get(RIVAL)
    return guard / rival if guard is not None and rival else None


def shortfalls(chosen: list[Variant]) -> list[str]:
    """Every bar that is missed or could not be judged, in words."""
    missed = []
    by_name = {variant.name: variant for variant in chosen}
    relation = ratio(chosen)
    if relation is None:
        missed.append(f"bar 1 could not be judged: {GUARD} or {RIVAL} was not measured")
    elif relation > MOST_RATIO:
        missed.append(f"bar 1: guard adds {relation:.2f} times what slowapi with 3 limits adds; at most {MOST_RATIO}")
    chunk = chunk_us(by_name[GUARD]) if GUARD in by_name else None
    if chunk is None:
        missed.append(f"bar 2 could not be judged: {GUARD} was not measured")
    elif chunk > MOST_CHUNK_US:
        missed.append(f"bar 2: guard adds {chunk:.2f} µs to each chunk of a stream; at most {MOST_CHUNK_US}")
    if GUARD in by_name:
        missed += [f"guard: {fault}" for fault in by_name[GUARD].faults()]
    return missed


def machine() -> str:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        models = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = models[0] if models else model
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{model}, {os.cpu_count()} cores{load}, {platform.system()} {platform.release()}"


def report(chosen: list[Variant], head: str) -> None:
    print(head)
    print(table(chosen))
    relation = ratio(chosen)
    if relation is not None:
        print(f"\nguard, everything on ÷ slowapi ASGI with 3 limits (CPU added, 4 KB, JSON): {relation:.2f}")
    print("\nversions")
    for variant in chosen:
        if variant.versions:
            print(f"  {variant.label}: " + ", ".join(f"{name} {number}" for name, number in variant.versions.items()))
    faults = [f"  {variant.label}: {fault}" for variant in chosen for fault in variant.faults()]
    faults += [f"  {variant.label}: skipped: {variant.skipped}" for variant in chosen if variant.skipped]
    if faults:
        print("\nfaults (the figures of a faulty answer are not those of a working one)")
        print("\n".join(faults))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under a minute, once the environments exist")
    parser.add_argument("--check", action="store_true", help="exit 1 and name what falls short of the bars")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round there as well")
    parser.add_argument("--envs", type=Path, metavar="DIR", default=Path.home() / ".cache" / "extraction-guard-bench")
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[], help="only these of peers/*.py")
    parser.add_argument("--seed", type=int, default=0, help="order of the turns")
    options = parser.parse_args()
    chosen = find(options.only)
    effort = QUICK if options.quick else FULL
    with tempfile.TemporaryDirectory(prefix="guard-overhead-") as scratch:
        try:
            made_s = sum(start(variant, options.envs, Path(scratch)) for variant in chosen)
            if made_s:
                print(f"made the peers' environments in {made_s:.0f} s (kept in {options.envs})", flush=True)
            started = time.monotonic()
            rounds = measure(chosen, Path(scratch), effort, options.seed)
        finally:
            for variant in chosen:
                stop(variant)
        took_s = time.monotonic() - started
    head = f"{machine()}\n{rounds} rounds of {effort.budget_s} s, medians; measured in {took_s:.0f} s\n"
    report(chosen, head)
    missed = shortfalls(chosen)
    if options.json:
        figures = [
            {key: getattr(variant, key) for key in ("name", "label", "framework", "versions", "skipped", "rounds")}
            | {"chunk_us": chunk_us(variant), "faults": variant.faults()}
            for variant in chosen
        ]
        result = {"machine": machine(), "ratio": ratio(chosen), "shortfalls": missed, "variants": figures}
        options.json.write_text(json.dumps(result, indent=1))
    if options.check:
        print("\n" + ("\n".join(f"FALLS SHORT: {each}" for each in missed) or "all bars held"))
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
