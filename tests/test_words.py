from __future__ import annotations

import pytest

from guard.errors import AdminError
from guard.hashing import HashKey
from guard.settings import Grant, Policy
from guard.types import Account
from guard.words import Block, Words, subject

KEY = HashKey(b"a key for tests, long enough")
HASH = KEY.identifier("account", b"alice")
ALICE = Account(HASH, names=frozenset({f"account:{HASH}"}))
ACME = KEY.identifier("org", b"acme")
MEMBER = Account("b" * 32, org=ACME, names=frozenset({f"account:{'b' * 32}", f"org:{ACME}"}))


def words(policy: Policy | None = None) -> Words:
    return Words(policy or Policy(), KEY)


def test_subjects_are_hashed() -> None:
    """What an operator types never stands anywhere; a key that guard has shown is taken as it is."""
    assert subject("account:alice", KEY) == f"account:{HASH}"
    assert subject(HASH, KEY) == f"account:{HASH}"
    assert subject("org:acme", KEY) == f"org:{ACME}"
    for wrong in ("alice", "user:alice", "account:", ""):
        with pytest.raises(AdminError):
            subject(wrong, KEY)


def test_a_grant_holds_for_its_subject_until_its_end() -> None:
    """A grant of the policy file holds for every member of the organisation, to the second."""
    held = words(Policy(grants=(Grant("org:acme", "red team", until=100.0),)))

    found = held.grant(MEMBER, 99.0)
    assert found is not None
    assert found.why == "red team"
    assert held.grant(MEMBER, 100.0) is None
    assert held.grant(ALICE, 0.0) is None


def test_spoken_grants_outlive_another_policy() -> None:
    """A reload replaces the file's grants and keeps the operator's own."""
    held = words(Policy(grants=(Grant("org:acme", "red team"),)))
    held.speak(Grant("account:alice", "a customer called"))
    held.adopt(Policy())

    assert held.grant(ALICE, 0.0) is not None
    assert held.grant(MEMBER, 0.0) is None
    assert held.take_back("account:alice")
    assert held.grant(ALICE, 0.0) is None
    assert not held.take_back("account:alice")


def test_a_block_holds_and_is_told_to_running_streams() -> None:
    """A block holds from the next look on; its version tells running streams to look."""
    held = words()
    version = held.version
    held.refuse("account:alice", Block("scraping", 50.0))

    assert held.version != version
    block = held.block(ALICE, 49.0)
    assert block is not None
    assert block.why == "scraping"
    assert held.block(ALICE, 50.0) is None
    assert held.block(MEMBER, 0.0) is None


def test_the_mode_override_ends_by_itself() -> None:
    """``guard mode observe --for 2h`` ends after two hours; ``policy`` ends it at once; an unknown mode is an error."""
    held = words(Policy(mode="enforce"))
    held.set_mode("observe", 7200.0)

    assert held.mode(7199.0) == "observe"
    assert held.mode(7200.0) == "enforce"
    held.set_mode("off", 0.0)
    assert held.mode(1e12) == "off"
    held.set_mode("policy", 0.0)
    assert held.mode(0.0) == "enforce"
    with pytest.raises(AdminError, match="valid"):
        held.set_mode("panic", 0.0)


def test_words_survive_a_restart_hashed() -> None:
    """A snapshot keeps grants, blocks and mode, and holds no name as it was typed."""
    held = words(Policy(mode="enforce"))
    held.speak(Grant("account:alice", "why"))
    held.refuse("org:acme", Block("why", 0.0))
    held.set_mode("observe", 100.0)
    state = held.snapshot()
    restarted = words(Policy(mode="enforce"))
    restarted.restore(state)

    assert "alice" not in repr(state)
    assert restarted.grant(ALICE, 0.0) is not None
    assert restarted.block(MEMBER, 0.0) is not None
    assert restarted.mode(99.0) == "observe"
