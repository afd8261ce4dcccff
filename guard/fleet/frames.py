"""What the leader tells: what changed of all that the hot path reads. The form in which verdicts travel.

    frame   "gf" version | sizes | head (JSON) | accounts | traits | meters | answers given
    head    token and number of the frame, time, exchanges seen, what clusters are (``keeping.of_cluster``), which are gone, …

A *whole* is several frames that say everything; each may be adopted by itself, the last one says that it was all.
Keyed hashes and numbers only. What is none, or a newer one's, is refused as a whole.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from math import isfinite
from struct import Struct, error
from typing import Any, NamedTuple

import orjson

from guard.errors import StateError

VERSION = 1
MOST_BYTES = 32 * 1024 * 1024
"""Of one frame, unpacked."""
_MAGIC = b"gf"
_START = Struct("<2sBBIIIII")
_PACKED = 1
_WORTH_PACKING_BYTES = 4_096
_ACCOUNT = Struct("<16sIIIIIIHBbddddddIq")
_TRAIT = Struct("<QI")
_METER = Struct("<Qffdd")
_GIVEN = Struct("<QIId")
_DATED, _GRANTED = 1, 2


class Seen(NamedTuple):
    """What followers are told of an account. ``today``: what it has taken today; −1 in ``verified``: nobody states it."""

    key: str
    number: int
    cluster: int
    bearing: int
    exchanges: int
    client: int
    cleared: int
    today: int
    dated: bool
    granted: bool
    verified: int
    born: float
    first_at: float
    last_at: float
    first_bearing_at: float
    stopped_at: float
    asked: float
    network: int
    hops: int


class Given(NamedTuple):
    """An account received an answer (``Answers.give``)."""

    answer: int
    number: int
    talk: int
    at: float


class Meter(NamedTuple):
    """A joint meter. ``room`` inf: it has no limit any more. ``trait`` 0: the pool's."""

    trait: int
    room: float
    rate: float
    level: float
    as_of: float


class Frame(NamedTuple):
    """``token``: the leader's, greater for each later one; ``number``: the frame's, one more each; 0: part of a whole.
    ``traits``: trait → the cluster's number (0: nobody's) and whether it is proven."""

    token: int
    number: int
    at: float
    more: Mapping[str, Any]
    accounts: Sequence[Seen] = ()
    traits: Sequence[tuple[int, int, bool]] = ()
    meters: Sequence[Meter] = ()
    given: Sequence[Given] = ()


def packed(frame: Frame) -> bytes:
    """The frame as bytes."""
    head = orjson.dumps({**frame.more, "token": frame.token, "number": frame.number, "at": frame.at})
    accounts = b"".join([_account(one) for one in frame.accounts])
    traits = b"".join([_TRAIT.pack(trait, number << 1 | proven) for trait, number, proven in frame.traits])
    meters = b"".join([_METER.pack(*one) for one in frame.meters])
    given = b"".join([_GIVEN.pack(*one) for one in frame.given])
    parts = (head, accounts, traits, meters, given)
    sizes = [len(part) for part in parts]
    body = b"".join(parts)
    if len(body) < _WORTH_PACKING_BYTES:
        return _START.pack(_MAGIC, VERSION, 0, *sizes) + body
    return _START.pack(_MAGIC, VERSION, _PACKED, *sizes) + zlib.compress(body, 1)


def read(content: bytes) -> Frame:
    """A frame. Raises ``StateError`` for what is none, and for one of a newer version."""
    try:
        magic, version, how, *sizes = _START.unpack_from(content)
        if magic != _MAGIC:
            raise StateError("what stands among the leader's findings is none of guard's")
        if version != VERSION:
            raise StateError(f"findings of version {version} can't be read; this guard reads {VERSION}: update it")
        total = sum(sizes)
        if total > MOST_BYTES:
            raise StateError("the leader's findings are too large to be some")
        body = content[_START.size :]
        if how & _PACKED:
            unpacking = zlib.decompressobj()
            body = unpacking.decompress(body, total + 1)
            body = body if unpacking.eof else b""
        if len(body) != total:
            raise StateError("the leader's findings are torn")
        parts = []
        place = 0
        for size in sizes:
            parts.append(body[place : place + size])
            place += size
        head = orjson.loads(parts[0])
        token, number, at = int(head["token"]), int(head["number"]), float(head["at"])
        accounts = [_seen(row) for row in _ACCOUNT.iter_unpack(parts[1])]
        traits = [(trait, held >> 1, bool(held & 1)) for trait, held in _TRAIT.iter_unpack(parts[2])]
        meters = [Meter(*row) for row in _METER.iter_unpack(parts[3])]
        given = [Given(*row) for row in _GIVEN.iter_unpack(parts[4])]
        if (
            not isfinite(at)
            or not all([isfinite(one.at) for one in given])
            or not all(
                [
                    meter.level >= 0.0 and meter.rate >= 0.0 and meter.as_of >= 0.0 and meter.room >= 0.0
                    for meter in meters
                ]
            )
        ):
            raise ValueError("a meter that can't be")
    except (error, ValueError, KeyError, TypeError, zlib.error) as broken:
        raise StateError(f"the leader's findings are torn ({type(broken).__name__})") from broken
    return Frame(token, number, at, head, accounts, traits, meters, given)


def _account(one: Seen) -> bytes:
    flags = one.dated * _DATED | one.granted * _GRANTED
    return _ACCOUNT.pack(
        bytes.fromhex(one.key),
        one.number,
        one.cluster,
        one.bearing,
        one.exchanges,
        one.client,
        one.cleared,
        one.today,
        flags,
        one.verified,
        one.born,
        one.first_at,
        one.last_at,
        one.first_bearing_at,
        one.stopped_at,
        one.asked,
        one.network,
        one.hops,
    )


def _seen(row: tuple[Any, ...]) -> Seen:
    key, *numbers, flags, verified, born, first_at, last_at, first_bearing_at, stopped_at, asked, network, hops = row
    number, cluster, bearing, exchanges, client, cleared, today = numbers
    if not all([isfinite(time) for time in (born, first_at, last_at, first_bearing_at, stopped_at, asked)]):
        raise ValueError("an account's times can't be")
    return Seen(
        key.hex(), number, cluster, bearing, exchanges, client, cleared, today, bool(flags & _DATED), bool(flags & _GRANTED),
        verified, born, first_at, last_at, first_bearing_at, stopped_at, asked, network, hops,
    )  # fmt: skip
