"""The detection benchmark as a whole, its scenarios and its logs."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


BASE = {
    "name": "base",
    "seed": 1,
    "days": 4,
    "benign": {
        "chat": [{"accounts": 10, "sources": ["a"]}, {"accounts": 4}],
        "tool": {"accounts": 3, "template": '{text}\n"x"'},
    },
    "campaign": [
        {"name": "c", "accounts": 8, "exchanges": 400, "injected": "as before", "params": {"temperature": 0.6}}
    ],
}


def test_a_variant_changes_what_it_names(load: Any) -> None:
    """Campaign keys are set or removed, groups of a kind changed, populations multiplied; the base stays as it was."""
    scenarios = load("variants")
    variant = scenarios.Variant(
        "base",
        "",
        {"spread": 1.0, "injected": None},
        {"account_facts": []},
        {"tool": {"template": "other {text}"}},
        size=2.0,
        second={"name": "second"},
    )
    made = scenarios.varied("mine", BASE, variant)
    assert made["name"] == "mine"
    assert made["account_facts"] == []
    assert made["campaign"][0] == {
        "name": "c",
        "accounts": 8,
        "exchanges": 400,
        "params": {"temperature": 0.6},
        "spread": 1.0,
    }
    assert made["campaign"][1] == {"name": "second"}
    assert [group["accounts"] for group in made["benign"]["chat"]] == [20, 8]
    assert made["benign"]["tool"] == {"accounts": 6, "template": "other {text}"}
    assert BASE["campaign"][0]["injected"] == "as before"


def test_a_reduced_scenario_keeps_its_rates(load: Any) -> None:
    """A quarter of the accounts for half of the days sends an eighth of the exchanges."""
    small = load("variants").reduced(BASE, 2, 0.25)
    assert (small["days"], small["campaign"][0]["accounts"], small["campaign"][0]["exchanges"]) == (2, 2, 50)
    assert small["benign"]["chat"][0]["accounts"] == 3


def test_a_scenario_survives_being_written(load: Any) -> None:
    """What is written for population.py reads back as the same scenario, strings with quotes and line breaks included."""
    read = tomllib.loads(load("variants").toml_of(BASE))
    assert read["benign"]["tool"] == [BASE["benign"]["tool"]]  # type: ignore[index]
    assert {key: read[key] for key in ("name", "seed", "days", "campaign")} == {
        key: BASE[key] for key in ("name", "seed", "days", "campaign")
    }


def test_every_variant_differs_from_its_base(load: Any, shared: Path) -> None:
    """A variant whose keys population.py does not know, or that changes nothing, would say nothing."""
    scenarios = load("variants")
    program = (shared / "eval" / "population.py").read_text(encoding="utf-8")
    for name, variant in scenarios.VARIANTS.items():
        made, base = scenarios.spec_of(name), scenarios.spec_of(variant.base)
        assert {**made, "name": ""} != {**base, "name": ""}, name
        for key in {*variant.campaign, *variant.top}:
            assert f'"{key}"' in program, f"{name}: {key}"


def test_room_is_made_by_age(tmp_path: Path, load: Any) -> None:
    """The logs that were used longest ago go first, and only as many as are too many."""
    folder = tmp_path / "logs"
    folder.mkdir()
    for age, name in enumerate(("c", "a", "b")):
        (folder / f"{name}.jsonl").touch()
        os.utime(folder / f"{name}.jsonl", (age, age))
    load("log").make_room(tmp_path, 2)
    assert sorted(log.stem for log in folder.iterdir()) == ["a", "b"]


def test_a_kept_log_is_never_taken_for_another(tmp_path: Path, load: Any, shared: Path) -> None:
    """Another seed or another scenario under the same name has another file."""
    path_of = load("log").path_of
    names = {
        path_of("x", 1, BASE, tmp_path),
        path_of("x", 2, BASE, tmp_path),
        path_of("x", 1, {**BASE, "days": 5}, tmp_path),
    }
    assert len(names) == 3


def test_the_leak_as_a_line(load: Any) -> None:
    """Nothing leaks: blank; a little: a low bar; everything: a full one."""
    assert load("plot").line([(0, 1.0), (1, 0.5), (2, 0.001), (3, 0.0)]) == "█▄▁ "


def test_a_missing_matplotlib_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, load: Any) -> None:
    """No picture, no traceback, and the reader learns what to install."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "matplotlib" in load("plot").draw({"x": {"guard": [(0.0, 1.0)]}}, tmp_path / "leak.png")
    assert not (tmp_path / "leak.png").exists()


def test_a_log_is_made_decided_and_judged(tmp_path: Path, load: Any, shared: Path) -> None:
    """From a tiny scenario to the rows of guard and of every baseline; the log is gone afterwards."""
    scenarios, jobs = load("variants"), load("jobs")
    spec = scenarios.reduced(scenarios.spec_of("bulk"), 0.3, 0.01)
    spec["benign"] = {kind: spec["benign"][kind] for kind in ("chat", "extension", "app")}
    rows = jobs.examine(jobs.Task("tiny", 3, spec, None, True, tmp_path, False))
    assert [each.failed for each in rows] == [""] * 5
    assert len({each.who for each in rows}) == 5
    guard = rows[0]
    assert guard.report["extraction_exchanges"] > 0
    assert guard.cost.ratio > 1
    leaks = [leak for _, leak in guard.curve]
    assert min(leaks) <= guard.report["leak"] <= max(leaks)
    ordinary = sum(segment["exchanges"] for segment in guard.report["segments"].values())
    assert sum(each.exchanges for each in guard.languages.values()) == ordinary > 0
    assert list(tmp_path.rglob("*.jsonl")) == []


def test_the_command_judges_a_log_that_is_there(tmp_path: Path, record: Any, written: Any, shared: Path) -> None:
    """--log with --check: a bar that is missed ends it with 1 and is named; an unlabelled log is named too."""
    log = written("hydra-1.jsonl", [record(n * 60.0, f"x{n % 9}", f"question {n}", "c") for n in range(400)])
    del (unlabelled := record(0, "a", "hi"))["label"]
    bare = written("bulk-1.jsonl", [unlabelled])
    command = [
        sys.executable,
        str(BENCHMARKS / "detection.py"),
        "--check",
        "--no-baselines",
        "--cache",
        str(tmp_path / "cache"),
    ]
    done = subprocess.run(
        [*command, "--log", str(log), str(bare)], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "FALLS SHORT: bulk 1: could not be judged" in done.stdout
    assert "only labelled logs" in done.stdout
    assert log.is_file()
