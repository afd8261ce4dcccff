from __future__ import annotations

import json
from typing import Any

import pytest

from guard.dialects.anthropic_batches import AnthropicBatches
from guard.errors import BadExchange
from guard.hashing import HashKey
from guard.pipeline import Guard
from guard.settings import Limit, Policy, Window
from guard.types import Account, Call, Peer, Route, Tally, Usage

from .conftest import LIMITED

BATCHES = AnthropicBatches()
MANY = "/v1/messages/batches"
ALL = Route(MANY, "anthropic_batches", (("path", MANY),))


def one(below: str, method: str) -> Route:
    known = f"{MANY}/{{id}}"
    return Route(known, "anthropic_batches", (("path", known), ("id", below), ("method", method)))


def request(text: str = "Hello", **params: Any) -> dict[str, Any]:
    asked = {"model": "claude-x", "max_tokens": 100, "messages": [{"role": "user", "content": text}]}
    return {"custom_id": text, "params": asked | params}


def test_each_request_counts() -> None:
    """Turns, system text, tools, budgets of all of them; how many they are."""
    tools = [{"name": "f", "description": "finds"}]
    ask = BATCHES.read({"requests": [request("a", system="Be brief.", tools=tools), request("b", tools=tools)]}, ALL)

    assert [turn.text for turn in ask.turns] == ["a", "b"]
    assert (ask.system, ask.model, ask.budget_tokens, ask.requests) == ("Be brief.", "claude-x", 200, 2)
    assert b"finds" in ask.tools
    assert ask.parameters == b'{"max_tokens":100}'
    assert ask.texts.count("finds") == 2


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"requests": []},
        {"requests": {}},
        {"requests": [5]},
        {"requests": [{"custom_id": "a"}]},
        {"requests": [{"params": 5}]},
        {"requests": [request(), request(max_tokens="9")]},
        {"requests": [request(), request(model="claude-y")]},
        {"requests": [request()] * 10_001},
    ],
)
def test_what_can_not_be_judged_is_refused(body: Any) -> None:
    """One request that is none is enough; so are two models, for prices and limits are a model's."""
    with pytest.raises(BadExchange) as caught:
        BATCHES.read(body, ALL)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("below", "method", "open_to_it"),
    [
        ("msgbatch_1", "GET", True),
        ("msgbatch_1", "DELETE", True),
        ("msgbatch_1/results", "GET", True),
        ("msgbatch_1/cancel", "POST", True),
        ("msgbatch_1/cancel", "GET", False),
        ("msgbatch_1/results/x", "GET", False),
        ("msgbatch_1", "POST", False),
    ],
)
def test_what_is_kept(below: str, method: str, open_to_it: bool) -> None:
    """A batch is named by its path; other paths and methods are closed."""
    if open_to_it:
        ask = BATCHES.read({}, one(below, method))
        assert (ask.continues, ask.budget_tokens) == (("msgbatch_1",), 0)
    else:
        with pytest.raises(BadExchange) as caught:
            BATCHES.read({}, one(below, method))
        assert caught.value.status == 405


def test_a_list_names_nobodys() -> None:
    """All batches behind one credential stand in it; none becomes the reader's."""
    heard: list[str] = []

    class Heard(Tally):
        def issued(self, name: str) -> None:
            heard.append(name)

    tally = Heard()
    BATCHES.count({"data": [{"type": "message_batch", "id": "msgbatch_2"}]}, tally)
    BATCHES.count({"type": "message_batch", "id": "msgbatch_1"}, tally)
    assert heard == ["msgbatch_1"]
    assert tally.output_tokens == 0


def test_limits_count_each_request_of_a_batch() -> None:
    """Ten requests a day are two batches of five, not ten of them; what a batch may answer is given back once it is accepted."""
    limits = (Limit("ten", ("account",), requests=(Window(10, 86_400),), tokens=(Window(2_000, 86_400),)),)
    core = Guard(Policy(mode="enforce", limits=limits), key=HashKey(b"x" * 32))
    body = json.dumps({"requests": [request(text) for text in "abcde"]}).encode()
    call = Call("POST", MANY, ALL, (), Peer("192.0.2.1", "192.0.2.1"))
    taken = []
    for _ in range(3):
        receipt = core.decide(core.read(call, Account("a" * 32), body), 1000.0)
        core.settle(receipt, Usage(200, 10, 0, True, True), 1000.0)
        taken.append((receipt.decision.action, receipt.decision.reasons))

    assert taken[:2] == [("allow", ()), ("allow", ())]
    assert taken[2] == ("limit", ("ten", "limit_requests"))


def test_errors() -> None:
    """In Anthropic's shape."""
    assert json.loads(BATCHES.error(LIMITED))["error"]["type"] == "rate_limit_error"
    assert BATCHES.error_event(LIMITED).startswith(b"event: error\n")
