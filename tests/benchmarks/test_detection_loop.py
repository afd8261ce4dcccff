"""The closed loop as a benchmark: what is played, and what falls short."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from guard.simulation.loop import Result
from guard.simulation.operators import STRATEGIES

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def result(strategy: str, judged: bool, got: int) -> Result:
    return Result(strategy, judged, 1000, 1000, got, 90, 80, 0.0, 0.0, "")


def test_every_strategy_is_played_on_every_seed(load: Any, tmp_path: Path) -> None:
    """The small game needs nothing that is not in this repository."""
    games = load("loop").games(quick=True, seeds=2, cache=tmp_path)
    assert [(game.seed, game.strategy) for game in games] == [(seed, name) for seed in (1, 2) for name in STRATEGIES]
    assert all(game.log is None for game in games)


def test_only_the_five_strategies_are_judged(load: Any) -> None:
    """What a sixth one gets is for information; and where nothing was judged, nothing held."""
    shortfalls = load("loop").shortfalls
    assert sum(strategy.judged for strategy in STRATEGIES.values()) == 5
    assert shortfalls([result("goes on", True, 40), result("all at once", False, 900)]) == []
    assert "rewords: the yield is 90.00 %" in shortfalls([result("rewords", True, 900)])[0]
    assert shortfalls([result("all at once", False, 900)]) == ["nothing was judged"]


def test_a_campaign_beside_a_log_looks_like_those_beside_it(load: Any, record: Any, written: Any, shared: Path) -> None:
    """It asks with real prompts, for the models and by the clients that stand in the log, from its first moment on."""
    assert shared
    record_at = record(1000.0, "a", "hello")
    record_at["request"] |= {"headers": [["host", ""]]}
    record_at["request"]["body"]["model"] = "known"
    stage = load("loop").beside(written("log.jsonl", [record_at]), 2.0, 1)
    assert (stage.start, stage.end) == (1000.0, 1000.0 + 2 * 86_400.0)
    assert [look.model for look in stage.looks] == ["known"]
    assert len(stage.prompts.campaign["problems"]) > 1000


def test_help_names_it() -> None:
    """``detection.py --closed-loop`` is the way in."""
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "detection.py"), "--help"], capture_output=True, text=True, check=True
    )
    assert "--closed-loop" in done.stdout
