"""Runs ``guard replay`` and the evaluation's judge over a log, each as a process of its own, and counts CPU."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import accumulate, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
from detection_variants import SHARED

ROOT = Path(__file__).resolve().parents[1]
STANDARD = ROOT / "guard" / "policies" / "standard.toml"
# TOML that turns ceilings and the pool off, appended to the preset without its limits.
WITHOUT_CEILINGS = """
[ceilings]
mode = "off"
"""
_LOOK_EVERY_S = 0.05
_CHUNK_LINES = 512


class Failed(Exception):  # noqa: N818 - the run is reported as one that could not be judged
    """A program ended with an error; the message says which and what it wrote last."""


class Parse(NamedTuple):
    """What ``orjson.loads`` alone costs on a log. ``marks``: byte offsets at which the first tenth of lines ends and the last begins."""

    lines: int
    cpu_s: float
    marks: tuple[int, int]


class Cost(NamedTuple):
    """What a replay cost. ``growth``: CPU a line of the last tenth ÷ of the first (None: this system doesn't tell);
    ``ratio``: CPU ÷ that of parsing; ``peak_mib`` of memory, 0 where unknown."""

    cpu_s: float
    ratio: float
    growth: float | None
    peak_mib: float


def parse_cost(log: Path) -> Parse:
    """Parses every line once. Only the time within ``loads`` counts; results are dropped one by one, as cheaply as can be."""
    loads, clock = orjson.loads, time.process_time
    ends = [0]
    total_s = 0.0
    with log.open("rb") as lines:
        while chunk := list(islice(lines, _CHUNK_LINES)):
            began_s = clock()
            for line in chunk:
                loads(line)
            total_s += clock() - began_s
            ends += accumulate(map(len, chunk), initial=ends.pop())
    count = len(ends) - 1
    if not count:
        raise Failed(f"{log.name} is empty")
    return Parse(count, total_s, (ends[round(0.1 * count)], ends[round(0.9 * count)]))


def without_limits(folder: Path) -> Path:
    """The shipped policy without its limits and ceilings, so that one sees what recognition alone does."""
    kept, dropping = [], False
    for line in STANDARD.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            dropping = line.startswith("[[limit]]")
        if not dropping:
            kept.append(line)
    policy = folder / "without-limits.toml"
    policy.write_text("\n".join([*kept, WITHOUT_CEILINGS]) + "\n", encoding="utf-8")
    return policy


class Deal(NamedTuple):
    """How exchanges are dealt: to so many ``replicas``, which tell each other what they found through ``store``
    (``detection_fleet.py``)."""

    replicas: int = 1
    store: str = "memory"


ONE = Deal()


def replay(log: Path, decisions: Path, parse: Parse, policy: Path | None = None, deal: Deal = ONE) -> Cost:
    """Decides the log by ``policy`` (None: the one that ``guard replay`` takes where none is named). Raises ``Failed``.

    The replay runs as anybody would run it; how far it has read is seen from outside (``/proc``, where there is one).
    """
    command = [sys.executable, "-m", "guard", "replay", str(log), "--out", str(decisions), "--quiet"]
    if deal.replicas > 1:
        command = [sys.executable, str(ROOT / "benchmarks" / "detection_fleet.py"), str(log), "--out", str(decisions)]
        command += ["--replicas", str(deal.replicas), "--store", deal.store]
    if policy is not None:
        command += ["--policy", str(policy)]
    before_s = _children_s()
    said = decisions.with_suffix(".err")
    with said.open("wb") as errors:
        running = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)
        try:
            samples, peak_mib = _watch(running, log)
        finally:
            if running.poll() is None:
                running.kill()
            running.wait()
    if running.returncode:
        raise Failed(f"guard replay ended with {running.returncode}: {_last_line(said.read_text(errors='replace'))}")
    cpu_s, size = _children_s() - before_s, log.stat().st_size
    samples = [*(sample for sample in samples if sample[0] < size), (size, cpu_s)]
    return Cost(cpu_s, cpu_s / max(parse.cpu_s, 1e-9), growth(samples, parse.marks, size), peak_mib)


def growth(samples: Sequence[tuple[int, float]], marks: tuple[int, int], size: int) -> float | None:
    """CPU of the last tenth of lines ÷ CPU of the first, from (bytes read, CPU seconds) seen on the way.

    What was spent before the first byte (imports, the policy) is not counted; the end of the process is. None: seen too seldom to say.
    """
    samples = [(place, cpu_s) for place, cpu_s in samples if place > 0]
    if len(samples) < 20 or samples[0][0] >= marks[0] / 2:
        return None
    places, seconds = np.array(samples, float).T
    at = np.interp([marks[0], marks[1], size], places, seconds)
    first_s = (at[0] - seconds[0]) * marks[0] / (marks[0] - places[0])
    return float((at[2] - at[1]) / first_s) if first_s > 0 else None


def score(log: Path, decisions: Path | None, limits: Sequence[str] = ()) -> dict[str, Any]:
    """The judge's report on a decision log, or on plain per-account ``limits``. Raises ``Failed``."""
    command = [sys.executable, str(SHARED / "eval" / "score.py"), str(log)]
    command += [str(decisions)] if decisions is not None else [f"--baseline={limit}" for limit in limits]
    command.append("--json")
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"score.py ended with {done.returncode}: {_last_line(done.stderr)}")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def _watch(running: subprocess.Popen[bytes], log: Path) -> tuple[list[tuple[int, float]], float]:
    """(bytes of the log read, CPU seconds) again and again until the process ends, and its peak of memory in MiB."""
    samples: list[tuple[int, float]] = []
    process = Path("/proc") / str(running.pid)
    peak_mib = 0.0
    opened: Path | None = None
    while running.poll() is None:
        try:
            opened = opened or _descriptor(process, log)
            if opened is not None:
                place = int(opened.read_text().split(None, 2)[1])
                fields = (process / "stat").read_text().rpartition(")")[2].split()
                samples.append((place, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")))
                peak_mib = max(peak_mib, _peak_mib(process))
        except (OSError, IndexError, ValueError):
            pass  # it has just ended, or this system has no /proc
        time.sleep(_LOOK_EVERY_S)
    return samples, peak_mib


def _descriptor(process: Path, log: Path) -> Path | None:
    """Where the process's place in the log can be read."""
    for descriptor in (process / "fd").iterdir():
        if descriptor.resolve() == log.resolve():
            return process / "fdinfo" / descriptor.name
    return None


def _peak_mib(process: Path) -> float:
    for line in (process / "status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _children_s() -> float:
    """CPU seconds of the processes that this one has started and that have ended; one runs at a time."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no message"
