"""``guard check``: every mistake with its file and line, exit codes, endpoints, the schema."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from guard.cli import main

GOOD = 'version = 1\nmode = "enforce"\n[[limit]]\nid = "a"\nper = ["account"]\nrequests = "1/minute"\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test runs in an empty folder and leaves the Python path as it was."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


def test_a_good_policy(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """guard.toml of this folder by default; the answer tells what was read."""
    (folder / "guard.toml").write_text(GOOD)
    assert main(["check"]) == 0
    assert "guard.toml: ok (mode enforce, 1 limit, 0 rules, digest " in capsys.readouterr().out


def test_every_mistake_with_its_file_and_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line each, in the form that editors and terminals make a link of; exit 1."""
    (folder / "a.toml").write_text(
        'version = 1\nmode = "enfroce"\n[[limit]]\nid = "a"\nper = ["acount"]\nrequests = 20\n'
    )
    (folder / "b.toml").write_text(GOOD)
    assert main(["check", "a.toml", "b.toml"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["a.toml:2", "a.toml:5", "a.toml:6", "a.toml", "b.toml"]
    assert lines[0] == "a.toml:2: mode: isn't one of the valid values (found \"enfroce\"); did you mean 'enforce'?"
    assert lines[3] == "a.toml: 3 mistakes"


def test_warnings_leave_the_exit_code(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The policy can be used."""
    (folder / "guard.toml").write_text('version = 1\nmode = "enforce"\n')
    assert main(["check"]) == 0
    out = capsys.readouterr().out
    assert "guard.toml:2: warning: mode: enforces nothing" in out
    assert "1 warning)" in out


def test_a_missing_file(capsys: pytest.CaptureFixture[str]) -> None:
    """It is a mistake like any other."""
    assert main(["check", "nowhere.toml"]) == 1
    assert "nowhere.toml: the file: can't be read: No such file" in capsys.readouterr().out


@pytest.mark.parametrize("preset", ["observe", "standard", "small", "large"])
def test_presets_by_name(preset: str) -> None:
    """What guard ships is right."""
    assert main(["check", preset]) == 0


def test_the_callable_is_found_in_this_folder_or_left_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As a server that is started here would find it; ``--no-import`` needs no such code."""
    (folder / "guard.toml").write_text(GOOD + '[identity]\ndescribe = "check_shop:describe"\n')
    assert main(["check", "--no-import"]) == 0
    assert main(["check"]) == 1
    assert "No module named 'check_shop'" in capsys.readouterr().out
    (folder / "check_shop.py").write_text("def describe(credential): ...\n")
    assert main(["check"]) == 0


def test_the_endpoints_of_an_app(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every route with its dialect, or "not protected"."""
    (folder / "guard.toml").write_text(GOOD)
    (folder / "check_app.py").write_text(
        "from starlette.applications import Starlette\nfrom starlette.routing import Mount, Route\n"
        "async def f(request): ...\n"
        "app = Starlette(routes=[Mount('/v1', routes=[Route('/messages', f, methods=['POST'])]), Route('/health', f)])\n"
    )
    assert main(["check", "--app", "check_app:app"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert lines == [["POST", "/v1/messages", "anthropic_messages"], ["GET", "/health", "not", "protected"]]


def test_an_app_that_isnt_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence and exit 1."""
    (folder / "guard.toml").write_text(GOOD)
    assert main(["check", "--app", "no_such_app:app"]) == 1
    assert "No module named 'no_such_app'" in capsys.readouterr().err


def test_the_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    """For editors: no policy is read."""
    assert main(["check", "--schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["properties"]["mode"]["enum"] == ["off", "observe", "enforce"]
    assert "Condition" in schema["$defs"]
