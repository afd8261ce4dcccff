"""Where a request came from, as far as the socket or a declared hop vouches for it. One rule, and nobody else decides.

The peer is the socket's. Only if it lies in ``[trust] hops`` the configured headers are read. Some servers rewrite the peer from
``X-Forwarded-For`` before guard sees it (uvicorn does, by default, for loopback peers); what they put there may be anything a
client wrote. Such a rewritten peer is recognised and not believed: either a declared hop covers loopback and the header is read
again by guard's own rule, or the address is unknown and ``pre_resolved`` counts it, so that the edge can say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from guard import countries
from guard.addresses import Address, Addresses, forwarded_for
from guard.origin import Fact, Origin, Said, peer_from
from guard.recent import Recent
from guard.settings import Trust
from guard.types import UNKNOWN, Peer

_NOBODY = Peer()
_X_FORWARDED_FOR = b"x-forwarded-for"
_LOOPBACK = Address("127.0.0.1", "127.0.0.1", True)
# As many clients as are about at one time; each takes about 300 bytes.
_REMEMBERED = 4096
_LONGEST_REMEMBERED = 256
_TOKEN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")


class Places(Protocol):
    """What says where an address is (``region.py``). ``epoch`` changes whenever it would say otherwise than before."""

    epoch: int

    def origin(self, address: str, header: Said | None = None) -> Origin:
        """What every source says of a canonical address, the header's word among them."""
        ...


class Peers:
    """Reads peers under one ``[trust]``. ``pre_resolved`` counts the requests whose peer the server had rewritten.

    ``places``: what knows more of an address than the headers say; None: nothing does.
    """

    __slots__ = (
        "_address",
        "_addresses",
        "_asked",
        "_asn",
        "_asn_kind",
        "_behind",
        "_believed",
        "_country",
        "_direct",
        "_epoch",
        "_facts",
        "_ja4",
        "_places",
        "_silent",
        "_stated",
        "_subdivision",
        "pre_resolved",
    )

    def __init__(self, trust: Trust, ipv6_prefix: int, places: Places | None = None) -> None:
        self._addresses = Addresses(trust.hops, ipv6_prefix)
        headers = (trust.address, trust.country, trust.asn, trust.asn_kind, trust.ja4, trust.subdivision)
        names = [header.lower().encode("latin-1") for header in headers]
        self._address, self._country, self._asn, self._asn_kind, self._ja4, self._subdivision = names
        self._facts = tuple(filter(None, names[1:]))
        facts: tuple[tuple[Fact, str], ...] = (
            ("country", trust.country),
            ("asn", trust.asn),
            ("asn_kind", trust.asn_kind),
        )
        self._asked = tuple(fact for fact, header in facts if header)
        self._places = places
        self._forget()
        self._believed: Recent[tuple[str, bytes], Address] = Recent(_REMEMBERED)
        self.pre_resolved = 0

    def _forget(self) -> None:
        """What is remembered of addresses would be said otherwise now."""
        self._epoch = self._places.epoch if self._places is not None else 0
        self._direct: Recent[str, Peer] = Recent(_REMEMBERED)
        self._behind: Recent[str, Peer] = Recent(_REMEMBERED)
        self._silent: Recent[str, Peer] = Recent(_REMEMBERED)
        self._stated: Recent[tuple[str | bytes, ...], Peer] = Recent(_REMEMBERED)

    def silent(self, client: tuple[str, int] | None) -> Peer:
        """The peer of a request without ``X-Forwarded-For`` and trust headers: what ``peer`` says where there are no headers."""
        if self._places is not None and self._places.epoch != self._epoch:
            self._forget()
        name = client[0] if client else ""
        peer = self._silent.get(name)
        if peer is None:
            peer = self.peer(client, {})
            if len(name) <= _LONGEST_REMEMBERED:
                self._silent.put(name, peer)
        return peer

    def peer(self, client: tuple[str, int] | None, fields: Mapping[bytes, bytes]) -> Peer:
        """``client`` is the scope's, ``fields`` the headers by lower-case name, repeated ones joined by ``, ``. Never raises."""
        if self._places is not None and self._places.epoch != self._epoch:
            self._forget()
        name = client[0] if client else ""
        socket = self._addresses.read(name) if name else None
        forwarded = fields.get(_X_FORWARDED_FOR)
        if forwarded is not None and client and name:
            port = client[1]
            if socket is None or not port or _told(name, port, forwarded):
                return self._again(socket, port, fields)
        if socket is None:
            return _NOBODY
        if not socket.hop:
            return self._plain(socket, hop=False)
        return self._vouched(self._client(socket, fields), fields)

    def _again(self, rewritten: Address | None, port: int, fields: Mapping[bytes, bytes]) -> Peer:
        """The peer that the server has replaced: the header is walked once more, as from a hop on this machine."""
        if self._addresses.loopback_is_hop:
            address = self._client(_LOOPBACK, fields)
            # With a port it may be a real socket whose client wrote its own address into the header; then both must agree.
            if not port or rewritten is None or rewritten.text == address.text:
                return self._vouched(address, fields)
        self.pre_resolved += 1
        return _NOBODY

    def _client(self, hop: Address, fields: Mapping[bytes, bytes]) -> Address:
        header = self._address
        value = fields.get(header) if header else None
        if value is None:
            return hop
        key = hop.text, value
        client = self._believed.get(key)
        if client is None:
            entries = forwarded_for(value.decode("latin-1")) if header == b"forwarded" else _entries(value)
            client = self._addresses.client(hop, entries)
            if len(value) <= _LONGEST_REMEMBERED:
                self._believed.put(key, client)
        return client

    def _vouched(self, address: Address, fields: Mapping[bytes, bytes]) -> Peer:
        """The peer with the facts that the hop states. A value that can't be one, such as two at once, is unknown."""
        if not self._facts:
            return self._plain(address, hop=True)
        values = [fields.get(name, b"") for name in self._facts]
        key: tuple[str | bytes, ...] = (address.text, *values)
        peer = self._stated.get(key)
        if peer is None:
            peer = self._met(address, fields)
            if sum(map(len, values)) <= _LONGEST_REMEMBERED:
                self._stated.put(key, peer)
        return peer

    def _met(self, address: Address, fields: Mapping[bytes, bytes]) -> Peer:
        country = countries.country(_stated(fields, self._country))
        number = _stated(fields, self._asn).upper().removeprefix("AS")
        asn = int(number) if number.isascii() and number.isdigit() and len(number) <= 10 else 0
        asn = asn if asn < 1 << 32 else 0
        kind = _stated(fields, self._asn_kind).lower()
        ja4 = _stated(fields, self._ja4)
        if self._places is None:
            return Peer(address.text, address.network, country or UNKNOWN, asn or None, kind or UNKNOWN, ja4, hop=True)
        part = countries.subdivision(_stated(fields, self._subdivision), country)
        said = Said("header", self._asked, country, (part,) if part else (), asn, (kind,) if kind else ())
        origin = self._places.origin(address.text, said)
        return peer_from(origin, address.text, address.network, ja4=ja4, hop=True)

    def _plain(self, address: Address, *, hop: bool) -> Peer:
        recent = self._behind if hop else self._direct
        peer = recent.get(address.text)
        if peer is None:
            if self._places is None:
                peer = Peer(address.text, address.network, hop=hop)
            else:
                peer = peer_from(self._places.origin(address.text), address.text, address.network, hop=hop)
            recent.put(address.text, peer)
        return peer


def _told(name: str, port: int, forwarded: bytes) -> bool:
    """Whether one of the entries says this host and port, as leniently as a server may read it: its ``int`` takes ``+80``,
    ``0080`` and ``8_0``, and no bound on the number of entries or their digits is its own."""
    for entry in forwarded.decode("latin-1").split(","):
        if name in entry:
            try:
                if int(entry.rpartition(":")[2]) == port:
                    return True
            except ValueError:
                continue
    return False


def _entries(value: bytes) -> list[str]:
    """The entries of a comma list, the last few hundred: the walk goes from the right and never that far."""
    return value.decode("latin-1").rsplit(",", 64)[-64:]


def _stated(fields: Mapping[bytes, bytes], header: bytes) -> str:
    """One short token, or ``""``."""
    value = fields.get(header) if header else None
    if value is None:
        return ""
    text = value.decode("latin-1").strip(" \t")
    return text if len(text) <= 64 and _TOKEN.issuperset(text) else ""
