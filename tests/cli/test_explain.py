from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from guard.cli import main
from tests.desk import ACCOUNT, Desk, full_receipt

Run = Callable[..., tuple[int, str, str]]
REFERENCE = "0123456789ab"


def test_a_running_guard_explains(guard: Run, desk: Desk) -> None:
    """Even what it decided a moment ago."""
    desk.audit.exchange(full_receipt())
    code, out, _ = guard("explain", REFERENCE)
    assert code == 0
    assert "this exchange was limited (429)" in out
    assert ACCOUNT in out


def test_nothing_known_is_1(guard: Run) -> None:
    """With the likely reasons."""
    code, out, _ = guard("explain", "ffffffffffff")
    assert code == 1
    assert "it was plainly allowed, or is too old" in out


def test_json_holds_the_record(guard: Run, desk: Desk) -> None:
    """For programs, and for a support form."""
    desk.audit.exchange(full_receipt())
    assert json.loads(guard("explain", REFERENCE, "--json")[1])["record"]["reference"] == REFERENCE


def test_nothing_of_a_record_moves_the_terminal(guard: Run, desk: Desk) -> None:
    """A model's name is the client's: ANSI in it is shown, not obeyed (SECURITY 141)."""
    from guard.types import Features

    desk.audit.exchange(full_receipt(features=Features(1, "json", "\x1b[2J\x9b31m\u202emodel", False, (), (), 1, 1)))
    out = guard("explain", REFERENCE)[1]
    assert "\\x1b[2J\\x9b31m\\u202emodel" in out
    assert all(character == "\n" or character.isprintable() for character in out)


def test_the_file_is_read_where_no_guard_runs(desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --audit, or by the policy file when the app is down: that is when one asks."""
    desk.audit.exchange(full_receipt())
    desk.close()
    audit = str(tmp_path / "audit.jsonl")
    assert main(["explain", REFERENCE, "--audit", audit]) == 0
    assert main(["explain", "ffffffffffff", "--audit", audit]) == 1
    assert "No line of" in capsys.readouterr().out
    (tmp_path / "guard.toml").write_text(
        f"[admin]\nsocket = {json.dumps(str(tmp_path / 'none'))}\n[audit]\nfile = 'audit.jsonl'\n"
    )
    assert main(["explain", REFERENCE, "--policy", str(tmp_path / "guard.toml")]) == 0
    out, err = capsys.readouterr()
    assert "this exchange was limited" in out
    assert "no guard listens" in err


def test_turned_files_are_read_too(desk: Desk, tmp_path: Path) -> None:
    """However many there are."""
    desk.audit.exchange(full_receipt())
    desk.close()
    (tmp_path / "audit.jsonl").rename(tmp_path / "audit.jsonl.1")
    (tmp_path / "audit.jsonl").write_text('{"reference":"other"}\n')
    assert main(["explain", REFERENCE, "--audit", str(tmp_path / "audit.jsonl")]) == 0


def test_no_guard_and_no_file_is_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence, and what to do."""
    monkeypatch.chdir(tmp_path)
    assert main(["explain", REFERENCE]) == 2
    assert main(["explain", REFERENCE, "--audit", "none.jsonl"]) == 2
    assert "there is no audit file none.jsonl" in capsys.readouterr().err
