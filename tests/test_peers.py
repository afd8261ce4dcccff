"""Whom to believe about the address: the socket, a declared hop, and nobody else."""

from __future__ import annotations

import random
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.call import Caller
from guard.settings import Identity, Policy, Trust
from guard.types import UNKNOWN, Call, Peer, Route

CHAT = "/v1/chat/completions"
KNOWN = {CHAT: "openai_chat"}
HOPS = (ip_network("10.0.0.0/8"),)
Header = tuple[bytes, bytes]
NO_TRUST = Trust()


def caller(trust: Trust = NO_TRUST, **parts: Any) -> Caller:
    return Caller(Policy(trust=trust, **parts), KNOWN)


def scope(
    *headers: Header, client: tuple[str, int] | None = ("198.51.100.7", 5000), method: str = "POST", path: str = CHAT
) -> dict[str, Any]:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "headers": list(headers),
        "client": client,
        "query_string": b"q",
    }


def called(reader: Caller, asked: dict[str, Any]) -> Call:
    route = reader.route(asked)
    assert isinstance(route, Route)
    return reader.call(asked, route)


def peer(trust: Trust, *headers: Header, client: tuple[str, int] | None = ("198.51.100.7", 5000)) -> Peer:
    return called(caller(trust), scope(*headers, client=client)).peer


def test_a_forwarding_header_of_an_undeclared_peer_is_nothing() -> None:
    """A thousand invented addresses are one peer."""
    reader = caller(Trust(HOPS, "x-forwarded-for"))
    dice = random.Random(1)
    seen = set()
    for _ in range(1000):
        invented = b"%d.%d.%d.%d" % tuple(dice.randrange(256) for _ in range(4))
        seen.add(called(reader, scope((b"x-forwarded-for", invented))).peer)

    assert seen == {Peer("198.51.100.7", "198.51.100.7")}


@pytest.mark.parametrize(
    "value", [b"23189987", b" ", b"", b"unknown", b"1.2.3.4:99", b"[::1]:80", b"1" * 10_000, b"\x00", b"%00", b"\xff"]
)
def test_junk_in_the_header_is_never_an_address(value: bytes) -> None:
    """From a stranger it is ignored; from a hop it is a valid address or the hop's own."""
    trust = Trust(HOPS, "x-forwarded-for")

    assert peer(trust, (b"x-forwarded-for", value)).address == "198.51.100.7"
    assert peer(trust, (b"x-forwarded-for", value), client=("10.0.0.1", 5)).address in {"10.0.0.1", "1.2.3.4", "::1"}


def test_two_headers_are_one_list() -> None:
    """Joined in order, the right-most that is no hop wins."""
    trust = Trust(HOPS, "x-forwarded-for")
    parted = peer(
        trust, (b"x-forwarded-for", b"6.6.6.6, 1.2.3.4"), (b"x-forwarded-for", b"10.0.0.3"), client=("10.0.0.1", 5)
    )
    joined = peer(trust, (b"x-forwarded-for", b"6.6.6.6, 1.2.3.4, 10.0.0.3"), client=("10.0.0.1", 5))

    assert parted == joined
    assert parted.address == "1.2.3.4"
    assert parted.hop


@pytest.mark.parametrize("hops", [0, 1, 2])
def test_padding_on_the_left_changes_nothing(hops: int) -> None:
    """Fifty invented hops before the client's own address."""
    padding = ", ".join(f"10.9.9.{n}" for n in range(50))
    value = ", ".join([padding, "1.2.3.4", *["10.0.0.2"] * hops]).encode()

    assert (
        peer(Trust(HOPS, "x-forwarded-for"), (b"x-forwarded-for", value), client=("10.0.0.1", 5)).address == "1.2.3.4"
    )


@pytest.mark.parametrize(
    "name",
    [
        b"x_forwarded_for",
        b"x-real-ip",
        b"forwarded",
        b"true-client-ip",
        b"cf-connecting-ip",
        b"x-original-forwarded-for",
        b"client-ip",
    ],
)
def test_only_the_configured_header_counts(name: bytes) -> None:
    """Its relatives are ignored, from a hop too."""
    assert peer(Trust(HOPS, "x-forwarded-for"), (name, b"6.6.6.6"), client=("10.0.0.1", 5)).address == "10.0.0.1"
    assert peer(Trust(HOPS), (b"x-forwarded-for", b"6.6.6.6"), client=("10.0.0.1", 5)).address == "10.0.0.1"


@pytest.mark.parametrize(
    ("value", "address"),
    [
        (b'for="[2001:db8::1]:4711";proto=https', "2001:db8::1"),
        (b"for=6.6.6.6, for=1.2.3.4;by=10.0.0.1", "1.2.3.4"),
        (b"for=1.2.3.4, for=_hidden", "10.0.0.1"),
        (b"for=unknown", "10.0.0.1"),
        (b"for=1.2.3.4;for=6.6.6.6", "10.0.0.1"),
        (b'for="1.2.3.4', "10.0.0.1"),
        (b"\xff=", "10.0.0.1"),
    ],
)
def test_forwarded_is_understood_where_it_is_configured(value: bytes, address: str) -> None:
    """RFC 7239, read or ignored, never an exception."""
    assert peer(Trust(HOPS, "forwarded"), (b"forwarded", value), client=("10.0.0.1", 5)).address == address


@pytest.mark.parametrize(
    "client", [("23189987", 0), ("6.6.6.6", 0), ("6.6.6.6", 1234), ("10.0.0.1", 0), ("unknown", 0)]
)
def test_a_peer_that_the_server_rewrote_is_not_believed(client: tuple[str, int]) -> None:
    """uvicorn puts what stands in ``X-Forwarded-For`` in the peer's place: then the address is unknown and it is counted."""
    value = f"{client[0]}:{client[1]}" if client[1] else client[0]
    reader = caller(Trust(HOPS, "x-forwarded-for"))
    found = called(reader, scope((b"x-forwarded-for", value.encode()), client=client)).peer

    assert found == Peer()
    assert reader.pre_resolved == 1


def test_a_rewritten_peer_is_read_again_where_a_hop_covers_loopback() -> None:
    """Then the proxy on this machine is declared, and guard's own rule reads its header."""
    trust = Trust((ip_network("127.0.0.0/8"), *HOPS), "x-forwarded-for")
    reader = caller(trust)

    def address(value: bytes, client: tuple[str, int]) -> str:
        return called(reader, scope((b"x-forwarded-for", value), client=client)).peer.address

    assert address(b"6.6.6.6, 1.2.3.4, 10.0.0.2", ("10.0.0.2", 0)) == "1.2.3.4"
    assert address(b"6.6.6.6, 23189987", ("23189987", 0)) == "127.0.0.1"
    assert address(b"1.2.3.4:99", ("1.2.3.4", 99)) == "1.2.3.4"
    assert reader.pre_resolved == 0
    # A client on the open net that writes its own address and port among others gains nothing.
    assert address(b"198.51.100.7:5000, 6.6.6.6", ("198.51.100.7", 5000)) == UNKNOWN


def test_uvicorns_own_rewriting_is_recognised() -> None:
    """The real middleware with its default trust, for each kind of value that it lets through."""
    proxy_headers = pytest.importorskip("uvicorn.middleware.proxy_headers")
    seen: list[dict[str, Any]] = []

    async def app(asked: dict[str, Any], receive: Any, send: Any) -> None:
        seen.append(asked)

    rewriting = proxy_headers.ProxyHeadersMiddleware(app)
    for value in (b"6.6.6.6", b"6.6.6.6:77", b"23189987", b"[2001:db8::1]:99", b"a:b", b"1.1.1.1, 127.0.0.1"):
        asked = scope((b"x-forwarded-for", value), client=("127.0.0.1", 4000))
        with pytest.raises(StopIteration):
            rewriting(asked, None, None).send(None)
    reader = caller()

    assert [called(reader, asked).peer for asked in seen] == [Peer()] * 6
    assert reader.pre_resolved == 6


@pytest.mark.parametrize("client", [None, ("", 0), ("/run/app.sock", 0), ("testclient", 50000)])
def test_a_client_without_an_address_is_unknown(client: tuple[str, int] | None) -> None:
    """No peer, a Unix socket, a test client."""
    assert peer(Trust(), client=client) == Peer()
    assert caller().pre_resolved == 0


def test_networks_follow_the_configured_prefix() -> None:
    """IPv4 by address, IPv6 by its prefix, mapped IPv4 as IPv4, scopes dropped."""
    wide = caller(identity=Identity(ipv6_prefix=48))

    assert called(wide, scope(client=("2001:db8:1:2::3", 5))).peer.network == "2001:db8:1::/48"
    assert peer(Trust(), client=("2001:db8:1:2::3", 5)).network == "2001:db8:1::/56"
    assert peer(Trust(), client=("::ffff:1.2.3.4", 5)).network == "1.2.3.4"
    assert peer(Trust(), client=("fe80::1%eth0", 5)).address == "fe80::1"


FACTS = Trust(HOPS, "x-forwarded-for", "cf-ipcountry", "x-asn", "x-asn-kind", "x-ja4")
CLAIMS: tuple[Header, ...] = (
    (b"cf-ipcountry", b"de"),
    (b"x-asn", b"AS3320"),
    (b"x-asn-kind", b"Residential"),
    (b"x-ja4", b"t13d1516h2_8daaf6152771_b186095e22b6"),
)


def test_facts_about_the_network_come_from_hops_only() -> None:
    """Country, ASN, its kind and JA4 are a hop's word; a client's are nothing."""
    assert peer(FACTS, *CLAIMS) == Peer("198.51.100.7", "198.51.100.7")
    assert peer(FACTS, *CLAIMS, client=("10.0.0.1", 5)) == Peer(
        "10.0.0.1", "10.0.0.1", "DE", 3320, "residential", "t13d1516h2_8daaf6152771_b186095e22b6", hop=True
    )


@pytest.mark.parametrize(
    "claim", [b"", b"XX", b"Germany", b"de, fr", b"\xff\xff", b"AS", b"AS-1", b"99999999999", b"a" * 100]
)
def test_a_fact_that_can_not_be_is_unknown(claim: bytes) -> None:
    """Neither guessed nor kept: unknown is a value of its own."""
    found = peer(FACTS, (b"cf-ipcountry", claim), (b"x-asn", claim), client=("10.0.0.1", 5))

    assert found.asn is None
    assert found.country == UNKNOWN or (claim == b"AS" and found.country == "AS")


@given(
    st.binary(max_size=60),
    st.sampled_from(["x-forwarded-for", "forwarded", ""]),
    st.sampled_from([("10.0.0.1", 5), ("x", 0), ("1.2.3.4", 0), None]),
)
@settings(max_examples=300, deadline=None)
def test_no_header_raises(value: bytes, header: str, client: tuple[str, int] | None) -> None:
    """Whatever the headers say: the address is valid or unknown."""
    trust = Trust((*HOPS, ip_network("127.0.0.0/8")), header, "country", "asn", "kind", "ja4")
    names = (b"x-forwarded-for", b"forwarded", b"country", b"asn", b"kind", b"ja4")
    found = peer(trust, *[(name, value) for name in names], client=client)

    assert found.address == UNKNOWN or found.network != UNKNOWN
