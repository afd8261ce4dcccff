"""`guard decide`: what it must be told, and that it answers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from guard.cli import main

POLICY = 'version = 1\nmode = "enforce"\n[trust]\nhops = ["127.0.0.1/32"]\naddress = "x-forwarded-for"\n'
ASKING = {"x-original-method": "POST", "x-original-uri": "/v1/chat/completions"}


def test_it_answers_until_it_is_told_to_end(tmp_path: Path) -> None:
    """A process of its own on a free port, ended as from a terminal."""
    (tmp_path / "guard.toml").write_text(POLICY)
    words = [sys.executable, "-m", "guard", "decide", "--port", "0", "--settle", "never"]
    environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environ) as process:
        assert process.stderr is not None
        said = ""
        while (found := re.search(r"running on (http://127\.0\.0\.1:\d+)", said)) is None:
            line = process.stderr.readline()
            assert line, said
            said += line
        answer = httpx.get(f"{found[1]}/decide/nginx", headers=ASKING)
        process.send_signal(signal.SIGINT)
        process.stderr.read()
    assert (answer.status_code, answer.headers["x-guard-action"]) == (200, "allow")
    assert process.returncode in {0, 130, -signal.SIGINT}


def test_a_policy_that_trusts_nobody_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, with the remedy."""
    policy = tmp_path / "guard.toml"
    policy.write_text('version = 1\nmode = "observe"\n')
    assert main(["decide", "--policy", str(policy)]) == 2
    assert "[trust] hops" in capsys.readouterr().err


def test_tokens_are_no_less_than_none(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2."""
    assert main(["decide", "--tokens", "-1"]) == 2
    assert "--tokens" in capsys.readouterr().err
