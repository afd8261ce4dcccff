from __future__ import annotations

from dataclasses import replace

from guard.decision import Found, References, allowed, crowded, decide, refuse_fault, unreduced
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


OPTIONS = {"reductions": ("budget", "pace"), "budget_tokens": 64, "tokens_per_s": 20.0, "notice": "body"}


def test_a_decision_says_what_is_reduced_or_how_long_is_waited() -> None:
    """With its own action only; a limit in its place reduces nothing and keeps nobody waiting."""
    less = decide(Found(CALM, "degrade", "r", options=OPTIONS), "r", enforced=True)
    assert (dict(less.reductions), less.notice, less.status) == ({"budget": 64, "pace": 20.0}, "body", 200)
    assert not less.contained
    later = decide(Found(CALM, "delay", "r", options={"delay_s": 1.5, "notice": "none"}), "r", enforced=True)
    assert (later.delay_s, later.notice, later.reductions) == (1.5, "none", ())
    limited = decide(Found(CALM, "degrade", "r", options=OPTIONS, limited="free", unit="tokens"), "r", enforced=True)
    assert (limited.action, limited.reductions, limited.notice) == ("limit", (), "none")


def test_what_a_limit_has_no_room_for_is_not_let_through_degraded() -> None:
    """Degrading ranks above a limit, but the app would be asked: neither a limit nor a ceiling is gone round that way."""
    for limited, unit in (("free", "requests"), ("ceiling", "")):
        found = Found(CALM, "degrade", "r", options=OPTIONS, limited=limited, unit=unit, limit_retry_after_s=3)
        assert decide(found, "r", enforced=True).contained


def test_a_challenge_names_the_address_and_the_way_back() -> None:
    """In the sentence, for that is what clients show."""
    options = {"url": "https://example.org/verify", "notice": "header"}
    asked = decide(Found(CALM, "challenge", "prove", options=options), "abc123", enforced=True)
    assert (asked.status, asked.verify_at) == (403, "https://example.org/verify")
    assert "https://example.org/verify" in asked.public
    assert "abc123" in asked.public


def test_what_takes_the_place_of_a_delay_or_a_reduction() -> None:
    """A limit, with a wait, under the same reference."""
    later = decide(Found(CALM, "delay", "r", options={"delay_s": 1.5}), "abc123", enforced=True)
    less = decide(Found(CALM, "degrade", "r", options=OPTIONS), "abc123", enforced=True)
    for decision in (crowded(later), unreduced(less)):
        assert (decision.action, decision.status, decision.reference) == ("limit", 429, "abc123")
        assert decision.contained
        assert decision.retry_after_s >= 2
        assert (decision.delay_s, decision.reductions, decision.notice) == (0.0, (), "none")
