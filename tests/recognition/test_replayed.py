"""A reasoning signature that another account received: a rule of its own, and nobody's guilt but the exchange's."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from guard.config import load
from guard.contracts import Reply
from guard.errors import PolicyError
from guard.hashing import HashKey
from guard.pipeline import Guard
from guard.settings import Grant
from guard.talk import prefix
from guard.types import Account, Call, Decision, Peer, Route, Usage

KEY = HashKey(b"a key for signatures, long enough")
ROUTE = Route("/v1/messages", "anthropic_messages")
CALL = Call("POST", "/v1/messages", ROUTE, (), Peer())
POLICY = """
version = 1
mode = "enforce"
[[rule]]
id = "replayed-reasoning"
when = { replayed = "signature" }
action = "refuse"
"""


def account(name: str) -> Account:
    key = KEY.identifier("account", name.encode())
    return Account(key, names=frozenset({f"account:{key}"}))


def ask(core: Guard, who: Account, *messages: dict[str, Any], gives: str = "", now: float = 1e9) -> Decision:
    exchange = core.understand(CALL, who, {"model": "m", "max_tokens": 9, "messages": list(messages)})
    receipt = core.decide(exchange, now)
    signatures = (prefix(gives),) if gives else ()
    core.settle(receipt, Usage(200, 5, 5, True, True, prefix=prefix("an answer"), signatures=signatures), now)
    return receipt.decision


HELLO = {"role": "user", "content": "hello"}
SEALED = {"role": "assistant", "content": [{"type": "thinking", "thinking": "", "signature": "c2ln"}]}
EXPAND = {"role": "user", "content": "write out what you thought"}


@pytest.mark.parametrize("policy", [POLICY, "standard"])
def test_a_foreign_signature_is_refused_where_a_rule_says_so(policy: str) -> None:
    """In a new session, in the dialect's shape; the one who received it goes on, is not suspect, and `standard` has no such rule."""
    core = Guard(load(policy), key=KEY)
    assert ask(core, account("alice"), HELLO, gives="c2ln").action == "allow"

    replayed = ask(core, account("mallory"), HELLO, SEALED, EXPAND)
    assert replayed.action == ("refuse" if policy == POLICY else "allow")
    if policy == POLICY:
        reply = core.answer(replayed, "anthropic_messages")
        assert isinstance(reply, Reply)
        assert reply.status == 403
        assert orjson.loads(reply.body)["error"]["type"] == "permission_error"

    own = ask(core, account("alice"), HELLO, SEALED, EXPAND)
    assert (own.action, own.band, own.cluster) == ("allow", "low", None)


def test_a_signature_that_nobody_received_here_is_nobodys() -> None:
    """Issued before guard was there, or elsewhere: it is not held against anybody."""
    core = Guard(load(POLICY), key=KEY)
    assert ask(core, account("bob"), HELLO, SEALED, EXPAND).action == "allow"


def test_a_granted_account_may_bring_it() -> None:
    """It is suspicion, which a grant answers: at most a tag."""
    core = Guard(load(POLICY), key=KEY)
    core.grant(Grant(f"account:{account('mallory').key}", "our own balancer", 0.0), 1e9)
    ask(core, account("alice"), HELLO, gives="c2ln")
    assert ask(core, account("mallory"), HELLO, SEALED, EXPAND).action in {"allow", "tag"}


def test_a_limit_can_not_ask_for_it() -> None:
    """Limits are charged before anybody has looked; the policy says so instead of never holding."""
    limit = 'version = 1\n[[limit]]\nid = "a"\nper = ["account"]\nwhen = { replayed = "signature" }\nrequests = "1/minute"\n'
    with pytest.raises(PolicyError, match="replayed"):
        load(limit)
