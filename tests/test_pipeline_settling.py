"""The end of an exchange, and what happens there and before it when guard itself fails or is reloaded."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guard.config import load
from guard.types import Account
from tests.test_pipeline import CALL, POLICY, Broken, account, chat, guard, used

HARVEST = {"logprobs": True, "top_logprobs": 20, "logit_bias": {"1": 5}}


def scores(status: int) -> list[float]:
    """The scores of one request twice within a second, of which the first was answered so."""
    core = guard()
    found = []
    for now in (0.0, 1.0):
        receipt = core.decide(chat(core, account(), **HARVEST), now)
        core.settle(receipt, used(status), now)
        found.append(receipt.decision.score)
    return found


def test_the_same_request_again_is_evidence_only_where_it_was_answered() -> None:
    """After a 500 it is a retry."""
    first, second = scores(500)
    assert second == pytest.approx(first, rel=1e-3)

    first, second = scores(200)
    assert second > 1.1 * first


@pytest.mark.parametrize("forwarded", [True, False])
def test_a_clusters_answers_are_those_of_the_app(monkeypatch: pytest.MonkeyPatch, forwarded: bool) -> None:
    """What guard itself has answered is none of them."""
    booked: list[str] = []
    core = guard()
    monkeypatch.setattr(core.recognition.clusters, "book", lambda name, usage: booked.append(name))
    receipt = core.decide(chat(core, account()), 0.0)
    held = replace(receipt, decision=replace(receipt.decision, cluster="c1"))
    core.settle(held, replace(used(), forwarded=forwarded), 0.0)

    assert booked == ["c1"] * forwarded


def test_ceilings_that_fail_stop_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """They fail open, counted: limits still hold (SECURITY 146)."""

    def fails(*_: object, **__: object) -> None:
        raise ZeroDivisionError("guard's own fault")

    core = guard()
    monkeypatch.setattr(core.recognition, "over", fails)
    found = [core.decide(chat(core, account()), 0.0).decision.action for _ in range(4)]

    assert found == ["allow"] * 3 + ["limit"]
    assert core.faults["ceilings"] == 3


def test_a_settlement_that_fails_is_counted_and_raises_nothing() -> None:
    core = guard()
    receipt = core.decide(chat(core, account()), 0.0)
    core.compiled = type(core.compiled)(core.policy, core.compiled.caller, core.compiled.judge, Broken())  # type: ignore[arg-type]
    core.settle(receipt, used(), 0.0)

    assert core.faults["settle"] == 1


def test_a_body_is_read_within_the_bounds_under_which_its_headers_were() -> None:
    """A reload in between changes what the next request may send."""
    core = guard()
    before = core.compiled
    core.swap(load(POLICY + "[body]\nmax_depth = 3\n"), 0.0)
    body = b'{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"x"}]}]}'

    def fault(who: Account) -> str:
        found = [core.read(CALL, who, body, compiled).fault for compiled in (before, None)]
        return " ".join("fine" if one is None else one.reason for one in found)

    assert fault(account()) == "fine too_deep"
