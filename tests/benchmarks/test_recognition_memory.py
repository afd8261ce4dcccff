"""The memory benchmark measures what it says, and says what falls short."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from guard.recognition.families import FOUNDERS

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("recognition_memory")


def test_an_account_is_held_by_the_part_that_is_measured(memory: ModuleType) -> None:
    """Each part takes in every account, and nothing of guard fails on the way; the others hold none."""
    for part in memory.PARTS:
        guard = memory.guard_for(1_000)
        memory.accounts_alone(guard, 60, part)
        held = {
            "recognition": len(guard.recognition.accounts),
            "scoring": len(guard._scoring),
            "limits": guard.store.counts().get("subjects_account", 0),
            "identity": len(guard.identities.snapshot()["accepted"]),
            "described": len(guard.identities._described),
        }
        measured = {"all of guard": set(held) - {"described"}, "limits in use": {"limits"}}.get(part, {part})
        assert held == {name: 60 if name in measured else 0 for name in held}
        assert not guard.faults


def test_families_have_all_of_their_founders(memory: ModuleType) -> None:
    guard = memory.guard_for(1_000)
    memory.families_alone(guard, 80)
    families = list(guard.recognition.parts().families)
    assert len(families) == 80
    assert all(len(family.numbers) == FOUNDERS for family in families)


def test_a_whole_has_accounts_families_and_groups(memory: ModuleType) -> None:
    guard = memory.guard_for(9_000)
    memory.everything(guard, 9_000, 80, "recognition")
    parts = guard.recognition.parts()
    assert len(guard.recognition.accounts) == 9_000
    assert len(parts.families) >= 80
    assert len(parts.groups) >= 20


def test_memory_that_is_taken_is_seen() -> None:
    """128 MB, every byte written, in an interpreter of its own: what this one has freed before may serve for it again."""
    taking = """
import json
import recognition_memory as memory
before = memory.resident_bytes()
held = b"\\1" * 128_000_000
print(json.dumps([before, memory.resident_bytes(), memory.peak_bytes(), len(held)]))
"""
    run = subprocess.run(
        [sys.executable, "-c", taking],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(BENCHMARKS), str(BENCHMARKS.parent)))},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    before, after, peak, size_bytes = json.loads(run.stdout)
    assert size_bytes == 128_000_000
    assert after - before > 100_000_000
    assert peak >= after - 20_000_000


def test_what_misses_its_bar_is_named(memory: ModuleType) -> None:
    """Bytes an account and a family at any size, the whole at a million accounts."""
    line = memory.Measured
    good = [
        line("recognition", 10, 7_680, 0),
        line("scoring", 10, 99_999, 0),
        line("a family", 10, 10_240, 0),
        line("whole", 1_000_000, 1 << 30, 0),
    ]
    assert memory.shortfalls(good, 1_000_000) == []
    assert "recognition: 769 bytes" in memory.shortfalls([line("recognition", 10, 7_690, 0)], 10)[0]
    assert "a family: 1,025 bytes" in memory.shortfalls([line("a family", 10, 10_250, 0)], 10)[0]
    (large,) = memory.shortfalls([line("found", 1_000_000, 2 << 30, 0)], 1_000_000)
    assert "2,048 MiB at 1,000,000 accounts" in large
    assert memory.shortfalls([line("whole", 50_000, 2 << 30, 0)], 50_000) == []
    assert "only 9 of 10" in memory.shortfalls([line("whole", 9, 1, 0)], 10)[0]


def test_the_table_is_made_of_processes_of_their_own(
    memory: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real, tiny one; ``--check`` fails where something falls short, and the report says what."""
    monkeypatch.setattr(memory, "plan", lambda count, families: [("recognition", 300, 0)])
    monkeypatch.setattr(memory, "ACCOUNT_BYTES", 1)
    report = tmp_path / "memory.json"
    assert memory.main(["--quick", "--check", "--accounts", "300", "--out", str(report)]) == 1
    out = capsys.readouterr().out
    assert "missed: recognition" in out
    found = json.loads(report.read_text())
    assert found["table"][0]["count"] == 300
    assert len(found["missed"]) == 1
    assert memory.main(["--quick", "--accounts", "300"]) == 0
