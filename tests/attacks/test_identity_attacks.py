"""SECURITY A1, without a server: whoever a client says it is, it is one account."""

from __future__ import annotations

import base64
import random
from dataclasses import replace
from ipaddress import IPv6Address
from typing import Any

import pytest

from guard import AccountFacts
from guard.config import load
from tests.attacks.inside import Inside
from tests.attacks.upstream import Upstream
from tests.attacks.wire import ASK

pytestmark = pytest.mark.anyio

POLICY = """
version = 1
mode = "enforce"
[[limit]]
id = "free"
per = ["account"]
requests = "20/day"
"""
DOORS = """
[identity]
query = "key"
cookie = "session"
"""


async def test_a_thousand_invented_addresses_are_one_client() -> None:
    """Case 1: an anonymous client that forges ``X-Forwarded-For`` and its relatives spends one allowance."""
    inside = Inside(POLICY)
    dice = random.Random(1)
    statuses = []
    for _ in range(1000):
        invented = ".".join(str(dice.randrange(256)) for _ in range(4))
        headers = [(name, invented) for name in ("x-forwarded-for", "x-real-ip", "cf-connecting-ip", "true-client-ip")]
        headers.append(("forwarded", f"for={invented}"))
        statuses.append((await inside.ask(headers=headers)).status)

    assert (statuses.count(200), statuses.count(429)) == (20, 980)


@pytest.mark.parametrize("hops", [0, 1, 2])
async def test_two_headers_count_as_one_list_and_padding_is_nothing(hops: int) -> None:
    """Cases 3 and 4: behind declared hops the right-most other entry is the client, however many come before it."""
    inside = Inside(POLICY + '[trust]\nhops = ["10.0.0.0/8"]\naddress = "x-forwarded-for"\n')
    statuses = []
    for n in range(40):
        padding = ", ".join(f"10.{n}.0.{m}" for m in range(50))
        parted = [
            ("x-forwarded-for", f"{padding}, 6.6.6.{n}"),
            ("x-forwarded-for", ", ".join(["1.2.3.4", *["10.0.0.2"] * hops])),
        ]
        headers = parted if n % 2 else [("x-forwarded-for", ", ".join(value for _, value in parted))]
        statuses.append((await inside.ask(headers=headers, client=("10.0.0.1", 5000))).status)

    assert statuses == [200] * 20 + [429] * 20


async def test_addresses_of_one_network_are_one_anonymous_client() -> None:
    """Case 8: 65,536 addresses spread over a /56 get one allowance; the /56 beside it has its own."""
    inside = Inside(POLICY)
    base = int(IPv6Address("2001:db8:1:ff00::"))
    caller = inside.guard.compiled.caller
    scope = inside.connect().scope
    networks = set()
    for n in range(65_536):
        # Spread over subnet and interface: the low 72 bits are the client's own.
        scope["client"] = (str(IPv6Address(base + (n << 56) % (1 << 72) + n)), 4000)
        networks.add(caller.peer(scope).network)
        if n % 64 == 0:
            await inside.ask(client=scope["client"])

    assert networks == {"2001:db8:1:ff00::/56"}
    assert inside.upstream.count == 20
    assert (await inside.ask(client=("2001:db8:2::1", 4000))).status == 200


async def test_mapped_addresses_are_their_own_clients() -> None:
    """Case 9: a hundred ``::ffff:a.b.c.d`` are a hundred clients, each the one of its IPv4 address in every spelling."""
    inside = Inside(POLICY.replace("20/day", "3/day"))
    for n in range(100):
        for spelt in (f"198.51.100.{n}", f"::ffff:198.51.100.{n}", f"::ffff:c633:64{n:02x}"):
            assert (await inside.ask(client=(spelt, 4000))).status == 200
        assert (await inside.ask(client=(f"::ffff:198.51.100.{n}", 4000))).status == 429

    assert inside.upstream.count == 300


@pytest.mark.parametrize(
    "client", [("fe80::1%eth0", 4000), ("64:ff9b::102:304", 1), ("2001:db8::1.2.3.4", 2), ("", 0), None]
)
async def test_odd_addresses_are_served_and_limited(client: Any) -> None:
    """Cases 10 to 12: scoped, embedded and missing addresses crash nothing and are limited like any other."""
    inside = Inside(POLICY)

    assert await inside.statuses(22, client=client) == [200] * 20 + [429] * 2


async def test_a_thousand_anonymous_failures_cost_a_good_key_nothing() -> None:
    """Case 13: empty, blank and missing keys from one address; the good key behind the same address is served in full."""
    inside = Inside(POLICY)
    blanks = [
        [],
        [("authorization", "")],
        [("authorization", "Bearer")],
        [("authorization", "Bearer   ")],
        [("x-api-key", " \t")],
    ]
    refused = [(await inside.ask(headers=blanks[n % len(blanks)])).status for n in range(1000)]

    assert refused.count(200) == 20
    assert await inside.statuses(21, key="sk-good") == [200] * 20 + [429]


async def test_every_door_leads_to_one_account() -> None:
    """Case 14: one secret in any header, spelling, query, cookie or sub-protocol spends one allowance."""
    inside = Inside(POLICY + DOORS)
    doors: list[dict[str, Any]] = [
        {"headers": [(name, value)]}
        for name, value in (
            ("authorization", "Bearer sk-one"),
            ("authorization", "bearer sk-one"),
            ("Authorization", "BEARER   sk-one"),
            ("authorization", "Bearer\tsk-one"),
            ("authorization", "  sk-one  "),
            ("authorization", "Token sk-one"),
            ("x-api-key", "sk-one"),
            ("X-API-Key", "Bearer sk-one"),
            ("api-key", "sk-one"),
            ("cookie", "a=b; session=sk-one; c=d"),
            ("cookie", 'session="sk-one"'),
            ("sec-websocket-protocol", "realtime, openai-insecure-api-key.sk-one"),
        )
    ]
    doors += [{"query_string": b"a=b&key=sk-one"}, {"query_string": b"key=sk%2Done"}]
    doors += [{"headers": [("authorization", "Bearer sk-one"), ("x-api-key", "sk-one")]}]
    statuses = [(await inside.ask(**doors[n % len(doors)])).status for n in range(60)]

    assert statuses == [200] * 20 + [429] * 40
    assert len(inside.accepted) == 1


async def test_every_spelling_of_basic_is_one_account() -> None:
    """Case 14: Base64 spells the same name and password once only; what isn't Base64 is refused."""
    inside = Inside(POLICY)
    encoded = base64.b64encode(b"jane:secret").decode()
    for scheme in ("Basic", "basic", "BASIC "):
        assert (await inside.ask(headers=[("authorization", f"{scheme} {encoded}")])).status == 200
    broken = await inside.ask(headers=[("authorization", f"Basic {encoded}!!")])

    assert len(inside.accepted) == 1
    assert broken.status == 400


@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", "Bearer sk-a"), ("x-api-key", "sk-b")],
        [("authorization", "Bearer sk-a"), ("authorization", "Bearer sk-b")],
        [("authorization", "Bearer sk-a, Bearer sk-b")],
        [("authorization", "Bearer sk-a sk-b")],
        [("authorization", "Bearer sk-a"), ("cookie", "session=sk-b")],
        [("authorization", "Bearer sk-a"), ("sec-websocket-protocol", "bearer.sk-b")],
        [("cookie", "session=sk-a; session=sk-b")],
    ],
)
async def test_two_different_credentials_are_refused(headers: list[tuple[str, str]]) -> None:
    """Case 15: nobody knows which of them the app would believe."""
    inside = Inside(POLICY + DOORS)
    answer = await inside.ask(headers=headers)

    assert answer.status == 400
    assert b"sk-" not in answer.body
    assert inside.upstream.count == 0


async def test_two_credentials_by_header_and_query_are_refused() -> None:
    """Case 15: the query's counts too."""
    inside = Inside(POLICY + DOORS)

    assert (await inside.ask(key="sk-a", query_string=b"key=sk-b")).status == 400
    assert (await inside.ask(query_string=b"key=sk-a&key=sk-b")).status == 400
    assert inside.upstream.count == 0


@pytest.mark.parametrize(
    "value",
    [b"Bearer \xff\xfe", b"Bearer \x80" * 50, b"Bearer \xc3\x28", b"\x00", b"Bearer \x00", b"Bearer " + b"x" * 9000],
)
async def test_keys_of_any_bytes_are_read_or_refused(value: bytes) -> None:
    """Case 16: never an exception; the same bytes are the same account; what reaches the app is what was sent."""
    inside = Inside(POLICY)
    statuses = {(await inside.ask(raw=[(b"authorization", value)])).status for _ in range(3)}

    assert statuses <= {200, 400}
    assert len(statuses) == 1
    assert len(inside.accepted) <= 1
    assert all((b"authorization", value) in call.headers for call in inside.upstream.calls)


@pytest.mark.parametrize(
    "name", ["X-Guard-Account", "x-guard-decision", "x_guard_reference", "X-GUARD-Score", "x-geo-country"]
)
async def test_claims_that_are_guards_own_never_arrive(name: str) -> None:
    """Case 17: internal headers and, from a stranger, the declared trust headers are taken off; nothing else is."""
    inside = Inside(POLICY + '[trust]\nhops = ["10.0.0.0/8"]\ncountry = "x-geo-country"\n')
    await inside.ask(headers=[(name, "forged"), ("x-trace", "1")], key="sk")
    names = {header for header, _ in inside.upstream.calls[0].headers}

    assert names == {b"content-type", b"authorization", b"x-trace"}


async def test_a_user_named_after_a_victim_charges_and_throttles_nobody_else() -> None:
    """Case 18: ``user``, ``metadata.user_id`` and ``safety_identifier`` are names within the account that sends them."""
    policy = POLICY + '[[limit]]\nid = "user"\nper = ["user"]\nrequests = "5/day"\n'
    inside = Inside(policy)
    naming = [{"user": "victim"}, {"safety_identifier": "victim"}, {"metadata": {"user_id": "victim"}}]
    attacker = [(await inside.ask(ASK | naming[n % 3], key="sk-attacker")).status for n in range(30)]
    victim = await inside.statuses(5, ASK | {"user": "victim"}, key="sk-victim")

    assert 200 in attacker
    assert 429 in attacker
    assert victim == [200] * 5
    assert (await inside.ask(ASK, key="sk-victim")).status == 200


async def test_what_a_client_changes_from_request_to_request_makes_it_no_other() -> None:
    """Case 19: one key with a new user, agent, cookie, language, stack, model and address each time is one account."""
    inside = Inside(POLICY)
    statuses = []
    for n in range(200):
        headers = [
            ("user-agent", f"agent-{n}/1.{n}"),
            ("cookie", f"id={n}"),
            ("x-ja4", f"t13d{n}"),
            (f"x-own-{n}", "1"),
        ]
        body = ASK | {"user": f"u{n}", "model": f"m{n}"}
        statuses.append((await inside.ask(body, headers, key="sk", client=(f"203.0.113.{n}", 4000 + n))).status)

    assert statuses == [200] * 20 + [429] * 180


async def test_a_described_account_is_one_behind_all_its_keys() -> None:
    """Cases 14 and 20: five hundred keys that the operator's callable gives to one account share its limit; keys of one
    organisation share the organisation's."""
    described = {f"sk-{n}": AccountFacts(id="jane" if n < 500 else f"other-{n}", org="acme") for n in range(600)}
    policy = load(POLICY + '[[limit]]\nid = "org"\nper = ["org"]\nrequests = "50/day"\n')
    inside = Inside(replace(policy, identity=replace(policy.identity, describe=described.get)))
    one = [(await inside.ask(key=f"sk-{n}")).status for n in range(500)]
    others = [(await inside.ask(key=f"sk-{n}")).status for n in range(500, 600)]

    assert one.count(200) == 20
    assert others.count(200) == 30


@pytest.mark.parametrize(
    "option",
    [
        "authorization",
        "x-request-id, Authorization",
        "close, X-Api-Key",
        "keep-alive,x-guard-reference",
        "content-length",
    ],
)
async def test_no_hop_is_told_to_take_off_what_says_who_asks(option: str) -> None:
    """Case 21: ``Connection: authorization`` is refused; an option that strips nothing of weight passes."""
    inside = Inside(POLICY)

    assert (await inside.ask(headers=[("connection", option)], key="sk")).status == 400
    assert inside.upstream.count == 0
    assert (await inside.ask(headers=[("connection", "keep-alive, x-request-id")], key="sk")).status == 200


async def test_a_wrong_key_costs_nobody_but_its_sender() -> None:
    """Case 91: keys that the app refuses draw on no shared limit and on no other account's."""
    upstream = Upstream()
    upstream.wrong_keys = frozenset(b"Bearer sk-bad-%d" % n for n in range(300))
    inside = Inside(POLICY + '[[limit]]\nid = "all"\nper = []\nrequests = "30/day"\n', upstream)
    bad = [(await inside.ask(key=f"sk-bad-{n}")).status for n in range(300)]

    assert set(bad) == {401}
    assert await inside.statuses(20, key="sk-good") == [200] * 20
    assert await inside.statuses(10, key="sk-other") == [200] * 10
    assert (await inside.ask(key="sk-third")).status == 429
