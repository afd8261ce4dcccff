"""Lists of networks: one address, network (CIDR) or autonomous system (``AS64496``) a line, ``#`` and ``;`` begin a comment.

A list is taken whole or not at all: a line that is none of these, or a file without any, is what a broken download looks like.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path
from typing import NamedTuple

_MOST_BYTES = 32 * 1024 * 1024
_STEP = 200


class ListError(Exception):
    """A file that is no list of networks; the text says why, with the line, never what stands there."""


class Listed(NamedTuple):
    """What one file names. ``networks``: (version, prefix length, its leading bits)."""

    networks: frozenset[tuple[int, int, int]]
    asns: frozenset[int]


def reading(path: str) -> Generator[None, None, Listed]:
    """The list in a file, in steps of a millisecond or so. Raises ``ListError``."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise ListError("missing") from None
    except (OSError, ValueError) as error:
        raise ListError(f"can't be read: {getattr(error, 'strerror', None) or type(error).__name__}") from None
    if len(data) > _MOST_BYTES:
        raise ListError(f"is larger than {_MOST_BYTES} bytes")
    networks: set[tuple[int, int, int]] = set()
    asns: set[int] = set()
    for number, line in enumerate(data.decode("utf-8-sig", "replace").splitlines(), 1):
        if number % _STEP == 0:
            yield
        entry = line.partition("#")[0].partition(";")[0].strip()
        if not entry:
            continue
        digits = entry[2:] if entry[:2].upper() == "AS" else ""
        if digits.isascii() and digits.isdigit() and len(digits) <= 10 and 0 < int(digits) < 1 << 32:
            asns.add(int(digits))
            continue
        try:
            network = ip_network(entry, strict=False)
        except ValueError:
            raise ListError(f"line {number} is no network, address or AS number") from None
        bits = int(network.network_address) >> (network.max_prefixlen - network.prefixlen)
        networks.add((network.version, network.prefixlen, bits))
    if not networks and not asns:
        raise ListError("is empty")
    return Listed(frozenset(networks), frozenset(asns))


class Prefixes:
    """Which kinds an address has, by all lists together: a look-up for each length of prefix that occurs."""

    __slots__ = ("_asns", "_lengths")

    def __init__(self, lists: Iterable[tuple[str, Listed]]) -> None:
        self._lengths: dict[int, dict[int, dict[int, tuple[str, ...]]]] = {4: {}, 6: {}}
        self._asns: dict[int, tuple[str, ...]] = {}
        for kind, listed in lists:
            for version, length, bits in listed.networks:
                entries = self._lengths[version].setdefault(length, {})
                entries[bits] = _with(entries.get(bits, ()), kind)
            for asn in listed.asns:
                self._asns[asn] = _with(self._asns.get(asn, ()), kind)

    def kinds(self, address: IPv4Address | IPv6Address, asns: Iterable[int]) -> tuple[str, ...]:
        """The kinds of the networks that hold the address, and of its autonomous systems, each once."""
        found: dict[str, None] = {}
        value, width = int(address), address.max_prefixlen
        for length, entries in self._lengths[address.version].items():
            for kind in entries.get(value >> (width - length), ()):
                found[kind] = None
        for asn in asns:
            for kind in self._asns.get(asn, ()):
                found[kind] = None
        return tuple(sorted(found))


def _with(kinds: tuple[str, ...], kind: str) -> tuple[str, ...]:
    return kinds if kind in kinds else (*kinds, kind)
