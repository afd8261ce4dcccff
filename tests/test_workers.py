from __future__ import annotations

import multiprocessing
import os
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from guard.config import load
from guard.errors import InstallError
from guard.workers import apart, claim_number, claim_only_worker


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


def numbered(folder: str, answers: Connection) -> None:
    answers.send((claim_number(folder, {}), claim_number(folder, {})))
    answers.recv()


def test_workers_that_share_a_store_are_numbered(tmp_path: Path) -> None:
    """Each keeps its number while it lives; the number of one that has ended is the next one's."""
    context = multiprocessing.get_context("spawn")
    said, running = [], []
    for turn in range(3):
        here, there = context.Pipe()
        process = context.Process(target=numbered, args=(str(tmp_path / "state"), there), daemon=True)
        process.start()
        said.append(here.recv())
        running.append((process, here))
        if turn == 1:
            running[0][1].send("end")
            running[0][0].join(20)
    for process, pipe in running[1:]:
        pipe.send("end")
        process.join(20)

    assert said == [(1, 1), (2, 2), (1, 1)]


def test_from_the_second_on_a_worker_writes_files_of_its_own() -> None:
    """Two that wrote one file would break its chain; a port can be listened on once."""
    policy = load(
        'version = 1\n[state]\ndir = "/s"\n[audit]\nfile = "/a/audit.jsonl"\n[record]\nfile = "/r/log.jsonl"\n'
        '[admin]\nsocket = "/s/admin.sock"\ntcp = "127.0.0.1:9901"\ntoken_file = "/s/token"\n'
    )
    assert apart(policy, 1) is policy
    other = apart(policy, 2)
    assert other.state.dir == "/s/worker-2"
    assert other.audit.file == "/a/audit-worker-2.jsonl"
    assert other.record.file == "/r/log-worker-2.jsonl"
    assert other.admin.socket == "/s/admin-worker-2.sock"
    assert other.admin.tcp == ""
    assert other.limits == policy.limits
    assert apart(load("version = 1\n"), 2) == load("version = 1\n")
