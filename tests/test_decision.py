from __future__ import annotations

from dataclasses import replace

from guard.decision import Found, References, allowed, decide, refuse_fault
from guard.errors import BadExchange
from guard.hashing import HashKey
from guard.types import Assessment

CALM = Assessment(0.02, "low", 0.0)
KEY = HashKey(b"a key for tests, long enough")


def test_references_never_repeat_and_tell_nothing() -> None:
    """A hundred thousand references are all different, not in order, and another run's or key's are others."""
    references = References(KEY, 1.0)
    first = [references.next() for _ in range(100_000)]

    assert len(set(first)) == 100_000
    assert first[:50] != sorted(first[:50])
    assert all(len(reference) == 12 for reference in first[:100])
    assert References(KEY, 2.0).next() != first[0]
    assert References(HashKey(b"another key, also long"), 1.0).next() != first[0]
    assert References(KEY, 1.0).next() == first[0]


def test_the_more_severe_of_rule_and_limit_is_taken() -> None:
    """A limit outweighs a tag, a refusal outweighs a limit."""
    tag = decide(
        Found(CALM, "tag", "watched", limited="free", unit="requests", limit_retry_after_s=7.2), "r", enforced=True
    )
    assert (tag.action, tag.status, tag.rule, tag.reasons, tag.retry_after_s) == (
        "limit",
        429,
        "",
        ("free", "limit_requests"),
        8,
    )

    refuse = decide(
        Found(CALM, "refuse", "deny", reasons=("deny",), limited="free", unit="requests"), "r", enforced=True
    )
    assert (refuse.action, refuse.status, refuse.rule, refuse.retry_after_s) == ("refuse", 403, "deny", 0)


def test_a_refusal_names_the_way_back() -> None:
    """What the client reads holds the reference and says whom to turn to; the operator's own sentence comes first."""
    decision = decide(Found(CALM, "refuse", "deny", "Not from here."), "abc123", enforced=True)

    assert decision.public.startswith("Not from here.")
    assert "abc123" in decision.public
    assert decision.private == "rule deny"


def test_allow_says_nothing() -> None:
    """A plain allow has no reasons and no words, and is not contained."""
    decision = decide(Found(CALM), "r", enforced=True)

    assert (decision.action, decision.reasons, decision.public, decision.status, decision.contained) == (
        "allow",
        (),
        "",
        200,
        False,
    )


def test_the_short_way_says_the_same() -> None:
    """Most exchanges are plainly allowed; their decision is made without the detour and is the same one."""
    for rule in ("", "trusted"):
        assert allowed(CALM, "r", rule, enforced=True) == replace(
            decide(Found(CALM, rule=rule), "r", enforced=True), private=""
        )


def test_only_an_enforced_decision_contains() -> None:
    """In mode observe the same decision is recorded and nothing is kept from the app."""
    found = Found(CALM, "refuse", "deny")

    assert decide(found, "r", enforced=True).contained
    assert not decide(found, "r", enforced=False).contained


def test_a_fault_is_refused_with_its_own_status() -> None:
    """What can't be judged is refused with the fault's status and sentence, and a fault of guard's own asks to come back."""
    bad = refuse_fault(BadExchange(415, "content_type", "JSON, please.", "text/plain"), CALM, "r", enforced=True)
    assert (bad.action, bad.status, bad.reasons, bad.public, bad.private) == (
        "refuse",
        415,
        ("content_type",),
        "JSON, please.",
        "text/plain",
    )

    own = refuse_fault(BadExchange(503, "guard_fault", "Later."), CALM, "r", enforced=True)
    assert own.retry_after_s > 0
