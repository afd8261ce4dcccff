"""``guard worker``: leads, says so, and ends in good order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from guard.cli import main
from guard.cli.worker import line
from tests.patience import until
from tests.servers import Server

CONDITION = {
    "replica": "ab" * 8,
    "state": "up",
    "leads": True,
    "leader": "ab" * 8,
    "replicas": 2,
    "led": 12,
    "warnings": [],
}


def policy(folder: Path, store: str) -> Path:
    """A policy file with that store."""
    path = folder / "guard.toml"
    path.write_text(f'version = 1\n[protect]\nroutes = ["/v1/*"]\n[state]\nstore = "{store}"\n')
    return path


def test_it_leads_and_ends_when_it_is_told_to(store_server: Server, tmp_path: Path) -> None:
    """It stands at once, writes that it leads, and on SIGTERM lets go of the lease and ends with 0."""
    said = tmp_path / "said"
    environ = {**os.environ, "GUARD_KEY": "a key for tests, long enough to be one"}
    with said.open("wb") as out:
        running = subprocess.Popen(
            [sys.executable, "-m", "guard", "worker", "--policy", str(policy(tmp_path, store_server.url))],
            stdout=out,
            env=environ,
        )
        try:
            until(lambda: b": leads;" in said.read_bytes() or running.poll() is not None)
            assert running.poll() is None
            assert len(store_server.call("KEYS", "*:lead")) == 1
            running.send_signal(signal.SIGTERM)
            assert running.wait(30) == 0
        finally:
            if running.poll() is None:
                running.kill()
                running.wait()
    assert store_server.call("KEYS", "*:lead") == []
    assert "Traceback" not in said.read_text()


def test_it_takes_up_its_policy_anew_and_keeps_the_last_good_one(store_server: Server, tmp_path: Path) -> None:
    """When the file has changed, and at once on SIGHUP; the others hear which policy it leads by, and a mistake ends nothing."""
    said = tmp_path / "said"
    environ = {**os.environ, "GUARD_KEY": "a key for tests, long enough to be one"}
    path = policy(tmp_path, store_server.url)
    good = path.read_text()
    with said.open("wb") as out:
        running = subprocess.Popen(
            [sys.executable, "-m", "guard", "worker", "--policy", str(path)], stdout=out, env=environ
        )

        def told(text: bytes) -> bool:
            assert running.poll() is None
            return text in said.read_bytes()

        def digests() -> set[str]:
            (live,) = store_server.call("KEYS", "*:live")
            return {value.rpartition('"digest":"')[2] for value in store_server.call("HGETALL", live).values()}

        try:
            until(lambda: told(b": leads;"))
            before = digests()
            path.write_text(good + '[[limit]]\nid = "few"\nper = ["account"]\nrequests = "3/day"\n')
            until(lambda: told(b"took up the policy anew"))
            until(lambda: digests() != before)
            path.write_text(good + "nonsense = 1\n")
            running.send_signal(signal.SIGHUP)
            until(lambda: told(b"the last good one stays in force"))
            path.write_text(good)
            running.send_signal(signal.SIGHUP)
            until(lambda: digests() == before)
            running.send_signal(signal.SIGTERM)
            assert running.wait(30) == 0
        finally:
            if running.poll() is None:
                running.kill()
                running.wait()


@pytest.mark.parametrize(("store", "remedy"), [("", "[state] store"), ("redis://127.0.0.1:1/0", "GUARD_KEY")])
def test_what_it_can_not_lead_without_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], store: str, remedy: str
) -> None:
    """A policy without a store, and a process without the replicas' key."""
    monkeypatch.delenv("GUARD_KEY", raising=False)
    if not store:
        monkeypatch.setenv("GUARD_KEY", "x" * 32)
    assert main(["worker", "--policy", str(policy(tmp_path, store))]) == 2
    assert remedy in capsys.readouterr().err


def test_its_line_says_what_is_wrong() -> None:
    """Whether it leads, whether the store answers, and every warning."""
    assert line(CONDITION) == f"guard worker {'ab' * 8}: leads; 2 replicas, 12 exchanges looked at"
    other = line(CONDITION | {"leads": False, "leader": "", "state": "local", "warnings": ["a warning"]})
    assert "waits, nobody leads" in other
    assert "the store does not answer; a warning" in other
