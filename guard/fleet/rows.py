"""What a replica tells of its exchanges: a row each, packed, in batches. The form in which exchanges travel.

    batch   "gr" version | replica (8 bytes), its so many-th batch, when it was sent | rows | what clusters' exchanges came to
    row     kind, flags, account (key), time, what the operator states of it | traits, slot, gist, reading, turns, model, network

Keyed hashes and numbers only. About 200 bytes a row. Whoever reads one makes the exchange of it again, as far as recognition
looks at it; a batch that is none, or a newer one's, is refused as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, isnan, nan
from struct import Struct, error, pack, unpack_from
from typing import NamedTuple

from guard.errors import StateError
from guard.samples import GIST
from guard.talk import NO_TALK, Talk
from guard.types import UNKNOWN, Account, Exchange, Facet, Features, Peer

VERSION = 1
LOOK, BOOKED, FAILED, GAVE, ACCEPTED, RENAMED = 1, 2, 3, 4, 5, 6
"""Kinds of rows: an exchange came; ceilings and pool let one pass that came in an earlier batch; one was not answered with 200; who
received an answer (``sealed`` then are the answer's own hashes); the app answers a credential that nobody had vouched for; an account
has another name, under another hashing key (``sealed``: the name before). Rows of a later kind are passed over."""
KINDS = ("system", "tools", "shingle", "opening", "closing", "stack", "parameters")
"""The kinds of traits that recognition looks at; the first five are of the text."""
_CODES = {kind: code for code, kind in enumerate(KINDS)}
_TEXT = 5
_GRANTED, _BOOKED, _STATED, _GIST, _TALK, _CONTAINED, _GOES_ON = 1, 2, 4, 8, 16, 32, 64
_MAGIC = b"gr"
_HEAD = Struct("<2sB8sIdHH")
_ROW = Struct("<BBbBBB16sddQdIIIB")
_TALK_PARTS = Struct("<QQQ")
_KEY_AT = 6
_CAME_TO = Struct("<BIQQ")
_UNSTATED = "0" * 32
_MOST_TOKENS = 0xFFFFFFFF


class Row(NamedTuple):
    """One row. ``exchange`` is as much of it as recognition looks at."""

    kind: int
    at: float
    exchange: Exchange
    granted: bool = False
    booked: bool = False
    """Ceilings and pool let it pass."""
    contained: bool = False
    """It was not answered because it is a cluster's."""


class CameTo(NamedTuple):
    """What the answered exchanges of a cluster (by name) came to."""

    cluster: str
    answered: int
    input_tokens: int
    output_tokens: int


class Batch(NamedTuple):
    """``number``: the replica's so many-th; one that was sent twice is known by it. ``sent_at``: by the replica's clock."""

    replica: bytes
    number: int
    sent_at: float
    rows: list[Row]
    came_to: list[CameTo]


def packed(row: Row, model: int, network: int) -> bytes:
    """One row. ``model`` and ``network``: 32 keyed bits each."""
    kind, at, exchange, granted, booked, contained = row
    account, features = exchange.account, exchange.features
    codes: list[int] = []
    values: list[int] = []
    reading = 0.0
    gist = stated = b""
    turns = tokens = 0
    if kind in (LOOK, BOOKED):
        for facet, value in features.facets:
            code = _CODES.get(facet)
            if code is not None:
                codes.append(code)
                values.append(value)
        if features.readings:
            reading = max([read for _, read in features.readings])
        if len(features.gist) == GIST:
            gist = features.gist
        turns, tokens = min(features.turns, 255), min(features.input_tokens, _MOST_TOKENS)
        if account.payment or account.signup or account.org:
            named = (account.payment, account.signup, account.org)
            stated = bytes.fromhex("".join([(one or _UNSTATED)[:16] for one in named]))
        del codes[255:], values[255:]
    sealed = features.sealed[:255]
    talk = _TALK_PARTS.pack(*features.talk) if features.talk != NO_TALK else b""
    flags = granted * _GRANTED | booked * _BOOKED | bool(stated) * _STATED | bool(gist) * _GIST
    flags |= bool(talk) * _TALK | contained * _CONTAINED | features.goes_on * _GOES_ON
    verified = -1 if account.verified is None else int(account.verified)
    created = nan if account.created is None else account.created
    key = bytes.fromhex(account.key)
    head = _ROW.pack(
        kind, flags, verified, turns, len(codes), len(key), key, at, created, features.slot, reading, model, network, tokens, len(sealed)
    )  # fmt: skip
    told = pack(f"<{len(values)}Q", *values)
    return b"".join((head, stated, gist, bytes(codes), told, talk, pack(f"<{len(sealed)}Q", *sealed)))


def text_traits(row: bytes) -> tuple[int, ...]:
    """The traits of a packed row's text."""
    count, flags = row[4], row[1]
    start = _ROW.size + 24 * bool(flags & _STATED) + GIST * bool(flags & _GIST)
    codes = row[start : start + count]
    values = unpack_from(f"<{count}Q", row, start + count)
    return tuple([value for code, value in zip(codes, values, strict=True) if code < _TEXT])


def account(row: bytes) -> bytes:
    """Whose a packed row is."""
    return row[_KEY_AT : _KEY_AT + row[_KEY_AT - 1]]


def batch(replica: bytes, number: int, sent_at: float, rows: Sequence[bytes], came_to: Sequence[CameTo] = ()) -> bytes:
    """At most 65,535 rows as one batch."""
    told = [
        _CAME_TO.pack(len(name := one.cluster.encode()[:255]), one.answered, one.input_tokens, one.output_tokens) + name
        for one in came_to
    ]
    return b"".join((_HEAD.pack(_MAGIC, VERSION, replica, number, sent_at, len(rows), len(told)), *rows, *told))


def read(content: bytes) -> Batch:
    """A batch. Raises ``StateError`` for what is none, and for one of a newer version."""
    try:
        magic, version, replica, number, sent_at, count, told = _HEAD.unpack_from(content)
        if magic != _MAGIC or not isfinite(sent_at):
            raise StateError("what stands among the replicas' exchanges is no batch of guard's")
        if version != VERSION:
            raise StateError(f"a batch of exchanges of version {version} can't be read; this guard reads {VERSION}")
        place = _HEAD.size
        rows = []
        for _ in range(count):
            row, place = _row(content, place)
            rows.append(row)
        came_to = []
        for _ in range(told):
            size, *counts = _CAME_TO.unpack_from(content, place)
            place += _CAME_TO.size
            came_to.append(CameTo(content[place : place + size].decode(), *counts))
            place += size
        if place != len(content):
            raise StateError("a batch of exchanges has more in it than it says")
    except (error, IndexError, ValueError) as broken:
        raise StateError(f"a batch of exchanges is torn ({type(broken).__name__})") from broken
    return Batch(replica, number, sent_at, rows, came_to)


def _row(content: bytes, place: int) -> tuple[Row, int]:
    kind, flags, verified, turns, count, size, key, at, *more = _ROW.unpack_from(content, place)
    created, slot, reading, model, network, tokens, sealed_count = more
    if not isfinite(at) or not 0.0 <= reading <= 1.0 or kind < LOOK or size > len(key):
        raise ValueError("a row that can't be")
    place += _ROW.size
    payment = signup = org = ""
    if flags & _STATED:
        stated = content[place : place + 24].hex()
        payment, signup, org = (_stated(stated[first : first + 16]) for first in (0, 16, 32))
        place += 24
    gist = b""
    if flags & _GIST:
        gist = content[place : place + GIST]
        place += GIST
    codes = content[place : place + count]
    values = unpack_from(f"<{count}Q", content, place + count)
    place += 9 * count
    talk = NO_TALK
    if flags & _TALK:
        talk = Talk(*_TALK_PARTS.unpack_from(content, place))
        place += _TALK_PARTS.size
    sealed = unpack_from(f"<{sealed_count}Q", content, place)
    place += 8 * sealed_count
    account = Account(
        key[:size].hex(),
        created=None if isnan(created) else created,
        verified=None if verified < 0 else bool(verified),
        payment=payment,
        signup=signup,
        org=org,
    )
    features = Features(
        VERSION,
        "",
        f"{model:08x}",
        False,
        tuple([Facet(KINDS[code], value) for code, value in zip(codes, values, strict=True)]),
        (("", reading),) if reading else (),
        tokens,
        None,
        turns=turns,
        slot=slot,
        gist=gist,
        talk=talk,
        sealed=sealed,
        goes_on=bool(flags & _GOES_ON),
    )
    exchange = Exchange(account, Peer(network=UNKNOWN, subnet=network), "", features)
    read_row = Row(kind, at, exchange, bool(flags & _GRANTED), bool(flags & _BOOKED), bool(flags & _CONTAINED))
    return read_row, place


def _stated(digits: str) -> str:
    return "" if digits == _UNSTATED[:16] else digits
