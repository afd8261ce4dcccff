"""``guard simulate`` as its users run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from guard.cli import main

SMALL = ["--days", "1.5", "--accounts", "30"]


def simulate(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """The exit code, and what was printed."""
    code = main(["simulate", *words])
    out, err = capfd.readouterr()
    return code, out, err


def test_the_log_is_the_same_whatever_the_hash_seed() -> None:
    """One line an exchange on standard output, nothing beside it; the seed alone decides."""
    logs = [
        subprocess.run(
            [sys.executable, "-m", "guard", "simulate", *SMALL],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        )
        for seed in "17"
    ]
    assert logs[0].stdout == logs[1].stdout
    assert logs[0].stderr == b""
    lines = [orjson.loads(line) for line in logs[0].stdout.splitlines()]
    assert len(lines) > 100
    assert {line["label"]["campaign"] for line in lines} == {None, "hydra"}


def test_replay_reads_what_simulate_writes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Straight through guard and by way of a file, the same exchanges are contained."""
    log, decisions = tmp_path / "log.jsonl", tmp_path / "d.jsonl"
    words = ["--days", "1.8", "--accounts", "50", "--campaign", "hydra:24", "--policy", "standard", "--out", str(log)]
    code, out, _ = simulate(capfd, *words)
    assert code == 0
    assert main(["replay", str(log), "--out", str(decisions), "--quiet"]) == 0
    kept = sum(orjson.loads(line)["action"] in {"limit", "refuse"} for line in decisions.read_bytes().splitlines())
    assert kept > 300
    row = next(line.split() for line in out.splitlines() if line.startswith("hydra"))
    assert row[:2] == ["hydra", "24"]
    assert int(row[2].replace(",", "")) - int(row[3]) == kept
    assert float(row[4]) < 20
    assert "promise nothing" in out


def test_several_campaigns_and_none(capfd: pytest.CaptureFixture[str]) -> None:
    """Two of one shape are two operators'; without a campaign the table is of harm alone."""
    _, out, _ = simulate(capfd, *SMALL, "--campaign", "slow:6", "--campaign", "slow:4", "--policy", "standard")
    assert [line.split()[:2] for line in out.splitlines() if line.startswith("slow")] == [["slow", "6"], ["slow2", "4"]]
    _, out, _ = simulate(capfd, *SMALL, "--campaign", "none", "--policy", "standard")
    assert "leak" not in out
    assert "0 of" in out


def test_shapes_are_listed(capfd: pytest.CaptureFixture[str]) -> None:
    """With what each is and how many accounts it has."""
    code, out, _ = simulate(capfd, "--campaign", "list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()][:2] == ["hydra", "relay"]
    assert "5.6 exchanges" in out


def test_real_prompts_are_what_is_asked(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Those of the folder and no others."""
    (tmp_path / "q.txt").write_text("Where is the harbour?\nWho built the bridge?\n")
    _, out, _ = simulate(capfd, *SMALL, "--campaign", "none", "--prompts", str(tmp_path))
    chats = [record for line in out.splitlines() if (record := orjson.loads(line))["label"]["segment"] == "chat"]
    openings = {record["request"]["body"]["messages"][0]["content"] for record in chats}
    assert openings <= {"Where is the harbour?", "Who built the bridge?"}
    assert chats


def test_the_closed_loop_has_a_row_for_each_strategy(capfd: pytest.CaptureFixture[str]) -> None:
    """The bars stand below it, and that the figures are no promise."""
    words = ["--closed-loop", "--strategy", "goes-on", "--strategy", "slows-down", "--campaign", "hydra:20"]
    code, out, err = simulate(capfd, *SMALL, *words)
    assert code == 0
    assert [line.split()[0] for line in out.splitlines() if line.startswith(("goes", "slows"))] == ["goes", "slows"]
    assert "at most" not in out
    assert "promise nothing" in out
    assert "goes on: done" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--campaign", "wolf"], "there is no campaign 'wolf'; there are hydra"),
        (["--campaign", "hydra:many"], "a whole number"),
        (["--prompts", "absent"], "no folder"),
        (["--policy", "absent.toml"], "absent.toml"),
        (["--out", "absent/log.jsonl"], "No such file"),
        (["--policy", "standard", "--out", "-"], "name a file for the log"),
        (["--strategy", "goes-on"], "is for --closed-loop"),
        (["--closed-loop", "--strategy", "prays"], "there is no strategy 'prays'"),
        (["--closed-loop", "--campaign", "relay"], "with a queue"),
        (["--closed-loop", "--campaign", "none"], "name one"),
        (["--closed-loop", "--out", "log.jsonl"], "writes no log"),
        (["--days", "0"], "from 0.1 to 400"),
        (["--accounts", "3"], "from 10 to 1000000"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    words: list[str], message: str, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2 and no traceback; nothing is half done."""
    monkeypatch.chdir(tmp_path)
    code, out, err = simulate(capfd, *words)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


def test_a_failure_of_guard_itself_is_not_passed_over(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The figures are shown, it is said that they can't be relied on, and the exit code is 1."""

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("guard.scoring.Scoring.assess", fail)
    code, out, err = simulate(capfd, *SMALL, "--policy", "standard")
    assert code == 1
    assert "ordinary:" in out
    assert "guard itself failed" in err
