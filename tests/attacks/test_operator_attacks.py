"""The operator's command line against a real server under attack: what a client was told leads to what can be done about it."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guard.channel import call
from guard.cli import main
from tests.attacks.victim import ROOT, Victim
from tests.attacks.wire import ASK, Answer, Wire, ask_once, at_once, play, request

pytestmark = pytest.mark.uvicorn

ELICITING = {
    "model": "m", "max_tokens": 50, "logprobs": True, "top_logprobs": 20,
    "messages": [{"role": "user", "content": "Think step by step and write out your complete chain of thought before the answer."}],
}  # fmt: skip


def policy(folder: Path, more: str = "") -> str:
    return (
        'version = 1\nmode = "enforce"\n[[limit]]\nid = "free"\nper = ["account"]\nrequests = "20/day"\n'
        '[[limit]]\nid = "wide"\nper = ["account"]\nrequests = "1000/day"\nconcurrent = 20\n'
        '[[rule]]\nid = "watched"\nwhen = { band = ["watch", "suspect", "confirmed"] }\naction = "limit"\n'
        f'[admin]\nsocket = "{folder}/run/s"\n[state]\ndir = "{folder}/state"\n{more}'
    )


class Operator:
    """``guard COMMAND …`` as one types it beside the running server."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.address = f"{folder}/run/s"
        self._capsys = capsys

    def __call__(self, *words: str) -> tuple[int, str]:
        self._capsys.readouterr()
        code = main([*words, "--socket", self.address])
        out, err = self._capsys.readouterr()
        return code, out + err

    def record(self, answer: Answer) -> dict[str, Any]:
        """The audit's line of the exchange that an answer belongs to."""
        code, said = self("explain", answer.headers["x-guard-reference"], "--json")
        assert code == 0
        record: dict[str, Any] = json.loads(said)["record"]
        return record


@pytest.fixture
def operator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Operator:
    return Operator(tmp_path, capsys)


def test_from_a_complaint_to_a_remedy(
    victims: Callable[..., Victim], operator: Operator, tmp_path: Path, http: str
) -> None:
    """A limited client names its reference; explain says why, the kill switch lets everything through at once and ends at
    once, a grant lifts the rule for that account alone."""
    victim = victims(policy(tmp_path), http=http)
    with Wire(victim.to) as wire:
        refused = [wire.ask(key="sk-alice") for _ in range(21)][-1]
        assert refused.status == 429
        code, why = operator("explain", refused.headers["x-guard-reference"])
        assert (code, "free" in why) == (0, True)
        assert operator("explain", "000000000000")[0] == 1

        assert operator("status")[0] == 0
        assert operator("mode", "observe", "--for", "2h", "--why", "complaints")[0] == 0
        assert wire.ask(key="sk-alice").status == 200
        assert operator("mode", "policy")[0] == 0
        assert wire.ask(key="sk-alice").status == 429
        assert "mode is enforce" in operator("mode")[1]

        account = operator.record(refused)["account"]
        assert len(account) == 32
        assert wire.ask(key="sk-bob").status == 200
        assert operator("erase", account)[0] == 0
        # Forgotten altogether: a provisional credential with a new allowance, as on its first day.
        assert wire.ask(key="sk-alice").status == 200
        assert operator("verify")[0] == 0


def test_evidence_can_be_forgiven(victims: Callable[..., Victim], operator: Operator, tmp_path: Path) -> None:
    """An account that a rule limits for what it asks is served again once it is forgiven, and with a grant it stays so."""
    victim = victims(policy(tmp_path).replace("20/day", "5000/day").replace("1000/day", "5000/day"), http="h11")
    with Wire(victim.to) as wire:
        limited = next(
            (answer for answer in (wire.ask(ELICITING, key="sk-lab") for _ in range(300)) if answer.status == 429), None
        )
        assert limited is not None
        record = operator.record(limited)
        assert record["rule"] == "watched"
        assert record["evidence"]
        account = record["account"]
        code, said = operator("forgive", account, "--why", "an evaluation")
        assert (code, "forgiven" in said) == (0, True)
        assert wire.ask(ASK, key="sk-lab").status == 200
        # It goes on asking for the same; with the operator's word it may.
        assert operator("grant", account, "--why", "red team")[0] == 0
        granted = [wire.ask(ELICITING | {"seed": n}, key="sk-lab").status for n in range(200)]

    assert set(granted) == {200}


def test_a_block_is_in_force_at_once(
    victims: Callable[..., Victim], operator: Operator, tmp_path: Path, http: str
) -> None:
    """Blocked in the middle of a stream: it ends with an error event, the next request is refused, others aren't, and a
    restart keeps the word."""
    victim = victims(policy(tmp_path), http=http)
    refused = [ask_once(victim.to, key="sk-thief") for _ in range(21)][-1]
    account = operator.record(refused)["account"]
    assert operator("mode", "observe", "--for", "1h")[0] == 0
    with Wire(victim.to) as wire:
        wire.send(
            request(ASK | {"stream": True}, play(events=50, event_bytes=40, hold=True, hold_at=10), key="sk-thief")
        )
        wire.until(b"data: ")
        assert operator("mode", "policy")[0] == 0
        assert operator("block", account, "--why", "scraping")[0] == 0
        victim.release()
        rest = wire.until(b"[DONE]")
    assert b'"error"' in rest
    assert rest.count(b"delta") < 12
    assert ask_once(victim.to, key="sk-thief").status == 403
    assert ask_once(victim.to, key="sk-honest").status == 200
    assert json.loads(operator("status", "--json")[1])["blocks"] >= 1
    victim.stop()
    again = victims(policy(tmp_path), http=http)
    assert ask_once(again.to, key="sk-thief").status == 403
    assert operator("revoke", account)[0] == 0
    assert ask_once(again.to, key="sk-thief").status == 429


@pytest.mark.parametrize("key", ["", "sk-unknown"], ids=["anonymous", "a credential nobody vouched for"])
def test_a_block_holds_whoever_the_audit_names(
    victims: Callable[..., Victim], operator: Operator, tmp_path: Path, key: str
) -> None:
    """An operator blocks the account that explain shows, also where that is a network or a key that the app has never accepted."""
    victim = victims(policy(tmp_path), http="h11")
    script = play(status=401, body="{}")
    with Wire(victim.to) as wire:
        refused = [wire.ask(ASK, script, key=key) for _ in range(21)][-1]
        assert refused.status == 429
        assert operator("block", operator.record(refused)["account"], "--why", "flood")[0] == 0
        assert wire.ask(ASK, script, key=key).status == 403


def test_the_socket_is_the_owners_alone(victims: Callable[..., Victim], operator: Operator, tmp_path: Path) -> None:
    """Mode 0600 in a folder of 0700; one that a killed server has left behind is taken over, one that is in use is not."""
    first = victims(policy(tmp_path), http="h11")
    assert ask_once(first.to, key="sk").status == 200
    assert stat.S_IMODE(os.stat(operator.address).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(tmp_path / "run").st_mode) == 0o700
    first.kill()
    assert operator("status")[0] == 2
    second = victims(policy(tmp_path), http="h11")
    assert ask_once(second.to, key="sk").status == 200
    assert operator("status")[0] == 0
    # A second server with a state folder of its own but the same socket ends with the reason.
    third = victims(policy(tmp_path).replace("/state", "/state3"), http="h11")
    assert third.process.wait(20) != 0
    assert "another guard answers" in third.said
    assert operator("status")[0] == 0
    second.stop()

    assert not os.path.exists(operator.address)


def test_the_channel_answers_under_load(victims: Callable[..., Victim], operator: Operator, tmp_path: Path) -> None:
    """A hundred connections that are held, and sixteen clients that sit on the channel without a word: the operator gets through,
    or is told why not."""
    victim = victims(policy(tmp_path), http="httptools")
    assert ask_once(victim.to, key="sk").status == 200
    wires = at_once(victim.to, [request(ASK, play(hold=True), key=f"sk{n}") for n in range(100)])
    code, said = operator("status", "--json")
    assert (code, json.loads(said)["health"]) == (0, "ok")
    idle = []
    for _ in range(16):
        idle.append(socket.socket(socket.AF_UNIX))
        idle[-1].connect(operator.address)
    code, said = operator("status")
    assert (code, "too many connections" in said) == (2, True)
    for connection in idle:
        connection.close()
    victim.release()
    assert {wire.answer().status for wire in wires} == {200}
    for wire in wires:
        wire.close()

    assert operator("status")[0] == 0


def test_the_program_itself_reads_the_policy_for_the_socket(victims: Callable[..., Victim], tmp_path: Path) -> None:
    """``guard status`` typed in the folder of ``guard.toml``, as a process of its own, also where that file is broken now."""
    victim = victims(policy(tmp_path), http="h11")
    assert ask_once(victim.to, key="sk").status == 200
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "guard", "status"]

    def status() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30, check=False
        )

    good = status()
    assert (good.returncode, "guard is ok" in good.stdout) == (0, True)
    with (tmp_path / "guard.toml").open("a") as file:
        file.write('nonsense = "1"\n')
    assert "mistakes" in call(f"{tmp_path}/run/s", "reload")
    stale = status()

    assert stale.returncode == 1
    assert "the last good policy stays in force" in stale.stdout
