"""The hashing key is changed: everybody has another name, and goes on with what he has used."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.clock import ManualClock
from guard.config import load
from guard.errors import InstallError, StateError
from guard.installation import Installation
from guard.keys import find_key
from guard.routes import FLAT
from guard.types import Account, Call, Exchange, Peer, Route, Usage
from guard.unjudged import UNREAD

T0 = 1_700_000_000.0
OLD, NEW = "the key of last year", "the key of this year"
POLICY = """
version = 1
mode = "enforce"
[state]
dir = "{folder}"
[[limit]]
id = "few"
per = ["account"]
requests = "3/day"
"""
SPENT = Usage(200, 10, 10, True, True, True)


def started(folder: Path) -> Installation:
    return Installation(load(POLICY.format(folder=folder)), ManualClock(T0))


def ask(installation: Installation, secret: bytes = b"sk-one") -> str:
    """One exchange from its credential on; the action."""
    peer = Peer(network="203.0.113.0")
    headers = ((b"authorization", b"Bearer " + secret),)
    call = Call("POST", "/v1/x", Route("/v1/x", FLAT), headers, peer)
    account = installation.guard.identities.resolve(call, T0)
    assert isinstance(account, Account)
    exchange = Exchange(account, peer, "/v1/x", UNREAD)
    receipt, entry = installation.decide(exchange, installation.guard.compiled, b"")
    installation.guard.identities.answered(account, 200)
    installation.settle(receipt, SPENT, entry)
    return receipt.decision.action


def test_limits_acceptance_and_blocks_survive_a_change_of_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was used under the old name counts under the new one; nobody gets a second day's allowance."""
    monkeypatch.setenv("GUARD_KEY", OLD)
    first = started(tmp_path)
    assert [ask(first) for _ in range(2)] == ["allow", "allow"]
    ask(first, b"sk-two")
    call = {"subject": first.guard.key.identifier("credential", b"sk-two"), "why": "theft"}
    first.control.call("block", call, by="test", now=T0)
    first.close()

    monkeypatch.setenv("GUARD_KEY", NEW)
    with pytest.raises(StateError, match="another key"):
        started(tmp_path)
    monkeypatch.setenv("GUARD_KEY_BEFORE", OLD)
    second = started(tmp_path)
    assert [ask(second) for _ in range(2)] == ["allow", "limit"]
    assert ask(second, b"sk-two") == "refuse"
    second.close()

    monkeypatch.delenv("GUARD_KEY_BEFORE")
    third = started(tmp_path)
    assert ask(third) == "limit"
    assert ask(third, b"sk-two") == "refuse"
    third.close()


def test_made_up_credentials_are_not_looked_for_under_the_old_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only who was accepted can have used anything."""
    monkeypatch.setenv("GUARD_KEY", NEW)
    monkeypatch.setenv("GUARD_KEY_BEFORE", OLD)
    installation = started(tmp_path)
    told: list[str] = []
    installation.guard.identities._carry = lambda kind, before, now: told.append(kind)
    peer = Peer(network="203.0.113.0")
    for number in range(100):
        headers = ((b"authorization", b"Bearer %d" % number),)
        installation.guard.identities.resolve(Call("POST", "/v1/x", Route("/v1/x", FLAT), headers, peer), T0)
    assert told == []
    installation.close()


def test_the_key_before_may_be_a_file_that_was_moved_aside(tmp_path: Path) -> None:
    """The next start writes a new one and knows both."""
    first = find_key(str(tmp_path), {})
    (tmp_path / "hash.key").rename(tmp_path / "hash.key.before")
    second = find_key(str(tmp_path), {})
    assert second.former is not None
    named = [key.identifier("account", b"somebody") for key in (first.key, second.former, second.key)]
    assert named[0] == named[1] != named[2]


def test_a_key_before_that_is_too_short_is_refused() -> None:
    with pytest.raises(InstallError, match="GUARD_KEY_BEFORE"):
        find_key("", {"GUARD_KEY": NEW, "GUARD_KEY_BEFORE": "short"})
