"""``guard warm``: a deployment that knows past traffic before its first request, and holds nobody for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from guard.cli import main
from guard.clock import ManualClock
from guard.config import load
from guard.installation import Installation
from guard.types import AccountFacts

START = 1_700_000_000.0
POLICY = """
version = 1
[state]
dir = "{folder}/state"
[identity]
describe = "tests.cli.test_warm:describe"
"""


def describe(credential: str) -> AccountFacts:
    return AccountFacts(id=credential)


def line(number: int, **changes: Any) -> dict[str, Any]:
    """Sixty accounts that share one prompt, each asking something of its own."""
    text = "You rate answers. Compare the two replies below by the rubric and name the better one, then say why it is better. "
    body = {
        "model": "m",
        "messages": [{"role": "system", "content": text * 3}, {"role": "user", "content": f"question {number}"}],
    }
    return {
        "at": START + 60.0 * number,
        "account": {"id": f"customer {number % 60}"},
        "request": {"method": "POST", "path": "/v1/chat/completions", "body": body},
        "response": {"status": 200, "input_tokens": 50, "output_tokens": 20},
    } | changes


@pytest.fixture
def policy(tmp_path: Path) -> str:
    (tmp_path / "guard.toml").write_text(POLICY.format(folder=tmp_path))
    return str(tmp_path / "guard.toml")


def written(folder: Path, *lines: dict[str, Any]) -> str:
    path = folder / "log.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    return str(path)


def started(policy: str) -> Installation:
    return Installation(load(policy), ManualClock(START + 1e6))


def test_the_next_guard_knows_accounts_and_families(
    tmp_path: Path, policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Under the key that the deployment will use: an account of the log is known, with its age, at its first request."""
    assert main(["warm", written(tmp_path, *[line(n) for n in range(200)]), "--policy", policy]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("200 exchanges learnt: 60 accounts,")
    assert err == ""
    installation = started(policy)
    recognition = installation.guard.recognition
    known = recognition.accounts.find(installation.guard.key.identifier("account", b"customer 7"))
    assert known is not None
    assert (known.first_at, known.count) == (START + 420.0, 4)
    assert len(recognition.parts().families) > 0
    assert recognition.parts().usual.exchanges == 200
    assert len(recognition.clusters) == 0
    assert not recognition.parts().groups
    installation.close()


def test_limits_grants_and_blocks_stay_as_they_are(tmp_path: Path, policy: str) -> None:
    """What the state held besides is written back as it was."""
    before = started(policy)
    before.guard.block("account:mallory", "abuse", 0.0, START)
    before.close()
    assert main(["warm", written(tmp_path, line(1)), "--policy", policy, "--quiet"]) == 0
    after = started(policy)
    assert after.guard.words.counts()["blocks"] == 1
    after.close()


def test_a_running_guard_keeps_its_state(tmp_path: Path, policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    running = started(policy)
    assert main(["warm", written(tmp_path, line(1)), "--policy", policy]) == 2
    assert "another process holds it" in capsys.readouterr().err
    running.close()


def test_a_broken_line_changes_nothing_unless_it_is_skipped(
    tmp_path: Path, policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log = written(tmp_path, line(1), {"at": START + 90}, line(2))
    assert main(["warm", log, "--policy", policy]) == 2
    assert "line 1 of the log" in capsys.readouterr().err
    fresh = started(policy)
    assert len(fresh.guard.recognition.accounts) == 0
    fresh.close()
    assert main(["warm", log, "--policy", policy, "--skip-broken"]) == 0
    assert "2 exchanges learnt, 1 broken lines skipped" in capsys.readouterr().out


def test_older_traffic_than_the_state_knows_is_refused(
    tmp_path: Path, policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Time never goes back."""
    assert main(["warm", written(tmp_path, line(100)), "--policy", policy]) == 0
    assert main(["warm", written(tmp_path, line(1)), "--policy", policy]) == 2
    assert "later traffic than this log" in capsys.readouterr().err
    assert main(["warm", written(tmp_path, line(101)), "--policy", policy]) == 0


def test_a_log_of_the_future_is_refused(tmp_path: Path, policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["warm", written(tmp_path, line(1, at=9e9)), "--policy", policy]) == 2
    assert "in the future" in capsys.readouterr().err


def test_a_recorded_log_has_guards_own_hashes(tmp_path: Path, policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    """They are taken as they are; other ids are no such hashes and are said to be none."""
    assert main(["warm", written(tmp_path, line(1, account={"id": "ab" * 16})), "--policy", policy, "--recorded"]) == 0
    installation = started(policy)
    assert installation.guard.recognition.accounts.find("ab" * 16) is not None
    installation.close()
    assert main(["warm", written(tmp_path, line(2)), "--policy", policy, "--recorded"]) == 2
    assert "no keyed hash" in capsys.readouterr().err


def test_without_ids_the_operator_is_told_what_can_be_learnt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "guard.toml").write_text(POLICY.format(folder=tmp_path).partition("[identity]")[0])
    assert main(["warm", written(tmp_path, line(1)), "--policy", str(tmp_path / "guard.toml")]) == 0
    assert "no [identity] describe" in capsys.readouterr().err


def test_without_a_state_directory_there_is_nowhere_to_learn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["warm", written(tmp_path, line(1)), "--policy", "standard"]) == 2
    assert "set [state] dir" in capsys.readouterr().err


def test_verdicts_hold_only_when_asked_for(tmp_path: Path, policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same campaign, with and without: convicted from the log, or not until it comes again."""
    from guard.replay import warm
    from tests.recognition import town

    class Convicting(warm.Guard):
        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, **more)
            self.recognition._weighing = town.weighing(
                Always("queue", "coordination", 6.0), Always("night", "rhythm", 5.0)
            )

    class Always(town.Marked):
        def weigh(self, sample: Any) -> Any:
            return town.Weighed(self._nats, "always")

    monkeypatch.setattr(warm, "Guard", Convicting)
    log = written(tmp_path, *[line(n) for n in range(300)])
    assert main(["warm", log, "--policy", policy]) == 0
    without = started(policy)
    assert len(without.guard.recognition.clusters) == 0
    without.close()
    for path in (tmp_path / "state").rglob("state*"):
        path.unlink()
    assert main(["warm", log, "--policy", policy, "--verdicts"]) == 0
    found = started(policy)
    assert len(found.guard.recognition.clusters) == 1
    found.close()
