"""Addresses of clients: which form is one client's, and which entry of a forwarding header can be believed.

A hop appends to the header the address it saw, so what can be believed is read from the right: entries that are declared
hops are skipped, the first other one is the client, and everything further left is the client's own invention.
``Forwarded`` is RFC 7239; ``X-Forwarded-For`` and single-address headers are comma lists of what ``host`` reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from guard.hashing import HashKey
from guard.recent import Recent
from guard.settings import Network
from guard.types import UNKNOWN

# The longest text of an address (45) with a scope; anything longer is none.
_LONGEST = 64
_LONGEST_FORWARDED = 8 * 1024
# No real chain of declared hops is longer; it bounds the walk.
_MOST_HOPS = 32


@dataclass(frozen=True, slots=True)
class Address:
    """A valid IP address: its canonical text, the network an anonymous client is metered by, and whether it is a hop."""

    text: str
    network: str
    hop: bool


def subnet(key: HashKey, network: str) -> int:
    """32 keyed bits that stand for the subnet that a ``Peer.network`` lies in: the /24 of an IPv4 address; of an IPv6 one its
    prefix, which it is already. 0: unknown."""
    if network == UNKNOWN:
        return 0
    return key.facet("network", (network.rpartition(".")[0] or network).encode(errors="replace")) & 0xFFFFFFFF


class Addresses:
    """Reads addresses for one set of declared hops. The memory of recent ones is bounded and never leaves the process."""

    __slots__ = ("_hops", "_ipv6_prefix", "_recent", "loopback_is_hop")

    def __init__(self, hops: tuple[Network, ...], ipv6_prefix: int) -> None:
        self._hops = hops
        self._ipv6_prefix = ipv6_prefix
        self._recent: Recent[str, Address] = Recent(1024)
        self.loopback_is_hop = any(self._is_hop(ip_address(text)) for text in ("127.0.0.1", "::1"))

    def read(self, text: str) -> Address | None:
        """The address that ``text`` is; None: it is none. IPv4-mapped IPv6 is its IPv4, a scope (``%eth0``) is dropped."""
        known = self._recent.get(text)
        if known is not None:
            return known
        if len(text) > _LONGEST:
            return None
        try:
            address = ip_address(text)
        except ValueError:
            return None
        if isinstance(address, IPv6Address):
            address = address.ipv4_mapped or IPv6Address(int(address))
        found = Address(str(address), self._network(address), self._is_hop(address))
        self._recent.put(text, found)
        return found

    def client(self, peer: Address, entries: Sequence[str]) -> Address:
        """Whom a hop's header names: the right-most entry that is no hop. An entry that is no address ends the walk at
        the hop that wrote it, for what stands left of it is nobody's word."""
        believed = peer
        for entry in reversed(entries[-_MOST_HOPS:]):
            address = self.read(host(entry)[0])
            if address is None:
                return believed
            if not address.hop:
                return address
            believed = address
        return believed

    def _network(self, address: IPv4Address | IPv6Address) -> str:
        if isinstance(address, IPv4Address):
            return str(address)
        return str(IPv6Network((int(address), self._ipv6_prefix), strict=False))

    def _is_hop(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._hops)


def host(entry: str) -> tuple[str, int]:
    """``1.2.3.4``, ``1.2.3.4:99``, ``2001:db8::1``, ``[2001:db8::1]``, ``[2001:db8::1]:99`` → (address, port; 0: none).

    Text in any other form comes back as it is; no address reads like it.
    """
    entry = entry.strip(" \t")
    if entry.startswith("["):
        inside, bracket, rest = entry[1:].partition("]")
        if bracket and not rest:
            return inside, 0
        if bracket and rest[0] == ":" and _is_port(rest[1:]):
            return inside, int(rest[1:])
        return entry, 0
    name, colon, port = entry.partition(":")
    if colon and _is_port(port):
        return name, int(port)
    return entry, 0


def _is_port(text: str) -> bool:
    return len(text) <= 5 and text.isascii() and text.isdigit()


def forwarded_for(header: str) -> list[str]:
    """The ``for`` of each element of a ``Forwarded`` header, in order; ``""`` where an element names none or two.

    A header that breaks the grammar (RFC 7239, section 4), such as by an unbalanced quote, or that is longer than any
    chain of proxies makes it, says nothing: ``[]``.
    """
    if len(header) > _LONGEST_FORWARDED or _unbalanced(header):
        return []
    nodes: list[str] = []
    for element in _split(header, ","):
        found: list[str] = []
        for pair in _split(element, ";"):
            name, equals, value = pair.partition("=")
            if not equals and name.strip(" \t"):
                return []
            if name.strip(" \t").lower() == "for":
                found.append(_unquoted(value.strip(" \t")))
        nodes.append(found[0] if len(found) == 1 else "")
    return nodes


def _split(text: str, separator: str) -> list[str]:
    """Splits at separators outside quoted strings."""
    if '"' not in text:
        return text.split(separator)
    parts: list[str] = []
    start = 0
    quoted = escaped = False
    for index, character in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character == separator and not quoted:
            parts.append(text[start:index])
            start = index + 1
    parts.append(text[start:])
    return parts


def _unbalanced(text: str) -> bool:
    quoted = escaped = False
    for character in text:
        if escaped:
            escaped = False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
    return quoted


def _unquoted(value: str) -> str:
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        return value
    text = value[1:-1]
    return text if "\\" not in text else "".join(part for part in _unescaped(text))


def _unescaped(text: str) -> list[str]:
    characters: list[str] = []
    escaped = False
    for character in text:
        if character == "\\" and not escaped:
            escaped = True
        else:
            characters.append(character)
            escaped = False
    return characters
