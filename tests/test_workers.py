from __future__ import annotations

import multiprocessing
import os
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from guard.errors import InstallError
from guard.workers import claim_only_worker


def worker(answers: Connection) -> None:
    try:
        claim_only_worker({})
        claim_only_worker({})
        answers.send("alone")
    except InstallError as error:
        answers.send(str(error))
    answers.recv()


def test_the_second_worker_of_a_server_is_told_the_remedy() -> None:
    """Of two processes that one server has started the second can't claim to be alone, until the first has ended."""
    context = multiprocessing.get_context("spawn")
    said, running = [], []
    for turn in range(3):
        here, there = context.Pipe()
        process = context.Process(target=worker, args=(there,), daemon=True)
        process.start()
        said.append(here.recv())
        running.append((process, here))
        if turn == 1:
            for process, pipe in running:
                pipe.send("end")
                process.join(20)
    running[-1][1].send("end")
    running[-1][0].join(20)
    (Path(tempfile.gettempdir()) / f"guard-{os.getuid()}-{os.getpid()}.lock").unlink()

    assert said[0] == "alone"
    assert "one worker" in said[1]
    assert said[2] == "alone"


def test_a_process_of_its_own_claims_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Apps that share nothing but the shell they were started from don't stand in each other's way."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    claim_only_worker({})
    assert list(tmp_path.iterdir()) == []

    claim_only_worker({"SERVER_SOFTWARE": "gunicorn/23.0.0"})
    assert [path.stat().st_mode & 0o777 for path in tmp_path.iterdir()] == [0o600]
