from __future__ import annotations

import pytest

from guard.errors import BadExchange
from guard.explanation import duration, explain
from guard.lines import audit_line
from guard.types import Evidence
from tests.desk import ACCOUNT, full_receipt, receipt


def test_an_explanation_names_what_a_person_needs() -> None:
    """When, what, why, the limit's state, the evidence, whose, what the client was told, and the way to undo it."""
    text = explain(audit_line(full_receipt(), "feed"))
    for part in (
        "2023-11-14 22:13:20 UTC: this exchange was limited (429).",
        "Limit free: 20 requests in 1 min, 0 left, all of it again in 12 s.",
        "reasoning_elicitation (content) +2.12 nats: asks for every step",
        "'suspected' would have said degrade",
        f"Account {ACCOUNT}",
        "The client was told: Too many requests.",
        f"guard forgive {ACCOUNT}",
    ):
        assert part in text


def test_what_was_only_observed_is_told_as_such() -> None:
    """Nobody should tell a customer that he was refused when he wasn't."""
    text = explain(audit_line(receipt("refuse", enforced=False, rule="known-cluster"), "feed"))
    assert "would have been refused; nothing was done" in text
    assert "the rule 'known-cluster' holds" in text


def test_a_ceiling_is_no_limit_of_the_accounts_own() -> None:
    line = audit_line(receipt("limit"), "feed") | {"rule": "", "reasons": ("ceiling",)}
    assert "Why: what accounts without standing may take together of what this exchange shares" in explain(line)
    assert "the limit" not in explain(line)


def test_a_plain_limit_is_no_suspicion() -> None:
    """Nobody is told to forgive what nobody holds against him."""
    text = explain(audit_line(receipt("limit"), "feed"))
    assert "Why: the limit 'free' has no room left (limit_requests)." in text
    assert "guard forgive" not in text


def test_a_fault_is_told_instead_of_a_verdict() -> None:
    """A request that couldn't be read was not suspected of anything."""
    text = explain(audit_line(receipt("refuse", fault=BadExchange(400, "not_json", "no JSON")), "feed"))
    assert "could not be judged (not_json, status 400)" in text
    assert "guard forgive" not in text


@pytest.mark.parametrize("record", [{}, {"quotas": [{}], "evidence": [{}], "fault": {}}, {"at": 0, "shadow": []}])
def test_lines_of_other_versions_are_explained_as_far_as_they_go(record: dict[str, object]) -> None:
    """A missing field is no reason to fail at three in the morning."""
    assert "this exchange" in explain(record)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.25, "0.25 s"), (12, "12 s"), (60, "1 min"), (90, "90 s"), (7200, "2 h"), (86400, "1 d"), (604800, "7 d")],
)
def test_durations_are_read_at_a_glance(seconds: float, words: str) -> None:
    """The largest unit that loses nothing worth reading."""
    assert duration(seconds) == words


def test_a_clusters_evidence_is_told_kind_by_kind() -> None:
    """The heaviest kind first, with its sum where several signals make it up; where to see the whole cluster, and how to let it go."""
    evidence = (
        Evidence("private_rhythm", "rhythm", 2.25, "no hour is quieter"),
        Evidence("even_load", "coordination", 3.0, "loads are even"),
        Evidence("shared_clock", "coordination", 1.5, "one phase"),
        Evidence("standing", "standing", -0.5, "some have standing"),
    )
    text = explain(audit_line(receipt("refuse", rule="known-cluster", cluster="c1-beef00", evidence=evidence), "feed"))
    told = [line for line in text.splitlines() if line.startswith("Evidence")]
    assert told == [
        "Evidence of coordination, 2 signals, +4.50 nats:",
        "Evidence: even_load (coordination) +3.00 nats: loads are even",
        "Evidence: shared_clock (coordination) +1.50 nats: one phase",
        "Evidence: private_rhythm (rhythm) +2.25 nats: no hour is quieter",
        "Evidence: standing (standing) -0.50 nats: some have standing",
    ]
    assert "cluster c1-beef00" in text
    assert "guard clusters c1-beef00    if all of it is a mistake: guard forgive cluster:c1-beef00" in text
