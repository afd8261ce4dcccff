"""``guard init``: a policy to start from, never over one that is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.cli import main
from guard.config import load, load_with_warnings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test runs in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_written_loads_as_it_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Observe mode, no warnings, state and socket switched on; it says what comes next."""
    assert main(["init"]) == 0
    policy, warnings = load_with_warnings(folder / "guard.toml", now=1_800_000_000.0)
    assert warnings == ()
    assert policy.mode == "observe"
    assert policy.rules == load("observe").rules
    assert (policy.state.dir, policy.admin.socket) == ("guard-state", "guard-state/admin.sock")
    assert "guard check guard.toml" in capsys.readouterr().out


def test_a_file_that_is_there_stays(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 1 and untouched; ``--force`` swaps it whole."""
    (folder / "guard.toml").write_text("mine")
    assert main(["init"]) == 1
    assert "--force" in capsys.readouterr().err
    assert (folder / "guard.toml").read_text() == "mine"
    assert main(["init", "--force"]) == 0
    assert load(folder / "guard.toml").mode == "observe"
    assert [path.name for path in folder.iterdir()] == ["guard.toml"]


def test_another_place(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A path, or a folder; one that isn't there is an error in one sentence."""
    (folder / "etc").mkdir()
    assert main(["init", "etc"]) == 0
    assert (folder / "etc" / "guard.toml").is_file()
    assert main(["init", "nowhere/guard.toml"]) == 1
    assert "No such file" in capsys.readouterr().err


def test_another_preset(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Any of the shipped ones; a mistyped name gets a hint and exit 2."""
    assert main(["init", "small.toml", "--preset", "small"]) == 0
    assert load(folder / "small.toml").limits == load("small").limits
    assert main(["init", "x.toml", "--preset", "smal"]) == 2
    assert "did you mean 'small'?" in capsys.readouterr().err
