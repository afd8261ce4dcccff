from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from guard import config
from guard.remote.inspect import RIGHTS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = [(kind, re.sub(r"(?m)^   ", "", text)) for kind, text in re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)]


def blocks(kind: str) -> list[str]:
    return [text for found, text in BLOCKS if found == kind]


@pytest.mark.parametrize("code", blocks("python"))
def test_every_python_block_runs(code: str, tmp_path: Path) -> None:
    """Each block is a program of its own that runs as it stands, beside a fresh policy file."""
    subprocess.run([sys.executable, "-m", "guard", "init", "guard.toml"], cwd=tmp_path, check=True, capture_output=True)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("text", blocks("toml"))
def test_every_policy_loads_without_a_warning(text: str) -> None:
    """What the README shows is what the server takes (the callable that it names is the reader's own)."""
    assert config.load_with_warnings(text, resolve=False).warnings == ()


def test_console_blocks_run_in_order(tmp_path: Path) -> None:
    """The commands of the first five minutes work one after the other in an empty folder."""
    commands = [line[2:] for text in blocks("console") for line in text.splitlines() if line.startswith("$ ")]
    assert len(commands) >= 2
    for command in commands:
        word, *arguments = command.split()
        assert word == "guard"
        done = subprocess.run(
            [sys.executable, "-m", "guard", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_shell_blocks_name_commands_and_options_that_exist() -> None:
    """Every ``guard …`` line of a shell block is understood by the command line, option by option."""
    from guard.cli import _parser

    lines = [line.split("#")[0].strip() for text in blocks("sh") for line in text.splitlines()]
    calls = [line for line in lines if line.startswith("guard ")]
    assert len(calls) >= 6
    import shlex

    for call in calls:
        words = shlex.split(call)[1:]
        assert _parser(words).parse_args(words)


def test_the_two_commands_are_marked_for_ci() -> None:
    """``.ci/run`` takes them from here, so that they can't drift apart."""
    for name in ("try", "test"):
        assert re.search(rf"<!-- command: {name} -->\n```sh\n.+\n```", README)


def test_every_command_of_the_operator_is_told() -> None:
    """A command that the README names nowhere is a command that nobody finds."""
    from guard.cli import commands

    missing = [name for name in commands() if f"guard {name}" not in README]
    assert set(missing) <= {"reload", "revoke"}


def test_the_least_rights_at_the_store_are_those_that_are_tested() -> None:
    """Operators copy the line as it stands."""
    assert f"ACL SETUSER guard on >PASSWORD {RIGHTS}\n" in README
