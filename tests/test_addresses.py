"""Addresses: one client, one form, and the walk along a forwarding header."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.addresses import Addresses, forwarded_for, host

HOPS = (ip_network("10.0.0.0/8"), ip_network("2001:db8:ffff::/48"))


def reader() -> Addresses:
    return Addresses(HOPS, 56)


def walked(entries: list[str]) -> str:
    addresses = reader()
    peer = addresses.read("10.0.0.1")
    assert peer is not None
    return addresses.client(peer, entries).text


def test_ipv6_is_metered_by_its_prefix() -> None:
    """65,536 addresses of one /56 are one network, and the neighbouring /56 is another."""
    addresses = Addresses((), 56)
    seen = {addresses.read(f"2001:db8:0:{low:x}::{high:x}") for low in range(256) for high in range(256)}

    assert {address.network for address in seen if address} == {"2001:db8::/56"}
    other = addresses.read("2001:db8:0:100::1")
    assert other is not None
    assert other.network == "2001:db8:0:100::/56"


def test_mapped_ipv4_is_its_ipv4() -> None:
    """A hundred mapped clients, dotted and in hexadecimal, are a hundred networks, each that of its IPv4 address."""
    addresses = reader()
    networks = set()
    for last in range(100):
        plain, dotted, digits = f"203.0.113.{last}", f"::ffff:203.0.113.{last}", f"::ffff:cb00:71{last:02x}"
        found = {address.network for address in map(addresses.read, (plain, dotted, digits)) if address}
        assert found == {plain}
        networks |= found

    assert len(networks) == 100


@pytest.mark.parametrize("text", ["2001:db8::1.2.3.4", "64:ff9b::1.2.3.4", "2002:102:304::1", "2001:0:1:2::3"])
def test_other_ipv6_stays_ipv6(text: str) -> None:
    """NAT64, 6to4 and Teredo only look like IPv4; the prefix rule holds."""
    found = reader().read(text)

    assert found is not None
    assert found.network.endswith("/56")


def test_a_scope_is_dropped() -> None:
    """``fe80::1%eth0`` is an address like any other."""
    found = reader().read("fe80::1%eth0")

    assert found is not None
    assert found.text == "fe80::1"


@pytest.mark.parametrize(
    "text", ["23189987", " ", "", "unknown", "1.2.3", "01.2.3.4", "\0", "%00", "a" * 10_000, "\u0661.2.3.4"]
)
def test_what_is_no_address_is_none(text: str) -> None:
    """Junk is nothing, not a key of its own."""
    assert reader().read(text) is None


def test_the_memory_of_addresses_is_bounded() -> None:
    """A hundred thousand addresses leave at most 1,024."""
    addresses = reader()
    for number in range(100_000):
        addresses.read(str(ip_address(number)))

    assert len(addresses._recent) <= 1024


@pytest.mark.parametrize(
    ("entries", "client"),
    [
        ([], "10.0.0.1"),
        (["1.2.3.4"], "1.2.3.4"),
        (["6.6.6.6", "1.2.3.4"], "1.2.3.4"),
        (["6.6.6.6", "1.2.3.4", "10.0.0.2"], "1.2.3.4"),
        (["6.6.6.6", "1.2.3.4", "10.0.0.3", "10.0.0.2"], "1.2.3.4"),
        ([f"6.6.6.{n}" for n in range(50)] + ["1.2.3.4", "10.0.0.2"], "1.2.3.4"),
        ([f"10.6.6.{n}" for n in range(50)], "10.6.6.18"),
        (["1.2.3.4", "unknown"], "10.0.0.1"),
        (["1.2.3.4", "unknown", "10.0.0.2"], "10.0.0.2"),
        (["1.2.3.4", ""], "10.0.0.1"),
        (["10.0.0.9", "10.0.0.2"], "10.0.0.9"),
        (["1.2.3.4:99"], "1.2.3.4"),
        (["[2001:db8::5]:99"], "2001:db8::5"),
        (["[2001:db8::5]"], "2001:db8::5"),
        (["2001:db8::5"], "2001:db8::5"),
        (["::ffff:1.2.3.4"], "1.2.3.4"),
        (["1.2.3.4", "2001:db8:ffff::1"], "1.2.3.4"),
        (["1.2.3.4:99999999"], "10.0.0.1"),
        (["[2001:db8::5"], "10.0.0.1"),
    ],
)
def test_the_right_most_address_that_is_no_hop_is_the_client(entries: list[str], client: str) -> None:
    """Hops are skipped from the right; what is no address ends the walk at the hop before it."""
    assert walked(entries) == client


@pytest.mark.parametrize(
    ("header", "nodes"),
    [
        ("for=1.2.3.4", ["1.2.3.4"]),
        ("For=1.2.3.4;proto=https;by=10.0.0.1", ["1.2.3.4"]),
        ('for="[2001:db8::1]:4711"', ["[2001:db8::1]:4711"]),
        ("for=1.2.3.4, for=5.6.7.8", ["1.2.3.4", "5.6.7.8"]),
        ("for=_hidden, for=unknown", ["_hidden", "unknown"]),
        ("for=1.2.3.4;for=5.6.7.8", [""]),
        ("proto=https", [""]),
        ('for="1.2.3.4', []),
        ('for="1.2.3.4\\"', []),
        ('for="a,b;c", for=1.2.3.4', ["a,b;c", "1.2.3.4"]),
        ('for="1.2\\.3.4"', ["1.2.3.4"]),
        ("nonsense", []),
        ("for=1.2.3.4," * 2000, []),
        ("", [""]),
    ],
)
def test_forwarded_is_read_or_ignored(header: str, nodes: list[str]) -> None:
    """RFC 7239: quoted addresses with ports, hidden and unknown nodes, two claims in one, broken quotes."""
    assert forwarded_for(header) == nodes


ENTRIES = st.text(st.sampled_from('0123456789.:[]%, "\\;=forabcdef_\t') | st.characters(max_codepoint=255), max_size=60)


@given(ENTRIES)
@settings(max_examples=500, deadline=None)
def test_no_header_raises_and_every_outcome_is_an_address(header: str) -> None:
    """Whatever is written there, the walk ends at a valid address; so do the elements of ``Forwarded``."""
    for entries in (header.split(","), forwarded_for(header)):
        assert ip_address(walked(entries))
        assert all(isinstance(port, int) for _, port in map(host, entries))


@given(st.lists(ENTRIES, max_size=5), st.sampled_from(["1.2.3.4", "2001:db8::1"]), st.integers(0, 3))
@settings(max_examples=200, deadline=None)
def test_nothing_to_the_left_of_the_client_matters(invented: list[str], client: str, hops: int) -> None:
    """A client may pad its header as it likes: the outcome is the address that the first hop saw."""
    assert walked([*invented, client, *["10.0.0.2"] * hops]) == client
