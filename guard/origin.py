"""Where a request comes from: the ``Peer``, what each source says of it, and what follows from several of them.

Sources are the headers of a declared hop, databases and lists of networks. What each says is kept as it was said; a rule asks
what all of them leave possible. A *claim* is what one source says of one fact. Of several claims the strictest counts:

* a rule or limit that holds something back holds where **any** claim fits (``conditions.py`` says how ``not`` turns that round);
* a rule that allows holds only where **every** claim fits.

``"unknown"`` is a claim of its own: where no source knows anything, and beside what others say where one can't be asked
(missing, too old, broken). So a lost database never opens an allow-list, and never hides what a header says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

UNKNOWN = "unknown"
UNLISTED = "unlisted"
"""The kind of a network that every list was asked about and none names."""
KINDS = ("isp", "mobile", "business", "education", "government", "hosting", "vpn", "proxy", "relay", "tor")
Fact = Literal["country", "asn", "asn_kind"]
FACTS: tuple[Fact, ...] = ("country", "asn", "asn_kind")


class Said(NamedTuple):
    """What one source says. ``""``, ``()`` and 0: it says nothing of that."""

    source: str
    """``header``, ``lists``, or the name of a database's file."""
    asked: tuple[Fact, ...] = ()
    """What it is there for; ``country`` includes subdivisions."""
    country: str = ""
    subdivisions: tuple[str, ...] = ()
    asn: int = 0
    kinds: tuple[str, ...] = ()
    trouble: str = ""
    """Why it can't be asked: ``missing``, ``stale``, ``broken``; ``""``: it can."""


Words = tuple[frozenset[str], ...]
Numbers = tuple[frozenset[int | None], ...]


class Origin(NamedTuple):
    """The claims on each fact, at least one of each. ``None`` among numbers is "unknown"."""

    said: tuple[Said, ...]
    country: Words
    subdivision: Words
    asn: Numbers
    asn_kind: Words
    differ: bool
    """Whether two sources name different countries."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a request came from, as far as a declared hop or the socket vouches for it.

    ``address`` is a canonical IP address or ``"unknown"``; ``network`` is what an anonymous client is metered by: the
    IPv4 address itself, or the IPv6 prefix of the configured length, or ``"unknown"``. Of several sources ``country``,
    ``asn`` and ``asn_kind`` are the first one's that knows.
    """

    address: str = UNKNOWN
    network: str = UNKNOWN
    country: str = UNKNOWN
    asn: int | None = None
    asn_kind: str = UNKNOWN
    ja4: str = ""
    hop: bool = False
    """Whether a declared hop stands before guard and vouches for the rest."""
    subnet: int = 0
    """32 keyed bits that stand for its subnet, where a record of guard's own says no more than that; 0: ``network`` tells."""
    origin: Origin | None = None
    """What every source said; None: the policy has none but the headers above."""


def peer_from(origin: Origin, address: str, network: str, *, ja4: str = "", hop: bool, subnet: int = 0) -> Peer:
    """The peer of an address of which that is known."""
    said = origin.said
    country = next((one.country for one in said if one.country), UNKNOWN)
    asn = next((one.asn for one in said if one.asn), None)
    kind = next((one.kinds[0] for one in said if one.kinds), UNKNOWN)
    return Peer(address, network, country, asn, kind, ja4, hop, subnet, origin)


@lru_cache(4096)
def compared(said: tuple[Said, ...]) -> Origin:
    """What follows from what the sources said."""
    countries: list[frozenset[str]] = [frozenset({one.country}) for one in said if one.country]
    parts: list[frozenset[str]] = [frozenset(one.subdivisions) for one in said if one.subdivisions]
    numbers: list[frozenset[int | None]] = [frozenset({one.asn}) for one in said if one.asn]
    # Each kind stands for itself: a network that is a business's and Tor's is not simply a business's.
    kinds = [frozenset({kind}) for one in said for kind in one.kinds]
    silent = {fact for one in said if one.trouble for fact in one.asked}
    listed = any(one.source == "lists" for one in said)
    if "country" in silent:
        countries.append(frozenset({UNKNOWN}))
        parts.append(frozenset({UNKNOWN}))
    if "asn" in silent:
        numbers.append(frozenset({None}))
    if "asn_kind" in silent:
        kinds.append(frozenset({UNKNOWN}))
    elif not kinds and listed:
        kinds.append(frozenset({UNLISTED}))
    return Origin(
        said,
        _each(countries),
        _each(parts),
        tuple(dict.fromkeys(numbers)) or (frozenset({None}),),
        _each(kinds),
        len({one.country for one in said if one.country}) > 1,
    )


def _each(claims: Iterable[frozenset[str]]) -> Words:
    return tuple(dict.fromkeys(claims)) or (frozenset({UNKNOWN}),)


def shown(said: Said) -> dict[str, Any]:
    """What a source said, as a record keeps it: no address, and nothing that it did not say."""
    fields: dict[str, Any] = {"source": said.source, "asked": list(said.asked)}
    if said.country:
        fields["country"] = said.country
    if said.subdivisions:
        fields["subdivisions"] = list(said.subdivisions)
    if said.asn:
        fields["asn"] = said.asn
    if said.kinds:
        fields["kinds"] = list(said.kinds)
    if said.trouble:
        fields["trouble"] = said.trouble
    return fields


def as_shown(fields: object) -> Said | None:
    """The same read from a record; None where it is none."""
    if not isinstance(fields, dict) or not isinstance(fields.get("source"), str):
        return None
    lists = {name: fields.get(name) or () for name in ("asked", "subdivisions", "kinds")}
    words = [fields.get("country") or "", fields.get("trouble") or ""]
    asn = fields.get("asn") or 0
    if not all(isinstance(part, list | tuple) and len(part) <= 64 for part in lists.values()) or type(asn) is not int:
        return None
    if not all(
        isinstance(word, str) and len(word) <= 64 for word in [*words, *(w for part in lists.values() for w in part)]
    ):
        return None
    return Said(
        fields["source"][:128],
        tuple(lists["asked"]),
        words[0],
        tuple(lists["subdivisions"]),
        asn,
        tuple(lists["kinds"]),
        words[1],
    )
