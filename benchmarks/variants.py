"""The variants that ``overhead.py`` compares: what each file in ``peers/`` says, its worker process, its measurements."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import environments

HERE = Path(__file__).resolve().parent


@dataclass
class Variant:
    """One peer and what was measured of it: workload → one dict a round (see ``worker.Bench.measure``)."""

    name: str
    label: str
    framework: str
    pins: list[str]
    rounds: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    skipped: str = ""
    process: subprocess.Popen[str] | None = None

    def ask(self, order: dict[str, Any] | None) -> dict[str, Any] | None:
        """Gives an order (None: only listens) and waits for the answer; None where the worker has died."""
        if self.process is None or self.process.stdin is None or self.process.stdout is None:
            return None
        try:
            if order is not None:
                self.process.stdin.write(json.dumps(order) + "\n")
                self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        return json.loads(line) if line else None

    def median(self, workload: str, figure: str) -> float | None:
        values = [measured[figure] for measured in self.rounds.get(workload, [])]
        return median(values) if values else None

    def slope_us(self, short: str, long: str, chunks: int) -> float | None:
        """CPU microseconds that each of the ``chunks`` costs by which ``long`` exceeds ``short``, beyond the bare app's.

        None: not measured in more than one round, and then the difference says nothing.
        """
        pairs = list(zip(self.rounds.get(short, []), self.rounds.get(long, []), strict=False))
        slopes = [(more["added_cpu_us"] - less["added_cpu_us"]) / chunks for less, more in pairs]
        return median(slopes) if len(slopes) > 1 else None

    def faults(self) -> list[str]:
        """What the peer did wrong: in which workloads, at how many of the requests."""
        places: dict[str, list[str]] = {}
        for workload, rounds in sorted(self.rounds.items()):
            served = sum(measured["requests"] for measured in rounds)
            for fault in sorted({fault for measured in rounds for fault in measured["faults"]}):
                times = sum(measured["faults"].get(fault, 0) for measured in rounds)
                places.setdefault(fault, []).append(f"{workload} {times} of {served}")
        return [f"{fault} ({', '.join(where)})" for fault, where in places.items()]


def find(only: list[str]) -> list[Variant]:
    """Every file in ``peers/``, guard's first."""
    found = []
    for path in sorted((HERE / "peers").glob("*.py"), key=lambda path: (not path.stem.startswith("guard"), path.stem)):
        spec = importlib.util.spec_from_file_location(f"peer_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        peer = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(peer)
        found.append(Variant(path.stem, peer.LABEL, peer.FRAMEWORK, peer.PINS))
    unknown = set(only) - {variant.name for variant in found}
    if unknown:
        raise SystemExit(f"no such variant: {', '.join(sorted(unknown))}; there are {', '.join(v.name for v in found)}")
    return [variant for variant in found if not only or variant.name in only]


def start(variant: Variant, cache: Path, scratch: Path) -> float:
    """Makes the environment where it is missing and starts the worker. The seconds that the making took."""
    try:
        interpreter, made_s = environments.python_of(variant.pins, cache)
    except environments.Unavailable as why:
        variant.skipped = str(why)
        return 0.0
    own = scratch / variant.name
    own.mkdir()
    with (own / "stderr").open("w") as errors:
        variant.process = subprocess.Popen(
            [str(interpreter), str(HERE / "worker.py"), str(HERE / "peers" / f"{variant.name}.py"), str(own)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=own,
        )
    return made_s


def died(variant: Variant, scratch: Path) -> str:
    lines = (scratch / variant.name / "stderr").read_text(errors="replace").strip().splitlines()
    return f"the worker ended: {lines[-1] if lines else 'no message'}"


def stop(variant: Variant) -> None:
    """Lets the worker end by itself, or ends it."""
    process = variant.process
    if process is None:
        return
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
