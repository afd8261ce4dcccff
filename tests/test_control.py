from __future__ import annotations

import json
import logging
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from guard.control import VERBS
from guard.errors import AdminError
from guard.health import Surroundings
from guard.words import subject
from tests.desk import ACCOUNT, KEY, NOW, Desk, full_receipt

ALICE = subject("account:alice", KEY)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def last_event(desk: Desk, name: str) -> dict[str, Any]:
    return [line for line in map(json.loads, desk.events().splitlines()) if line["event"] == name][-1]


def test_status_says_in_words_how_it_is(desk: Desk) -> None:
    """Healthy: ok, no because; the numbers of the guard, the counts of the metrics, the uptime."""
    answer = desk.ask("status", now=NOW + 90)
    assert (answer["health"], answer["because"], answer["warnings"]) == ("ok", [], [])
    assert answer["mode"] == "enforce"
    assert answer["digest"] == "d" * 16
    assert answer["uptime_s"] == 90.0
    assert answer["audit"]["file"].endswith("audit.jsonl")


def test_status_says_what_is_broken(desk: Desk, tmp_path: Path) -> None:
    """Faults, a stale policy, a broken audit and what the edge knows each give a sentence, and degrade."""
    desk.guard.faults = {"scoring": 2}
    desk.surroundings = Surroundings(("state can't be saved",), ("no state dir",))
    desk.next_policy = None
    desk.ask("reload")
    desk.metrics.unprotected = 5
    (tmp_path / "audit.jsonl").mkdir()
    desk.audit.exchange(full_receipt())
    desk.audit.flush(NOW, force=True)
    answer = desk.ask("status")
    assert answer["health"] == "degraded"
    because, warnings = "\n".join(answer["because"]), "\n".join(answer["warnings"])
    assert "parts of guard failed since the start: scoring 2" in because
    assert "state can't be saved" in because
    assert "the last good policy stays in force" in because
    assert "the audit can't be written: it is a folder" in because
    assert "no state dir" in warnings
    assert "JSON POSTs to paths that guard does not protect: 5" in warnings
    assert answer["stale_policy"] is True


def test_the_kill_switch(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """``mode observe --for 2h``: in force at once, ends by itself, says who and why, and is loud (SECURITY 140)."""
    caplog.set_level(logging.WARNING, "guard")
    answer = desk.ask("mode", mode="observe", for_s=7200, why="false positives")
    assert answer == {"mode": "observe", "was": "enforce", "until": NOW + 7200}
    assert desk.guard.override == ("observe", NOW + 7200)
    event = last_event(desk, "mode")
    assert (event["by"], event["why"], event["loosens"]) == ("uid 1000 pid 1", "false positives", True)
    assert any("loosened" in record.getMessage() for record in caplog.records)
    assert desk.ask("mode", mode="policy")["mode"] == "enforce"
    assert last_event(desk, "mode")["loosens"] is False


def test_a_reference_is_explained(desk: Desk) -> None:
    """The record and sentences about it; an unknown one is told, not raised."""
    desk.audit.exchange(full_receipt())
    answer = desk.ask("explain", reference="0123456789ab")
    assert answer["record"]["account"] == ACCOUNT
    assert "this exchange was limited (429)" in answer["sentence"]
    unknown = desk.ask("explain", reference="ffffffffffff")
    assert unknown["record"] == {}
    assert "ffffffffffff" in unknown["sentence"]


def test_an_unknown_reference_after_a_flood_says_what_may_have_happened(desk: Desk) -> None:
    """Left-out lines are told of, so that nobody thinks guard has lost its memory."""
    for number in range(100):
        desk.audit.exchange(full_receipt(reference=f"r{number}"))
    assert "70 lines of busy accounts were left out" in desk.ask("explain", reference="r99")["sentence"]


def test_every_change_is_an_event_with_who_and_why(desk: Desk) -> None:
    """Subjects stand there as keyed hashes: the id that was typed is nowhere."""
    asked = {"subject": "account:alice", "why": "ticket 7"}
    assert desk.ask("forgive", **asked) == {"subject": ALICE, "forgiven": 1}
    assert desk.ask("grant", **asked, for_s=60, told=False) == {"subject": ALICE, "until": NOW + 60}
    assert desk.guard.grants[ALICE].told is False
    assert desk.ask("block", **asked) == {"subject": ALICE, "until": 0.0}
    assert desk.ask("revoke", **asked)["revoked"] is True
    assert desk.ask("erase", **asked)["erased"] == 3
    assert desk.ask("erase", **asked)["erased"] == 0
    for name in ("forgive", "grant", "block", "revoke", "erase"):
        event = last_event(desk, name)
        assert (event["subject"], event["by"], event["why"]) == (ALICE, "uid 1000 pid 1", "ticket 7")
    assert "alice" not in desk.events()


def test_reads_are_audited_too(desk: Desk) -> None:
    """Whoever looks at a record is named; probes that ask all day have one line a minute."""
    desk.ask("explain", reference="abc", by="uid 5 pid 1")
    for second in range(120):
        desk.ask("status", by=f"uid 6 pid {second}", now=NOW + second)
    reads = [json.loads(line) for line in desk.events().splitlines() if '"read"' in line]
    assert [(line["verb"], line["by"]) for line in reads] == [
        ("explain", "uid 5 pid 1"),
        ("status", "uid 6 pid 0"),
        ("status", "uid 6 pid 60"),
    ]


def test_a_reload_that_loosens_is_loud(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """Audit, log and the answer all name what got weaker (SECURITY 140)."""
    caplog.set_level(logging.WARNING, "guard")
    desk.next_policy = replace(desk.guard.policy, mode="observe", digest="e" * 16)
    answer = desk.ask("reload")
    assert answer == {
        "policy": "guard.toml",
        "digest": "e" * 16,
        "changed": True,
        "loosened": ["mode enforce → observe"],
    }
    assert last_event(desk, "loosened")["what"] == ["mode enforce → observe"]
    assert "loosened" in caplog.text
    assert last_event(desk, "reload")["before"] == "d" * 16


def test_a_reload_with_mistakes_changes_nothing(desk: Desk) -> None:
    """The answer holds every mistake; status says stale until a good file comes (SECURITY 138)."""
    desk.next_policy = None
    answer = desk.ask("reload")
    assert answer["changed"] is False
    assert "line 2: mode: no such mode" in answer["mistakes"]
    assert "no such mode" in last_event(desk, "reload_failed")["problem"]
    assert b'guard_reloads_total{result="failed"} 1.0' in desk.metrics.text()
    assert desk.ask("status")["stale_policy"] is True
    desk.next_policy = desk.guard.policy
    desk.ask("reload")
    assert desk.ask("status")["stale_policy"] is False


def test_metrics_and_verify(desk: Desk) -> None:
    """The Prometheus text, and the audit's chain."""
    assert "guard_exchanges_total" in desk.ask("metrics")["text"]
    desk.audit.exchange(full_receipt())
    answer = desk.ask("verify")
    assert answer["breaks"] == []
    assert answer["lines"] >= 2


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("statsu", {}, "did you mean 'status'"),
    ("status", {"verbose": True}, "no argument 'verbose'"),
    ("mode", {}, "needs 'mode'"),
    ("mode", {"mode": "obsreve"}, "did you mean 'observe'"),
    ("mode", {"mode": 3}, "is a text"),
    ("mode", {"mode": "observe", "for_s": "2h"}, "number of seconds"),
    ("mode", {"mode": "observe", "for_s": -1}, "number of seconds"),
    ("mode", {"mode": "observe", "for_s": True}, "number of seconds"),
    ("mode", {"mode": "observe", "for_s": float("nan")}, "number of seconds"),
    ("mode", {"mode": "observe", "for_s": 1e12}, "number of seconds"),
    ("explain", {"reference": '"}\n*'}, "letters and digits"),
    ("explain", {"reference": "é"}, "letters and digits"),
    ("explain", {"reference": "x" * 301}, "1 to 300 characters"),
    ("forgive", {"subject": "alice"}, "account:<id>"),
    ("forgive", {"subject": "  "}, "1 to 300 characters"),
    ("grant", {"subject": "account:a"}, "needs 'why'"),
    ("grant", {"subject": "account:a", "why": "x", "told": "no"}, "true or false"),
    ("block", {"subject": "account:a", "why": ["x"]}, "is a text"),
    ("erase", {"subject": None}, "needs 'subject'"),
]


@pytest.mark.parametrize(("verb", "arguments", "sentence"), BAD)
def test_bad_questions_are_answered_with_what_would_be_right(
    desk: Desk, verb: str, arguments: dict[str, Any], sentence: str
) -> None:
    """Nothing is changed and no event is written for a question that makes no sense."""
    with pytest.raises(AdminError, match="(?s)" + sentence.replace("(", r"\(")):
        desk.control.call(verb, arguments, by="x", now=NOW)
    assert desk.guard.override is None
    assert not desk.guard.grants
    assert not desk.guard.blocks


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_odd_texts_in_every_argument_forge_nothing(desk: Desk, verb: str) -> None:
    """CR, LF, ANSI, NUL and U+2028 in any argument leave one line an event (SECURITY 141)."""
    nasty = 'account:x\r\n{"event":"grant"}\x1b[31m\x00\u2028%0a'
    _, required, optional = VERBS[verb]
    arguments = {name: nasty for name in (*required, *optional) if name not in {"for_s", "told", "right"}}
    arguments |= {"right": True} if "right" in required else {}
    with suppress(AdminError):
        desk.control.call(verb, arguments, by=nasty, now=NOW)
    text = desk.events()
    assert text.isascii()
    assert all(json.loads(line)["v"] == 1 for line in text.splitlines())
    assert sum('"event":"grant"' in line for line in text.splitlines()) == (verb == "grant")


def test_nothing_can_be_explained_without_an_audit(tmp_path: Path) -> None:
    """The operator is told what to set rather than that nothing was found."""
    from guard.settings import Audit

    desk = Desk(tmp_path, audit=Audit())
    with pytest.raises(AdminError, match="set \\[audit\\] file"):
        desk.ask("explain", reference="abc")
    assert any("no audit is kept" in warning for warning in desk.ask("status")["warnings"])
