"""SECURITY A1 on a real uvicorn, under both of its parsers and with its own rewriting of addresses left on."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guard.channel import call
from tests.attacks.conftest import Served
from tests.attacks.victim import Victim
from tests.attacks.wire import ASK, Wire, ask_once

pytestmark = pytest.mark.uvicorn

POLICY = """
version = 1
mode = "enforce"
[[limit]]
id = "free"
per = ["account"]
requests = "20/day"
"""
HOPS = '[trust]\nhops = ["127.0.0.0/8"]\naddress = "x-forwarded-for"\n'


def invented(dice: random.Random, n: int) -> list[tuple[str, str]]:
    """Headers with an address that no one has: each form in which uvicorn reads one."""
    a, b, c, d = (dice.randrange(1, 224) for _ in range(4))
    port = dice.randrange(1024, 65_536)
    v4, v6 = f"{a}.{b}.{c}.{d}", f"2001:db8:{a:x}:{b:x}::{c:x}"
    forms = [
        v4,
        f"{v4}:{port}",
        v6,
        f"[{v6}]",
        f"[{v6}]:{port}",
        f"9.9.9.9, {v4}",
        f"{v4}, 127.0.0.1",
        str(port * 7919),
        f"::ffff:{v4}",
    ]
    form = forms[n % len(forms)]
    if n % 5 == 4:
        return [("x-forwarded-for", "9.9.9.9"), ("X-Forwarded-For", form)]
    return [("x-forwarded-for", form)]


@pytest.mark.parametrize("key", ["", "sk-one"], ids=["anonymous", "keyed"])
def test_a_thousand_forged_addresses_are_one_account(served: Callable[[str], Served], key: str) -> None:
    """Case 1: uvicorn believes each of them, for the peer is loopback; guard doesn't, also where no key tells who it is."""
    attacked = served(POLICY)
    dice = random.Random(7)
    with Wire(attacked.port) as wire:
        statuses = [wire.ask(ASK, *invented(dice, n), key=key).status for n in range(1000)]

    assert (statuses.count(200), statuses.count(429)) == (20, 980)
    assert attacked.upstream.count == 20


LENIENT = [
    *("{}:+{}", "{}:0{}", "{}: {}", "{}:1_{}", "{}:99{}", "{}:-{}", "[{}]:+{}", "\xa0{}:{}"),
    "{}:{}" + ", 127.0.0.1" * 70,
]


def test_ports_that_only_the_server_can_read_are_no_way_round(served: Callable[[str], Served]) -> None:
    """Case 1: uvicorn reads ``+80``, ``0080``, ``8_0`` and 99999999 as ports, and an entry beyond 70 trusted ones."""
    attacked = served(POLICY)
    passed = {}
    with Wire(attacked.port) as wire:
        for number, form in enumerate(LENIENT):
            told = [form.format(f"203.0.{number}.{n}", 4000 + n) for n in range(30)]
            passed[form[:12]] = sum(wire.ask(ASK, ("x-forwarded-for", value)).status == 200 for value in told)

    assert sum(passed.values()) == 20, passed


JUNK = [
    "23189987",
    "unknown",
    "_hidden",
    "1.2.3.4:99:1",
    "[::1]:80",
    "1" * 10_000,
    "%00",
    "-",
    "1.2.3.4, ,",
    "::1%eth0",
]


def test_junk_is_never_an_address(served: Callable[[str], Served]) -> None:
    """Case 2: whatever uvicorn makes of it, it is the socket's peer or nobody's: at most two allowances in all; never a 5xx."""
    attacked = served(POLICY)
    with Wire(attacked.port) as wire:
        told = [f"{value}{n}" if n % 2 else value for value in JUNK for n in range(30)]
        statuses = [wire.ask(ASK, ("x-forwarded-for", value)).status for value in told]

    assert 20 <= statuses.count(200) <= 40
    assert set(statuses) == {200, 429}


def test_behind_a_proxy_on_this_machine_each_client_has_its_own_allowance(served: Callable[[str], Served]) -> None:
    """Case 7: with the hop declared guard walks the header itself; what a client writes left of its address is nothing."""
    attacked = served(POLICY + HOPS)
    with Wire(attacked.port) as wire:
        mine = [wire.ask(ASK, ("x-forwarded-for", f"6.6.{n}.6, 1.2.3.4")).status for n in range(30)]
        others = [wire.ask(ASK, ("x-forwarded-for", f"1.2.3.4, 203.0.113.{n}")).status for n in range(30)]

    assert mine == [200] * 20 + [429] * 10
    assert others == [200] * 30


def test_rewritten_addresses_are_told_to_the_operator(served: Callable[[str], Served], tmp_path: Path) -> None:
    """Case 7: with uvicorn's defaults the first forged header turns up in the status, with the remedy."""
    address = str(tmp_path / "run" / "s")
    attacked = served(POLICY + f'[admin]\nsocket = "{address}"\n')
    assert ask_once(attacked.port, ASK).status == 200
    before = call(address, "status")["warnings"]
    assert ask_once(attacked.port, ASK, ("x-forwarded-for", "23189987")).status == 200
    after = call(address, "status")["warnings"]

    assert not any("--no-proxy-headers" in warning for warning in before)
    assert any("--no-proxy-headers" in warning and "[trust] hops" in warning for warning in after)


def test_with_no_proxy_headers_the_peer_is_the_sockets(victims: Callable[..., Victim]) -> None:
    """Cases 1 and 7: run as the remedy says, forged headers change nothing at all and there is nothing to warn of."""
    victim = victims(POLICY, http="httptools", proxy_headers=False)
    dice = random.Random(3)
    with Wire(victim.to) as wire:
        statuses = [wire.ask(ASK, *invented(dice, n)).status for n in range(100)]

    assert statuses.count(200) == 20
    assert "rewrites client addresses" not in victim.said


def test_clients_of_a_unix_socket_are_limited_without_hurting_others(
    victims: Callable[..., Victim], tmp_path: Path
) -> None:
    """Case 12: without an address anonymous clients share one allowance; whoever has a key doesn't notice."""
    victim = victims(POLICY, http="h11", uds=str(tmp_path / "u"))
    with Wire(victim.to) as wire:
        anonymous = [wire.ask(ASK, ("x-forwarded-for", f"1.2.3.{n}")).status for n in range(40)]
        keyed = [wire.ask(ASK, key="sk-good").status for _ in range(21)]

    assert anonymous == [200] * 20 + [429] * 20
    assert keyed == [200] * 20 + [429]


DOORS: list[tuple[str, str | bytes]] = [
    ("Authorization", "Bearer sk-one"),
    ("authorization", "bearer  sk-one"),
    ("AUTHORIZATION", "Bearer\tsk-one"),
    ("x-api-key", "sk-one"),
    ("Api-Key", "  sk-one "),
    ("cookie", "session=sk-one"),
    ("sec-websocket-protocol", "realtime, openai-insecure-api-key.sk-one"),
]


def test_every_door_leads_to_one_account(served: Callable[[str], Served]) -> None:
    """Case 14: as the parsers deliver them, names in any case and values with any blanks are one account's."""
    attacked = served(POLICY + '[identity]\nquery = "key"\ncookie = "session"\n')
    with Wire(attacked.port) as wire:
        statuses = [wire.ask(ASK, DOORS[n % len(DOORS)]).status for n in range(35)]
        statuses += [wire.ask(ASK, path="/v1/chat/completions?key=sk-one").status for _ in range(3)]

    assert statuses == [200] * 20 + [429] * 18


CREDENTIALS: list[tuple[list[Any], set[int]]] = [
    ([("authorization", b"Bearer \xff\xfe")], {200, 400}),
    ([("authorization", b"Bearer \x80\x80"), ("x-api-key", b"\x80\x80")], {200, 400}),
    ([("authorization", "Bearer sk-a"), ("x-api-key", "sk-b")], {400}),
    ([("authorization", "Bearer sk-a"), ("Authorization", "Bearer sk-b")], {400}),
    ([("authorization", "Bearer sk-a"), ("connection", "authorization, x-request-id")], {400}),
    ([("authorization", "Bearer sk-a"), ("connection", "close, X-Api-Key")], {400}),
]


def test_credentials_that_could_be_read_twice_are_refused(served: Callable[[str], Served]) -> None:
    """Cases 15, 16 and 21: two keys, keys of any bytes, and hop-by-hop options that would strip a key."""
    attacked = served(POLICY)
    for headers, expected in CREDENTIALS:
        before = attacked.upstream.count
        answer = ask_once(attacked.port, ASK, *headers)
        assert answer.status in expected
        assert attacked.upstream.count - before == (answer.status == 200)
        assert b"sk-" not in answer.body


def test_forged_internal_headers_never_arrive(served: Callable[[str], Served]) -> None:
    """Case 17: in any case, with any separator; everything else arrives as the server delivered it."""
    attacked = served(POLICY + HOPS.replace("127.0.0.0/8", "10.0.0.0/8") + 'country = "x-geo-country"\n')
    forged = [("X-Guard-Reference", "forged"), ("x_guard_account", "root"), ("X-Geo-Country", "DE")]
    assert ask_once(attacked.port, ASK, *forged, ("X-Trace", "7"), key="sk").status == 200
    headers = dict(attacked.upstream.calls[0].headers)

    assert headers[b"x-trace"] == b"7"
    assert not [name for name in headers if b"guard" in name or b"geo" in name]


def test_a_peer_that_hangs_up_at_once_is_nobodys_trouble(served: Callable[[str], Served]) -> None:
    """Case 11: connections that end before their first byte leave the server as it was."""
    attacked = served(POLICY)
    for _ in range(200):
        socket.create_connection(("127.0.0.1", attacked.port)).close()

    assert ask_once(attacked.port, ASK, key="sk").status == 200
