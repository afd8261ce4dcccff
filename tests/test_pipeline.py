from __future__ import annotations

from dataclasses import replace
from operator import attrgetter
from typing import Any

import pytest

from guard.charges import Metered
from guard.config import load
from guard.contracts import Forward, Reply
from guard.errors import BadExchange, StateError
from guard.hashing import HashKey
from guard.pipeline import Guard
from guard.registry import discover
from guard.settings import Grant
from guard.types import Account, Call, Exchange, Features, Peer, Receipt, Route, Usage
from guard.unions import Member
from guard.unjudged import unreadable

KEY = HashKey(b"a key for tests, long enough")
ROUTE = Route("/v1/chat/completions", "openai_chat")
CALL = Call("POST", "/v1/chat/completions", ROUTE, (), Peer("192.0.2.1", "192.0.2.1"))
POLICY = """
version = 1
mode = "enforce"
[[limit]]
id = "free"
per = ["account"]
requests = "3/minute"
[[rule]]
id = "no-embargo"
when = { account_country = "XX" }
action = "refuse"
[[rule]]
id = "harvest"
when = { signal = "logprob_harvest" }
action = "limit"
[[rule]]
id = "would-tag"
when = { tier = "free" }
action = "tag"
mode = "shadow"
"""


def guard(text: str = POLICY, **options: Any) -> Guard:
    return Guard(load(text), key=KEY, **options)


def account(name: str = "alice", **facts: Any) -> Account:
    key = KEY.identifier("account", name.encode())
    return Account(key, names=frozenset({f"account:{key}"}), **facts)


def chat(core: Guard, who: Account, **extra: Any) -> Exchange:
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 10, **extra}
    return core.understand(CALL, who, body)


def used(status: int = 200) -> Usage:
    return Usage(status, 5, 5, reported=True, complete=True)


def actions(core: Guard, who: Account, times: int, now: float = 0.0, **extra: Any) -> list[str]:
    found = []
    for _ in range(times):
        receipt = core.decide(chat(core, who, **extra), now)
        core.settle(receipt, used(), now)
        found.append(receipt.decision.action)
    return found


def test_limits_hold_for_each_account() -> None:
    """Three a minute, for alice and for bob; a minute later there is room again; a refusal uses nothing up."""
    core = guard()

    assert actions(core, account(), 5) == ["allow"] * 3 + ["limit"] * 2
    assert actions(core, account("bob"), 3) == ["allow"] * 3
    assert actions(core, account(), 3, now=60.0) == ["allow"] * 3


def test_rules_on_facts_refuse_and_cost_no_budget() -> None:
    """A refused exchange reserves nothing: the account has its whole allowance when the fact is put right."""
    core = guard()

    assert actions(core, account(country="XX"), 10) == ["refuse"] * 10
    assert actions(core, account(), 3) == ["allow"] * 3


def test_shadow_rules_are_told_and_do_nothing() -> None:
    """What a rule in shadow would have done stands in the decision; the action is another rule's, or allow."""
    decision = guard().decide(chat(guard(), account(tier="free")), 0.0).decision

    assert (decision.action, decision.shadow) == ("allow", (("would-tag", "tag"),))


def test_evidence_makes_rules_act_and_a_grant_ends_it() -> None:
    """Log-probabilities are evidence; the rule limits. The operator's grant turns that into a tag, and forgives."""
    core = guard()
    harvest = {"logprobs": True, "top_logprobs": 20, "logit_bias": {"1": 5}}

    assert actions(core, account(), 1, **harvest) == ["limit"]
    core.grant(Grant(f"account:{account().key}", "an evaluation"), 0.0)
    decision = core.decide(chat(core, account(), **harvest), 0.0).decision
    assert (decision.action, decision.grant) == ("tag", f"account:{account().key}")
    assert core.revoke(f"account:{account().key}", 0.0)
    assert actions(core, account(), 1, **harvest) == ["limit"]


def test_a_block_refuses_until_it_is_revoked() -> None:
    """The operator's word outweighs every rule."""
    core = guard()
    core.block("account:alice", "scraping", 100.0, 0.0)

    assert actions(core, account(), 2, now=99.0) == ["refuse"] * 2
    assert actions(core, account(), 1, now=100.0) == ["allow"]


def test_observe_enforces_nothing_and_the_edge_forwards() -> None:
    """In mode observe the decision says what would be; the edge is told to forward, without a trace for the client."""
    core = guard()
    core.set_mode("observe", 0.0, 0.0)
    receipt = core.decide(chat(core, account(country="XX")), 0.0)

    assert (receipt.decision.action, receipt.decision.enforced) == ("refuse", False)
    assert core.answer(receipt.decision, "openai_chat") == Forward()
    core.set_mode("policy", 0.0, 0.0)
    answer = core.answer(core.decide(chat(core, account(country="XX")), 0.0).decision, "openai_chat")
    assert isinstance(answer, Reply)
    assert answer.status == 403


def test_what_observe_lets_through_is_counted() -> None:
    """A rule would have refused it, but the app has answered: the account's limit knows of it."""
    core = guard()
    core.set_mode("observe", 0.0, 0.0)

    assert actions(core, account(country="XX"), 3) == ["refuse"] * 3
    assert actions(core, account(), 1) == ["limit"]


def test_a_running_stream_is_cut_by_a_block_that_is_enforced_and_by_nothing_else() -> None:
    core = guard()
    receipt = core.decide(chat(core, account()), 0.0)
    assert core.cut(receipt, 1.0) is None
    core.block("account:alice", "scraping", 0.0, 1.0)
    cut = core.cut(receipt, 2.0)
    assert cut is not None
    assert (cut.status, cut.reasons, cut.reference) == (403, ("block",), receipt.decision.reference)
    core.set_mode("observe", 0.0, 3.0)
    assert core.cut(receipt, 4.0) is None


def test_a_swap_keeps_what_was_used() -> None:
    """Another policy with a higher limit gives the difference, not a fresh budget; a lower one refuses at once."""
    core = guard()
    assert actions(core, account(), 3) == ["allow"] * 3

    core.swap(load(POLICY.replace("3/minute", "5/minute")), 0.0)
    assert actions(core, account(), 3) == ["allow"] * 2 + ["limit"]
    core.swap(load(POLICY.replace("3/minute", "2/minute")), 0.0)
    assert actions(core, account(), 1, now=30.0) == ["limit"]


def test_what_cannot_be_read_is_an_exchange_with_a_fault() -> None:
    """Broken JSON, an unknown API and a header fault are refused with their own status and reason, for the record too."""
    core = guard()
    for exchange, status, reason in (
        (core.read(CALL, account(), b"{"), 400, "not_json"),
        (core.read(Call("POST", "/v1/x", Route("/v1/*", "none"), (), Peer()), account(), b"{}"), 404, "no_dialect"),
        (unreadable(Peer(), ROUTE, BadExchange(431, "headers", "Too many.")), 431, "headers"),
    ):
        decision = core.decide(exchange, 0.0).decision
        assert (decision.action, decision.status, decision.reasons) == ("refuse", status, (reason,))


def test_a_flat_route_is_charged_without_being_read() -> None:
    """Below a protected prefix the operator may charge unknown paths a flat number of tokens."""
    core = guard(POLICY.replace('requests = "3/minute"', 'tokens = "2500/minute"'))
    call = Call("POST", "/v1/x", Route("/v1/*", "flat", (), 1000), (), Peer())
    found = [core.decide(core.read(call, account(), b"not json"), 0.0).decision.action for _ in range(4)]

    assert found == ["allow", "allow", "limit", "limit"]


class Broken:
    """Stands in for a stage with a fault of guard's own."""

    name = "broken"
    neutral: Any = None

    def __getattr__(self, name: str) -> Any:
        raise ZeroDivisionError("guard's own fault")


@pytest.mark.parametrize(
    ("part", "stage", "action"),
    [("understanding.fingerprinter", "fingerprint", "allow"), ("_scoring", "scoring", "allow")],
)
def test_recognition_that_fails_is_counted_and_limits_still_hold(part: str, stage: str, action: str) -> None:
    """Fingerprint and scoring fail open, loudly: the limits are kept without them (SECURITY 146)."""
    told: list[str] = []
    core = guard(on_fault=lambda stage, error: told.append(stage))
    neutral = core._scoring.neutral
    broken = Broken()
    broken.neutral = neutral
    *owner, name = part.split(".")
    setattr(attrgetter(*owner)(core) if owner else core, name, broken)
    found = [
        core.decide(
            core.read(CALL, account(), b'{"model":"m","messages":[{"role":"user","content":"x"}]}'), 0.0
        ).decision
        for _ in range(4)
    ]

    assert [decision.action for decision in found] == ["allow"] * 3 + ["limit"]
    assert core.faults[stage] == len([s for s in told if s == stage]) == 4
    assert action == "allow"


def test_recognition_that_fails_takes_no_evidence_with_it() -> None:
    """What the account itself has shown still counts: the rule on it acts, and the fault is counted as recognition's own."""
    core = guard()
    core.recognition = Broken()  # type: ignore[assignment]
    harvest = {"logprobs": True, "top_logprobs": 20, "logit_bias": {"1": 5}}

    assert actions(core, account(), 1, **harvest) == ["limit"]
    assert core.faults["recognition"] == 1
    assert core.faults["scoring"] == 0


def test_limits_that_fail_let_nobody_through_and_observe_lets_everybody() -> None:
    """Policy and limits fail closed with 503; in mode observe the exchange passes all the same."""
    core = guard()
    exchange = chat(core, account())
    core.compiled = type(core.compiled)(core.policy, core.compiled.caller, core.compiled.judge, Broken())  # type: ignore[arg-type]
    decision = core.decide(exchange, 0.0).decision

    assert (decision.action, decision.status, decision.contained) == ("refuse", 503, True)
    core.set_mode("observe", 0.0, 0.0)
    assert not core.decide(exchange, 0.0).decision.contained


def test_settling_twice_changes_nothing() -> None:
    """A receipt is good once."""
    core = guard(POLICY.replace('requests = "3/minute"', 'tokens = "100/minute"'))
    receipt = core.decide(chat(core, account()), 0.0)
    for _ in range(5):
        core.settle(receipt, Usage(200, 0, 0, reported=True, complete=True, forwarded=False), 0.0)

    assert actions(core, account(), 1, max_tokens=95) == ["allow"]
    assert core.decide(chat(core, account(), max_tokens=95), 0.0).decision.action == "limit"


def test_snapshots_carry_evidence_words_and_acceptance() -> None:
    """A restarted guard knows the same; a foreign snapshot is an error, not a silence."""
    core, restarted = guard(), guard()
    core.block("account:alice", "why", 0.0, 0.0)
    core.identities.answered(Account("f" * 32, "provisional"), 200)
    restarted.restore(core.snapshot(), 0.0)

    assert actions(restarted, account(), 1) == ["refuse"]
    assert restarted.identities.snapshot() == core.identities.snapshot()
    with pytest.raises(StateError):
        guard().restore({"scoring": 7}, 0.0)


def test_forgive_and_erase_reach_the_account() -> None:
    """Erasing forgets limits too: the next exchange begins anew."""
    core = guard()
    actions(core, account(), 3)

    assert core.forgive("account:alice", 0.0) == 1
    assert actions(core, account(), 1) == ["limit"]
    assert core.erase("account:alice", 0.0) >= 2
    assert actions(core, account(), 1) == ["allow"]


def test_every_dialect_and_action_is_found() -> None:
    """The core finds its plug-ins by their files."""
    core = guard()

    assert set(core.dialects) == set(discover("dialects")) >= {"openai_chat", "anthropic_messages", "json"}
    assert isinstance(core.decide(unreadable(Peer(), ROUTE, BadExchange(400, "x", "y")), 0.0), Receipt)
    assert core.status(0.0)["mode"] == "enforce"
    assert Features(0, "", "", False, (), (), 0, 0).digest == 0


# -- ceilings and the pool -----------------------------------------------------------------------------------------


def pooled(room: float = 2.0, mode: str = "enforce", text: str = POLICY) -> Guard:
    """A guard in which all accounts without standing together have room for that many exchanges."""
    core = guard(f'{text}\n[ceilings]\nmode = "{mode}"\n')
    core.recognition.ceilings._joint.allow(0, room, room / 3_600.0, 0.0)
    return core


def test_the_pool_is_one_for_all_and_names_no_rule() -> None:
    """Two pass, whoever they are; then it is the pool that is used up, and nothing of the account's own."""
    core = pooled()
    found = [core.decide(chat(core, account(name)), 0.0).decision for name in ("a", "b", "c")]

    assert [decision.action for decision in found] == ["allow", "allow", "limit"]
    assert (found[2].reasons, found[2].rule, found[2].status) == (("pool",), "", 429)
    assert 45 <= found[2].retry_after_s <= 60
    assert "new accounts may take together" in found[2].public


def test_what_the_pool_stops_costs_the_account_nothing() -> None:
    """What its limits had reserved comes back."""
    core = pooled(1.0)
    core.decide(chat(core, account("other")), 0.0)
    for _ in range(10):
        receipt = core.decide(chat(core, account()), 0.0)
        core.settle(receipt, replace(used(), forwarded=False), 0.0)
        assert receipt.decision.reasons == ("pool",)
    core.recognition.ceilings._joint.allow(0, 1e6, 1.0, 0.0)

    assert actions(core, account(), 4) == ["allow"] * 3 + ["limit"]


def test_accounts_of_standing_and_under_a_grant_stand_outside_the_pool() -> None:
    core = pooled(1.0)
    core.grant(Grant("account:granted", "an evaluation"), 4e6)
    old = account("old", created=0.0, verified=True)
    assert [core.decide(chat(core, one), 4e6).decision.action for one in (account("a"), account("b"))] == [
        "allow",
        "limit",
    ]

    assert core.decide(chat(core, old), 4e6).decision.action == "allow"
    decision = core.decide(chat(core, account("granted")), 4e6).decision
    assert (decision.action, decision.grant) == ("allow", f"account:{account('granted').key}")


def test_only_what_passes_is_taken_from_the_pool() -> None:
    """Neither what a grant lets pass nor what the account's own limit refuses."""
    core = pooled(4.0)
    core.grant(Grant("account:granted", "an evaluation"), 0.0)
    assert actions(core, account("granted"), 3) == ["allow"] * 3
    assert actions(core, account(), 10) == ["allow"] * 3 + ["limit"] * 7

    assert [*actions(core, account("bob"), 1), *actions(core, account("carol"), 1)] == ["allow", "limit"]


@pytest.mark.parametrize(("mode", "shadow"), [("shadow", (("pool", "limit"),)), ("off", ())])
def test_ceilings_in_shadow_are_told_and_switched_off_they_are_not(mode: str, shadow: tuple[object, ...]) -> None:
    """Neither stops anybody; both go on counting, so that there is a history when they are switched on."""
    core = pooled(2.0, mode)
    found = [core.decide(chat(core, account(name)), 0.0).decision for name in ("a", "b", "c")]

    assert [decision.action for decision in found] == ["allow"] * 3
    assert found[2].shadow == shadow
    assert core.recognition.ceilings._joint.taken(0, 0) == 3
    core.swap(load(POLICY), 0.0)
    assert core.decide(chat(core, account("d")), 0.0).decision.reasons == ("pool",)


def test_in_observe_the_pool_is_told_as_what_would_have_been_done() -> None:
    core = pooled(1.0, text=POLICY.replace('"enforce"', '"observe"', 1))
    found = [core.decide(chat(core, account(name)), 0.0).decision for name in ("a", "b")]

    assert [(decision.action, decision.enforced) for decision in found] == [("allow", False), ("limit", False)]
    assert core.recognition.ceilings._joint.taken(0, 0) == 2, "both have passed"


def test_a_limit_called_pool_is_still_a_limit() -> None:
    """It names its unit, so that nobody takes one for the other."""
    core = guard(POLICY.replace('"free"', '"pool"', 1))
    actions(core, account(), 3)
    assert core.decide(chat(core, account()), 0.0).decision.reasons == ("pool", "limit_requests")


def test_erasing_reaches_clusters_meters_and_ceilings() -> None:
    """What an account has used of its cluster's limit goes with it, and so does how much it has taken today."""
    core = guard()
    actions(core, account(), 3)
    key = account().key
    known = core.recognition.accounts.find(key)
    assert known is not None
    meters = (Metered("joint", "requests", "0", 100.0, 0.1, 0),)
    core.unions.look(Member("", "c1", key), (), meters, (1.0, 0.0, 0.0), 0.0)
    core.unions.add(Member("", "c1", key), meters, (1.0, 0.0, 0.0), 0.0)
    today = core.recognition.ceilings._today
    assert today.rank(known.number) == 4

    core.erase("account:alice", 0.0)

    assert core.unions.level("c1", ("joint", "requests", "0"), 0.0) == 0.0
    assert today.rank(known.number) == 1
