"""SECURITY 72 and 142 at recognition: it keeps and tells nobody's words, names or addresses, and nobody reads his score off an answer."""

from __future__ import annotations

import logging
import pickle
from collections import Counter
from dataclasses import asdict, replace
from typing import Any

import orjson
import pytest

from guard.config import load
from guard.contracts import Reply
from guard.pipeline import Guard
from guard.replay import ExchangeLog, Replay, Tally
from guard.types import Decision
from tests.populations import DAY, START, Template, eliciting, hydra, log, people

MARK = "cNrYwordThatMayStandNowhere"
"""Stands in every text, name and address that a client or an operator states."""
NAMES = {"account": f"id{MARK}", "payment": f"pay{MARK}", "signup": f"sign{MARK}", "org": f"org{MARK}"}
ADDRESS = "198.51.100.177"


def marked() -> list[bytes]:
    """A campaign that is found, all of whose texts, ids, means and addresses are canaries."""
    own = eliciting(2)
    wording = Template(
        system=f"{MARK} system", before=f"{own.before} {MARK}", after=f"{own.after} {MARK}", more={"user": f"u{MARK}"}
    )
    records = hydra(500, wording, days=1.0)
    for one in records:
        account = one["account"]
        account["id"] = f"{NAMES['account']}{account['id']}"
        account |= {name: f"{NAMES[name]}{account['id'][-1]}" for name in ("payment", "signup", "org")}
        one["peer"]["ip"] = ADDRESS
        one["request"]["headers"] = [["x-own", f"h{MARK}"], ["user-agent", f"agent{MARK}/1"]]
        one["request"]["body"]["model"] = f"model-{MARK}"
    return log(records, people(150, days=1))


class Told(logging.Handler):
    """Everything that anybody logs."""

    def __init__(self) -> None:
        super().__init__(0)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture(scope="module")
def replayed() -> tuple[Replay, list[Decision], list[bytes], str, list[str]]:
    """A whole run: the guard after it, its decisions, decision lines, what was printed as a summary, what was logged."""
    told = Told()
    root = logging.getLogger()
    level = root.level
    root.addHandler(told)
    root.setLevel(0)
    try:
        reader, replay, tally = ExchangeLog(), Replay(load("standard")), Tally()
        decisions, lines = [], []
        for line in marked():
            outcome = replay.decide(reader.read(line))
            tally.add(outcome)
            decisions.append(outcome.decision)
            lines.append(outcome.line())
        printed = "\n".join(tally.report())
    finally:
        root.removeHandler(told)
        root.setLevel(level)
    return replay, decisions, lines, printed, told.lines


def clean(content: bytes | str, what: str) -> None:
    searched = content.encode() if isinstance(content, str) else content
    folded = searched.lower()
    for secret in (MARK, MARK[:16], MARK[::-1], MARK.encode().hex(), ADDRESS, "198.51.100", *NAMES.values()):
        assert secret.lower().encode() not in folded, what


Run = tuple[Replay, list[Decision], list[bytes], str, list[str]]


def test_the_campaign_was_found(replayed: Run) -> None:
    """Else the rest would prove nothing."""
    assert Counter(decision.action for decision in replayed[1])["refuse"] > 100
    assert len(replayed[0].guard.recognition.clusters) >= 1


def test_decisions_hold_keyed_hashes_and_numbers_alone(replayed: Run) -> None:
    """Evidence, reasons, references, cluster names: nothing that anybody has said. The decision log names the account as the
    log did, and nothing else of it."""
    _, decisions, lines, printed, told = replayed
    for decision in decisions:
        clean(repr(asdict(decision)), "a decision")
    for line in lines:
        record = orjson.loads(line)
        record.pop("account")
        clean(orjson.dumps(record), "a decision line")
    clean(printed, "the summary")
    clean("\n".join(told), "the log")


def test_what_is_held_and_kept_holds_no_text(replayed: Run) -> None:
    """Accounts, families, groups, clusters, what waits: all of it, and all that goes to the disk."""
    guard = replayed[0].guard
    heart = guard.recognition
    parts = heart.parts()
    held: list[Any] = [list(heart.accounts), list(heart.clusters), heart.clusters.traits, list(parts.families)]
    held += [[family.group.events for family in parts.groups.values() if family.group is not None]]
    for one in held:
        clean(pickle.dumps(one), "what is held")
    kept = orjson.dumps([*guard.findings(whole=True), *guard.verdicts(), guard.snapshot()], default=repr)
    assert kept.count(b'"group"') >= 1
    clean(kept, "the snapshot")


def test_what_the_operator_is_shown_names_nobody(replayed: Run) -> None:
    """Status, list of clusters and dossier: keys, counts and times."""
    guard = replayed[0].guard
    name = next(iter(guard.recognition.clusters)).name
    shown = [guard.status(START + DAY), *(asked(guard, cluster) for cluster in ("", name))]

    clean(orjson.dumps(shown, default=repr), "what the operator is shown")


def asked(guard: Guard, name: str) -> Any:
    from guard.recognition.dossier import dossier, listed

    return dossier(guard.recognition, name, START + DAY) if name else listed(guard.recognition)


def test_an_error_of_recognitions_own_quotes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails inside is told by its class; the exchange is judged without it."""
    told: list[str] = []
    replay = Replay(load("standard"))

    def breaks(*_: object, **__: object) -> None:
        raise ValueError(f"{MARK} {ADDRESS}")

    monkeypatch.setattr(replay.guard.recognition, "look", breaks)
    reader = ExchangeLog()
    outcomes = [replay.decide(reader.read(line)) for line in marked()[:50]]
    told += [repr(asdict(outcome.decision)) for outcome in outcomes] + [repr(replay.faults)]

    assert sum(replay.faults.values()) == 50
    assert {outcome.decision.action for outcome in outcomes} <= {"allow", "tag"}
    clean("\n".join(told), "an error")


# -- 72: no oracle ------------------------------------------------------------------------------------------------------------


def answers(decision: Decision) -> list[Reply]:
    guard = Replay(load("standard")).guard
    replies = [guard.answer(decision, name) for name in sorted(guard.dialects)]
    return [reply for reply in replies if isinstance(reply, Reply)]


def of(run: Run, action: str, rule: str) -> Decision:
    return next(d for d in run[1] if d.action == action and d.rule == rule)


@pytest.mark.parametrize(("action", "rule"), [("refuse", "known-cluster"), ("limit", "suspected")])
def test_an_answer_is_the_same_whatever_the_score(replayed: Run, action: str, rule: str) -> None:
    """Case 72: two exchanges of one band and rule, of different clusters, scores and evidence, get the same bytes but for the
    reference: nobody bisects his way along a threshold."""
    found = next((d for d in replayed[1] if d.action == action), None)
    one = found if found is not None and found.rule == rule else replace(of(replayed, "refuse", "known-cluster"), action=action, rule=rule, status=429 if action == "limit" else 403)  # fmt: skip
    barely = 0.9000001 if one.band == "confirmed" else 0.5000001
    other = replace(one, score=barely, cluster="c77-abcdef", evidence=one.evidence[:1], merged=("c5-000000",))

    assert answers(one)
    assert answers(one) == answers(other)


def test_an_answer_names_no_cluster_signal_score_or_band(replayed: Run) -> None:
    """Case 72: what a contained client reads holds none of it, in headers or body."""
    decision = of(replayed, "refuse", "known-cluster")
    assert decision.evidence
    telling = [decision.cluster or "?", f"{decision.score:.2f}", decision.band, decision.rule, "cluster", "score"]
    telling += [one.signal for one in decision.evidence] + [one.reason for one in decision.evidence if one.reason]
    for reply in answers(decision):
        said = (reply.body + repr(reply.headers).encode()).decode().lower()
        assert not [word for word in telling if word.lower() in said]


def test_a_tag_tells_the_client_nothing(replayed: Run) -> None:
    """Case 72: the reference alone, as on every answer that bears one; a client below the threshold can't see how far."""
    guard = Replay(load("standard")).guard
    base = replayed[1][0]
    low, high = (
        guard.answer(replace(base, action="tag", rule="watched", band="watch", score=score), "openai_chat")
        for score in (0.11, 0.49)
    )

    assert low == high
    assert [name for name, _ in low.headers] == [b"x-guard-reference"]
