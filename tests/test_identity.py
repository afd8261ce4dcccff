"""Who is asking: accounts, provisional credentials, anonymous clients, and the operator's word on them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from guard.clock import ManualClock
from guard.conditions import hashed_name
from guard.errors import BadExchange, StateError
from guard.hashing import HashKey
from guard.identity import Identities, NeedsDescribe, user_key
from guard.settings import Identity, Policy, State
from guard.types import Account, AccountFacts, Call, Peer, Route

KEY = HashKey(b"a key for tests")
NOW = ManualClock().now()
HERE = Peer("198.51.100.7", "198.51.100.7")


def identities(**options: Any) -> Identities:
    return Identities(Policy(identity=Identity(**options)), KEY)


def call(secret: bytes = b"", peer: Peer = HERE, *more: tuple[bytes, bytes]) -> Call:
    headers = ((b"authorization", b"Bearer " + secret),) if secret else ()
    return Call("POST", "/", Route("/", "x"), (*headers, *more), peer)


def account(known: Identities, asked: Call, now: float = NOW) -> Account:
    found = known.resolve(asked, now)
    assert isinstance(found, Account)
    return found


def describing(facts: Any, **options: Any) -> tuple[Identities, Account]:
    known = identities(describe=lambda credential: facts, **options)
    asked = call(b"secret")
    assert isinstance(known.resolve(asked, NOW), NeedsDescribe)
    return known, known.described(asked, facts, NOW)


# -- without describe -----------------------------------------------------------------------------------------------


def test_a_credential_is_provisional_until_the_app_has_answered_it() -> None:
    """Then it is an account, under the same key."""
    known = identities()
    first = account(known, call(b"k"))

    assert first.status == "provisional"
    assert known.answered(first, 200)
    assert account(known, call(b"k")) == replace(first, status="accepted", names=frozenset({f"account:{first.key}"}))


@pytest.mark.parametrize("status", [0, 101, 301, 307, 400, 401, 403, 404, 405, 413, 415, 422, 429, 500, 502, 503])
def test_only_success_vouches_for_a_credential(status: int) -> None:
    """Redirects, validators, routers and failing backends answer before anybody has looked at the credential."""
    known = identities()
    first = account(known, call(b"k"))

    assert not known.answered(first, status)
    assert account(known, call(b"k")).status == "provisional"


def test_one_key_is_one_account_whatever_else_changes() -> None:
    """User agent, cookies, other headers and the address make no second account."""
    known = identities()
    keys = set()
    for number in range(200):
        rotated = ((b"user-agent", b"a%d" % number), (b"cookie", b"session=%d" % number), (b"x-user", b"%d" % number))
        keys.add(account(known, call(b"k", Peer(f"10.0.0.{number}", f"10.0.0.{number}"), *rotated)).key)

    assert len(keys) == 1


def test_anonymous_failures_do_not_touch_a_good_key() -> None:
    """A thousand requests without a credential, then one with: another account, another status."""
    known = identities()
    for value in (b"", b" ", b"Bearer", b"Bearer  ") * 250:
        nobody = account(known, Call("POST", "/", Route("/", "x"), ((b"authorization", value),), HERE))
        assert nobody.status == "anonymous"
        known.answered(nobody, 401)
    good = account(known, call(b"good"))

    assert good.key != nobody.key
    assert known.answered(good, 200)
    assert account(known, call(b"good")).status == "accepted"


def test_anonymous_clients_are_metered_by_network() -> None:
    """Same network, same account; another network, another one; unknown addresses are one network."""
    known = identities()
    keys = [account(known, call(peer=Peer(f"2001:db8::{n}", "2001:db8::/56"))).key for n in range(5)]

    assert len(set(keys)) == 1
    assert account(known, call()).key not in keys
    assert account(known, call(peer=Peer())) == account(known, call(peer=Peer()))
    assert account(known, call()).names == {f"account:{account(known, call()).key}"}, "an operator can block a network"


def test_anonymous_clients_may_be_refused() -> None:
    """``anonymous = "refuse"`` is 401."""
    with pytest.raises(BadExchange) as caught:
        identities(anonymous="refuse").resolve(call(), NOW)
    assert caught.value.status == 401


def test_the_shard_follows_the_network() -> None:
    """0 to 255, the same for all of one network, spread over networks."""
    known = identities()
    shards = {account(known, call(b"k%d" % n)).shard for n in range(50)}
    known.answered(account(known, call(b"k")), 200)
    spread = {account(known, call(b"k", Peer(f"10.{n}.0.1", f"10.{n}.0.1"))).shard for n in range(256)}

    assert len(shards) == 1
    assert all(0 <= shard <= 255 for shard in spread)
    assert len(spread) > 100


def test_nobody_can_take_an_accounts_key_by_naming_it() -> None:
    """A credential that reads like an operator's id is another account than the one with that id."""
    known, named = describing(AccountFacts(id="acme"))
    stranger = call(b"acme")
    known.resolve(stranger, NOW)

    assert known.described(stranger, None, NOW).key != named.key


def test_a_sub_user_is_one_within_its_account() -> None:
    """The same name below another account, or a name that is a victim's key, is somebody else."""
    assert user_key(KEY, "a" * 32, "u") == user_key(KEY, "a" * 32, "u")
    assert user_key(KEY, "a" * 32, "u") != user_key(KEY, "b" * 32, "u")
    assert user_key(KEY, "a" * 32, "b" * 32) != "b" * 32
    assert user_key(KEY, "a" * 32, "\ud800")


def test_another_key_makes_other_accounts() -> None:
    """Nobody without the key can aim at an account."""
    other = Identities(Policy(), HashKey(b"another key"))

    assert account(other, call(b"k")).key != account(identities(), call(b"k")).key


# -- bounds ---------------------------------------------------------------------------------------------------------


def test_invented_credentials_leave_no_trace() -> None:
    """A hundred thousand of them fill no table and push no account out."""
    known = identities()
    honest = account(known, call(b"honest"))
    known.answered(honest, 200)
    for number in range(100_000):
        invented = account(known, call(b"k%d" % number))
        known.answered(invented, 401)

    assert len(known._accepted) == 1
    assert len(known._built) <= 4096
    assert account(known, call(b"honest")).status == "accepted"


def test_accepted_accounts_are_bounded_and_idle_ones_go_first() -> None:
    """More than ``max_accounts`` are never remembered; one that is used stays; one that went comes back with its next answer."""
    known = Identities(Policy(state=State(max_accounts=100)), KEY)
    used = account(known, call(b"used"))
    known.answered(used, 200)
    for number in range(2000):
        known.answered(account(known, call(b"k%d" % number)), 200)
        assert account(known, call(b"used")).status == "accepted"

    assert len(known._accepted) <= 100
    gone = account(known, call(b"k0"))
    assert gone.status == "provisional"
    known.answered(gone, 200)
    assert account(known, call(b"k0")).status == "accepted"


def test_no_secret_stays_in_memory() -> None:
    """Neither the credential nor the operator's ids stand in any table, in no form that is not hashed."""
    facts = AccountFacts(id="canary-id", org="canary-org", payment="canary-pay", signup="canary-sign")
    known = identities(describe=lambda credential: facts)
    for asked, answer in ((call(b"canary-key"), facts), (call(b"canary-stranger"), None)):
        known.resolve(asked, NOW)
        known.answered(known.described(asked, answer, NOW), 200)
        known.resolve(asked, NOW)

    tables = [vars(known)[name] for name in vars(known) if name not in {"_credentials", "_describe", "_key"}]
    assert "canary" not in repr([(list(table), table._new, table._old) for table in tables if hasattr(table, "_new")])
    assert "canary" not in repr(known.resolve(call(b"canary-new"), NOW))
    assert "canary" not in repr(known.snapshot())


# -- describe -------------------------------------------------------------------------------------------------------


def test_the_callable_names_an_account() -> None:
    """Its facts are the account's, ids as keyed hashes, names as grants and rules write them."""
    facts = AccountFacts("acme-1", NOW - 60, "free", True, "de", "card", "mail", "acme", frozenset({"beta"}))
    _, found = describing(facts)

    assert (found.status, found.created, found.tier, found.verified, found.country) == (
        "accepted",
        NOW - 60,
        "free",
        True,
        "DE",
    )
    assert found.tags == {"beta"}
    assert found.names == {hashed_name("account:acme-1", KEY), hashed_name("org:acme", KEY)}
    assert found.key == KEY.identifier("account", b"acme-1")
    assert {len(text) for text in (found.key, found.org, found.payment, found.signup)} == {32}
    assert "acme" not in repr(found)


def test_several_credentials_share_an_id() -> None:
    """One account; without an id each credential is its own."""
    known = identities(describe=lambda credential: None)
    one, two = (known.described(call(secret), AccountFacts(id="a"), NOW) for secret in (b"k1", b"k2"))
    three, four = (known.described(call(secret), AccountFacts(tier="x"), NOW) for secret in (b"k3", b"k4"))

    assert one == two
    assert len({one.key, three.key, four.key}) == 3


def test_the_callable_is_asked_once_for_each_ttl() -> None:
    """Also about a credential that it doesn't know; the text it is asked about is the secret without its scheme."""
    known = identities(describe=lambda credential: None, describe_ttl_s=60.0)
    asked, stranger = call(b"k"), call(b"s\xff")
    needed = known.resolve(stranger, NOW)
    assert isinstance(needed, NeedsDescribe)
    assert needed.credential == "s\u00ff"
    known.described(asked, AccountFacts(id="a"), NOW)
    assert known.described(stranger, None, NOW).status == "provisional"

    for one in (asked, stranger):
        assert isinstance(known.resolve(one, NOW + 59), Account)
        assert isinstance(known.resolve(one, NOW + 60), NeedsDescribe)
    assert isinstance(known.resolve(call(), NOW), Account)


def test_a_described_account_keeps_its_key_on_another_network() -> None:
    """Only the shard follows the network."""
    known, found = describing(AccountFacts(id="a"))
    there = Peer("10.0.0.9", "10.0.0.9")
    moved = account(known, call(b"secret", there))

    assert moved.shard == account(known, call(peer=there)).shard != found.shard
    assert replace(moved, shard=found.shard) == found


def test_what_was_last_known_holds_when_the_callable_fails() -> None:
    """However old it is; it is asked again after a second, not by every request."""
    known, found = describing(AccountFacts(id="a", tier="gold"))
    later = NOW + 30 * 86400
    assert isinstance(known.resolve(call(b"secret"), later), NeedsDescribe)

    assert known.failed(call(b"secret"), later) == found
    assert known.resolve(call(b"secret"), later + 0.5) == found
    assert isinstance(known.resolve(call(b"secret"), later + 1.5), NeedsDescribe)
    assert known.counts["describe_failed"] == 1


def test_a_stranger_stays_one_when_the_callable_fails() -> None:
    """That nobody knows it is known too."""
    known, stranger = describing(None)

    assert known.failed(call(b"secret"), NOW + 1000) == stranger
    assert known.resolve(call(b"secret"), NOW + 1000.5) == stranger
    assert isinstance(known.resolve(call(b"secret"), NOW + 1001.5), NeedsDescribe)


def test_whom_the_callable_no_longer_knows_is_a_stranger() -> None:
    """Also when it fails afterwards: what was known before does not come back."""
    known, found = describing(AccountFacts(id="a"))
    stranger = known.described(call(b"secret"), None, NOW + 60)

    assert stranger.status == "provisional"
    assert not known.named(call(b"secret"))
    assert known.failed(call(b"secret"), NOW + 120) == stranger != found


def test_an_erased_account_is_no_stranger_of_before_it_was_known() -> None:
    """Nothing is known of it any more, so a failing callable lets nobody through."""
    known, _ = describing(None)
    found = known.described(call(b"secret"), AccountFacts(id="a"), NOW + 60)
    assert known.erase(found.key) == 1

    with pytest.raises(BadExchange) as caught:
        known.failed(call(b"secret"), NOW + 61)
    assert caught.value.status == 503


def test_another_replicas_word_counts_only_where_no_callable_names_accounts() -> None:
    for describe, status in ((None, "accepted"), (lambda credential: None, "provisional")):
        known = identities(describe=describe)
        known.learn(KEY.identifier("credential", b"k"))
        assert known.described(call(b"k"), None, NOW).status == status


def test_nothing_known_and_a_failing_callable_is_503() -> None:
    """Never a silent allow; counted."""
    known = identities(describe=lambda credential: None)

    with pytest.raises(BadExchange) as caught:
        known.failed(call(b"new"), NOW)
    assert (caught.value.status, caught.value.reason) == (503, "identity")
    assert known.counts == {"describe_failed": 1, "identity_unknown": 1}


@pytest.mark.parametrize(
    "facts",
    [
        {"id": "a"},
        "a",
        AccountFacts(id=7),  # type: ignore[arg-type]
        AccountFacts(id=""),
        AccountFacts(id="x" * 2000),
        AccountFacts(created=float("nan")),
        AccountFacts(created=float("inf")),
        AccountFacts(created=-1),
        AccountFacts(created="2026-01-01"),  # type: ignore[arg-type]
        AccountFacts(created=True),
        AccountFacts(verified="yes"),  # type: ignore[arg-type]
        AccountFacts(org=b"x"),  # type: ignore[arg-type]
        AccountFacts(tags="beta"),  # type: ignore[arg-type]
        AccountFacts(tags=frozenset({1})),  # type: ignore[arg-type]
    ],
)
def test_facts_that_can_not_be_are_a_failure(facts: Any) -> None:
    """They are refused like an exception, not half believed."""
    known = identities(describe=lambda credential: facts)

    with pytest.raises(BadExchange):
        known.described(call(b"k"), facts, NOW)
    assert known.counts["describe_refused"] == 1


def test_an_account_of_the_future_is_as_young_as_can_be() -> None:
    """A time to come counts as now."""
    assert describing(AccountFacts(created=NOW + 1e9))[1].created == NOW


def test_ids_that_are_hard_to_encode_are_hashed() -> None:
    """A lone surrogate is an id like another."""
    assert len(describing(AccountFacts(id="\ud800", org="\udfff"))[1].key) == 32


def test_a_reload_keeps_what_was_learnt() -> None:
    """Another policy, the same accepted credentials."""
    known = identities()
    known.answered(account(known, call(b"k")), 200)
    known.use(Policy(identity=Identity(anonymous="refuse")))

    assert account(known, call(b"k")).status == "accepted"
    with pytest.raises(BadExchange):
        known.resolve(call(), NOW)


# -- restart --------------------------------------------------------------------------------------------------------


def test_a_snapshot_brings_accepted_credentials_back() -> None:
    """Through JSON; provisional ones stay provisional."""
    known = identities()
    for number in range(100):
        known.answered(account(known, call(b"k%d" % number)), 200)
    again = identities()
    again.restore(json.loads(json.dumps(known.snapshot())))

    assert all(account(again, call(b"k%d" % number)).status == "accepted" for number in range(100))
    assert account(again, call(b"other")).status == "provisional"


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"version": 2, "accepted": []},
        {"version": 1},
        {"version": 1, "accepted": "a" * 32},
        {"version": 1, "accepted": ["a" * 31]},
        {"version": 1, "accepted": ["Z" * 32]},
        {"version": 1, "accepted": [1]},
    ],
)
def test_a_broken_snapshot_is_refused_whole(state: dict[str, object]) -> None:
    """An error with the remedy, and nothing taken from it."""
    known = identities()

    with pytest.raises(StateError, match="remove it"):
        known.restore(state)
    assert len(known._accepted) == 0
