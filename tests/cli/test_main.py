from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import guard
from guard.cli import commands, main


def test_every_file_is_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Help lists one command a file, sorted, each with its summary."""
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    files = {path.stem for path in (Path(guard.__file__).parent / "cli").glob("[a-z]*.py")}
    assert set(commands()) == files
    places = [text.index(f"\n    {name}") for name in commands()]
    assert places == sorted(places)


@pytest.mark.parametrize("name", commands())
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """``guard COMMAND --help`` ends with 0 and says something."""
    assert main([name, "--help"]) == 0
    assert f"usage: guard {name}" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The package's own."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"guard {guard.__version__}\n"


@pytest.mark.parametrize(
    "words", [[], ["surprise"], ["mode", "obsreve"], ["mode", "observe", "--for", "2x"], ["grant", "a"]]
)
def test_wrong_questions_are_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and the reason on stderr, nothing on stdout."""
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "guard" in err


def test_nobody_there_is_2_and_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback at three in the morning."""
    assert main(["status", "--socket", str(tmp_path / "none")]) == 2
    err = capsys.readouterr().err
    assert err.startswith("guard: no guard listens at ")
    assert err.count("\n") == 1


def test_it_runs_as_a_module() -> None:
    """``python -m guard``."""
    done = subprocess.run([sys.executable, "-m", "guard", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"guard {guard.__version__}\n")


def test_help_is_quick_to_import() -> None:
    """Help of the operator's commands pulls in no web framework, no pattern engine, no numpy."""
    program = "import sys; from guard.cli import main; main(['status', '--help']); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    for heavy in ("starlette", "numpy", "hyperscan", "pydantic", "httpx", "prometheus_client"):
        assert f"'{heavy}'" not in done.stdout


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    """``guard metrics | head`` ends quietly."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-m", "guard", "--help"], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert b"Traceback" not in done.stderr
