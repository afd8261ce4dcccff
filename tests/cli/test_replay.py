"""``guard replay`` as its users run it: a process with pipes, files and exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from guard.cli import main

SCENARIOS = Path(__file__).resolve().parents[1] / "scenarios"
GUARD = [sys.executable, "-m", "guard", "replay"]
LOG = SCENARIOS / "loud_account" / "exchanges.jsonl"


@pytest.fixture
def policy(tmp_path: Path) -> str:
    """The policy of the loud account: five requests a minute."""
    path = tmp_path / "policy.toml"
    path.write_text(json.loads((LOG.parent / "expect.json").read_text())["policy"])
    return str(path)


def guard(*words: str, stdin: bytes = b"", **environ: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*GUARD, *words], input=stdin, capture_output=True, timeout=60, check=False, env={**os.environ, **environ}
    )


def actions(out: bytes) -> list[str]:
    return [orjson.loads(line).get("action", "error") for line in out.splitlines()]


def test_a_file_in_decisions_out_summary_beside(policy: str) -> None:
    """Decisions are on standard output and nothing else is; the summary is on standard error."""
    done = guard(str(LOG), "--policy", policy)
    assert done.returncode == 0
    assert actions(done.stdout) == ["allow"] * 5 + ["limit"] * 2 + ["allow"] * 2
    text = done.stderr.decode()
    assert "9 exchanges of 2 accounts" in text
    assert "limit_requests" in text
    assert "\x1b" not in text


def test_standard_is_the_policy_that_is_used_where_none_is_named() -> None:
    """Its limits are far above what this log asks for."""
    done = guard(str(LOG), "--quiet")
    assert (done.returncode, done.stderr) == (0, b"")
    assert actions(done.stdout) == ["allow"] * 9


def test_a_program_can_drive_it_line_by_line(policy: str) -> None:
    """Each decision arrives before the next line is sent, through real pipes."""
    lines = LOG.read_bytes().splitlines(keepends=True)
    with subprocess.Popen(
        [*GUARD, "-", "--policy", policy, "--quiet"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        found = []
        for n, line in enumerate(lines):
            process.stdin.write(line)
            process.stdin.flush()
            decision = orjson.loads(process.stdout.readline())
            assert decision["n"] == n
            found.append(decision["action"])
        process.stdin.close()
        assert process.stdout.read() == b""
        assert process.wait(30) == 0
    assert found == ["allow"] * 5 + ["limit"] * 2 + ["allow"] * 2


def test_a_broken_line_ends_it_with_its_number(policy: str) -> None:
    """Exit code 2; what stood before the line is decided, nothing after it, and the message has the line's number."""
    lines = LOG.read_bytes().splitlines(keepends=True)
    lines[3] = b'{"at": 1}\n'
    done = guard("-", "--policy", policy, stdin=b"".join(lines))
    assert done.returncode == 2
    assert actions(done.stdout) == ["allow"] * 3
    assert b"line 3 (the first is 0): account is missing" in done.stderr


def test_broken_lines_can_be_skipped(policy: str) -> None:
    """They get a line of their own, the rest is decided, and the summary counts them."""
    lines = LOG.read_bytes().splitlines(keepends=True)
    lines[3:3] = [b'{"at": 1}\n', b"no json\n"]
    done = guard("-", "--policy", policy, "--skip-broken", stdin=b"".join(lines))
    assert done.returncode == 0
    out = [orjson.loads(line) for line in done.stdout.splitlines()]
    assert [line["n"] for line in out] == list(range(11))
    assert out[3] == {"n": 3, "error": "account is missing"}
    assert out[4] == {"n": 4, "error": "is not JSON"}
    assert b"2 broken lines" in done.stderr


def test_decisions_to_a_file_and_two_policies_side_by_side(policy: str, tmp_path: Path) -> None:
    """``--out`` holds the first policy's decisions only; what the second would change is on standard error."""
    out = tmp_path / "decisions.jsonl"
    done = guard(str(LOG), "--policy", policy, "--against", "standard", "--out", str(out))
    assert (done.returncode, done.stdout) == (0, b"")
    assert actions(out.read_bytes()) == ["allow"] * 5 + ["limit"] * 2 + ["allow"] * 2
    assert b"from policy.toml to standard: 2 of 9 exchanges and 1 accounts change" in done.stderr


def test_two_replays_are_identical_whatever_the_hash_seed(policy: str) -> None:
    """Decisions and summary are the same bytes under another PYTHONHASHSEED."""
    log = b"".join(
        (SCENARIOS / case / "exchanges.jsonl").read_bytes() for case in ("ordinary_chat", "reasoning_elicitation")
    )
    log = b"".join(sorted(log.splitlines(keepends=True), key=lambda line: orjson.loads(line)["at"]))
    runs = [guard("-", "--policy", policy, "--against", "standard", stdin=log, PYTHONHASHSEED=seed) for seed in "17"]
    assert runs[0].returncode == 0
    assert runs[0].stdout == runs[1].stdout
    assert runs[0].stderr == runs[1].stderr
    assert len(runs[0].stdout.splitlines()) == len(log.splitlines())


def test_faults_of_guard_itself_are_not_passed_over(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    """Where a stage fails, decisions go on as live, but the replay says so, quiet or not, and ends with 1."""

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("guard.scoring.Scoring.assess", fail)
    out = tmp_path / "d.jsonl"
    assert main(["replay", str(LOG), "--quiet", "--out", str(out)]) == 1
    assert b"guard itself failed" in (said := capsysbinary.readouterr().err)
    assert b"scoring (ZeroDivisionError): 9" in said
    assert actions(out.read_bytes()) == ["allow"] * 9


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["absent.jsonl"], "absent.jsonl: No such file"),
        ([str(LOG), "--policy", "absent.toml"], "absent.toml"),
        ([str(LOG), "--out", "absent/d.jsonl"], "No such file"),
        ([str(LOG), "--against", str(LOG)], "exchanges.jsonl"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_sentence(words: list[str], message: str, tmp_path: Path) -> None:
    """Exit code 2 and no traceback."""
    done = subprocess.run([*GUARD, *words], capture_output=True, timeout=60, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_the_log_is_never_overwritten(tmp_path: Path) -> None:
    """``--out`` on the log itself is refused before anything is written."""
    log = tmp_path / "log.jsonl"
    log.write_bytes(LOG.read_bytes())
    done = guard(str(log), "--out", str(log))
    assert done.returncode == 2
    assert log.read_bytes() == LOG.read_bytes()


def test_whoever_reads_may_stop_reading(policy: str) -> None:
    """``guard replay … | head`` ends in silence."""
    lines = LOG.read_bytes()
    log = lines + b"".join(retimed(lines, minute) for minute in range(300))
    pipes: dict[str, Any] = {
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "bufsize": 0,
    }
    with subprocess.Popen([*GUARD, "-", "--policy", policy], **pipes) as process:
        process.stdin.write(log.splitlines(keepends=True)[0])
        process.stdout.readline()
        process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(log.split(b"\n", 1)[1])
        process.stdin.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 0


def retimed(lines: bytes, minute: int) -> bytes:
    records: list[dict[str, Any]] = [orjson.loads(line) for line in lines.splitlines()]
    return b"".join(orjson.dumps({**record, "at": record["at"] + 100 * (minute + 1)}) + b"\n" for record in records)


def test_progress_is_drawn_on_a_terminal_only(policy: str, tmp_path: Path) -> None:
    """On a terminal a bar with the time left is drawn and taken away again; a pipe never sees an escape sequence."""
    log = tmp_path / "long.jsonl"
    log.write_bytes(b"".join(retimed(LOG.read_bytes(), minute) for minute in range(3000)))
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [*GUARD, str(log), "--policy", policy, "--out", str(tmp_path / "d.jsonl")],
        stderr=follower,
        stdout=subprocess.PIPE,
    ) as process:
        os.close(follower)
        screen = b""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                block = os.read(leader, 4096)
            except OSError:  # the other end is closed: Linux says EIO
                break
            if not block:
                break
            screen += block
        assert process.wait(30) == 0
    os.close(leader)
    assert b"exchanges, " in screen
    assert b" left" in screen
    assert b"\r\x1b[K" in screen
    assert b"27,000 exchanges of 2 accounts" in screen.rsplit(b"\x1b[K", 1)[1]


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["clean"])
def test_no_ordinary_account_is_harmed_by_the_shipped_policy(scenario: str, shared: Path, tmp_path: Path) -> None:
    """Of the evaluation's ordinary accounts none is limited, degraded, challenged or refused by ``standard``."""
    evaluation, data = shared / "eval", shared / "data"
    log, out = tmp_path / "log.jsonl", tmp_path / "decisions.jsonl"
    corpora = ["--corpora", str(data / "benign"), "--corpora", str(data / "extraction")]
    toml = str(evaluation / "scenarios" / f"{scenario}.toml")
    with log.open("wb") as file:
        command = [sys.executable, str(evaluation / "population.py"), toml, *corpora, "--limit", "15000"]
        subprocess.run(command, stdout=file, check=True, timeout=100)
    assert guard(str(log), "--out", str(out), "--quiet").returncode == 0
    command = [sys.executable, str(evaluation / "score.py"), str(log), str(out), "--json"]
    report = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
    assert report["harm"]["exchanges"] == 0
    assert report["harm"]["accounts"] == 0
