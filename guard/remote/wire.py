"""Bills → the arguments of ``take.lua`` and ``settle.lua``, and their answers back. Everything is packed, little-endian.

What never changes about a tariff is packed once; a call adds what it costs and what was seen last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from struct import Struct, error
from typing import NamedTuple

from guard.charges import CONCURRENT, Bill, Tariff
from guard.remote import names
from guard.remote.debts import Owed

CLOCK = Struct("<dd")
_HEAD = Struct("<dd8sBB")
_BILL = Struct("<dddd")
_FORM = Struct("<BHH")
_METER = Struct("<8s8sddB4s")
_SLOT = Struct("<8sdB4s")
_OWED = Struct("<8sH")
_ROW = Struct("<8sddd")
_SETTLE = Struct("<B8s8sddHH")
_AMOUNT = Struct("<8s8sdddB")
_REPLY_HEAD = Struct("<dI")
_OUTCOME = Struct("<BiddddH8s")
_SETTLED = Struct("<dII")
_FORMS_KEPT = 4_096
AHEAD_S = 60.0
"""A record written later than so long after now is no such record."""
SETTLE, HOLD = 0, 1
# A meter that nobody has charged yet drains its debt in a day, until somebody does.
_UNKNOWN_S = 86_400.0


class Form(NamedTuple):
    """One tariff for one subject within its record, packed."""

    packed: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    """Of each meter: its own, and the one it shares where the record is full."""
    slots: tuple[bytes, ...]


class Forms(dict[Tariff, Form]):
    """The forms of tariffs whose subject is the whole record, and beside them those of parts of one."""

    def __init__(self) -> None:
        super().__init__()
        self._within: dict[tuple[Tariff, str], Form] = {}
        self.rates: dict[tuple[str, str, str], float] = {}
        """How fast the meters drain that were packed last."""

    def __missing__(self, tariff: Tariff) -> Form:
        form = packed(tariff, "")
        self._rated(tariff)
        if tariff.kept:
            if len(self) >= _FORMS_KEPT:
                self.clear()  # of policies that are no more
            self[tariff] = form
        return form

    def within(self, tariff: Tariff, rest: str) -> Form:
        """The form for a part of a record."""
        form = self._within.get((tariff, rest))
        if form is None:
            form = packed(tariff, rest)
            self._rated(tariff)
            if tariff.kept and len(rest) <= 256:
                if len(self._within) >= _FORMS_KEPT:
                    self._within.clear()
                self._within[tariff, rest] = form
        return form

    def _rated(self, tariff: Tariff) -> None:
        if len(self.rates) >= _FORMS_KEPT:
            self.rates.clear()
        for meter in tariff.meters:
            self.rates[meter[:3]] = meter.rate_per_s


class Outcome(NamedTuple):
    """What the store says of one call. ``mark`` tells the record from another one under the same key."""

    refused: int
    wait_s: float
    hits: float
    touched: float
    lost_at: float
    mark: bytes
    levels: tuple[float, ...]
    lacking: tuple[int, ...]


class Replies(NamedTuple):
    """What the store says of many: its time, how many things it found that nobody could have written, and each call's outcome
    (None: the store could not do it)."""

    now: float
    healed: int
    outcomes: list[Outcome | None]


def packed(tariff: Tariff, rest: str) -> Form:
    """The form of a tariff. Raises ``ValueError`` for one of more than 65,535 meters."""
    parts = [b""]
    fields = []
    slots = []
    for limit, unit, ordinal, amount, rate, place, shadow in tariff.meters:
        own = names.meter(limit, unit, ordinal, rest)
        shared = names.spill(limit, unit, ordinal) if rest else own
        fields.append((own, shared))
        parts.append(_METER.pack(own, shared, amount, rate, place | (4 if shadow else 0), names.group(limit)))
    for limit, most, shadow in tariff.slots:
        slots.append(names.meter(limit, CONCURRENT, "0", rest))
        parts.append(_SLOT.pack(slots[-1], most, 1 if shadow else 0, names.group(limit)))
    try:
        parts[0] = _FORM.pack((1 if tariff.book else 0) | (2 if rest else 0), len(tariff.meters), len(tariff.slots))
    except error as cause:
        raise ValueError("a tariff has too many meters") from cause
    return Form(b"".join(parts), tuple(fields), tuple(slots))


def asked(  # noqa: PLR0917 - named arguments cost more
    bills: Sequence[Bill],
    forms: Sequence[Form],
    bases: Sequence[float],
    seen_at: float,
    lease_s: float,
    token: bytes,
) -> bytes:
    """One account's call. ``bases`` are the levels of all meters as last seen, in order, drained since (empty: never seen);
    ``token`` is eight bytes that nobody else has."""
    parts = [_HEAD.pack(seen_at, lease_s, token, 1 if bases else 0, len(bills))]
    for (_, _, costs, factor, _), form in zip(bills, forms, strict=True):
        parts += (_BILL.pack(*costs, factor), form.packed)
    if bases:
        parts.append(_doubles(len(bases)).pack(*bases))
    return b"".join(parts)


def with_debt(blob: bytes, owed: Owed, kind: str, rates: Mapping[tuple[str, str, str], float]) -> bytes:
    """The same call, and before it what is owed. ``kind`` is that of the record, ``rates`` those of its meters as far as known."""
    seen_at, lease_s, token, flags, bills = _HEAD.unpack_from(blob)
    parts = [_HEAD.pack(seen_at, lease_s, token, flags | 2, bills), blob[_HEAD.size :]]
    parts.append(_OWED.pack(names.token(owed.outage), len(owed.rows)))
    for (limit, unit, ordinal, subject), base, delta in owed.rows:
        field = names.meter(limit, unit, ordinal, names.rest(kind, subject))
        parts.append(_ROW.pack(field, base, delta, rates.get((limit, unit, ordinal), (base + abs(delta)) / _UNKNOWN_S)))
    return b"".join(parts)


def answered(reply: bytes, counts: Sequence[int]) -> Replies:
    """What the store says of several calls, each of so many meters and slots. Raises ``ValueError`` for what is no answer."""
    try:
        now, healed = _REPLY_HEAD.unpack_from(reply)
        at = _REPLY_HEAD.size
        outcomes: list[Outcome | None] = []
        for count in counts:
            if reply[at]:
                outcomes.append(None)
                at += 1
                continue
            _, refused, wait_s, hits, touched, lost_at, many, mark = _OUTCOME.unpack_from(reply, at)
            at += _OUTCOME.size
            levels = _doubles(count).unpack_from(reply, at)
            at += 8 * count
            lacking: tuple[int, ...] = ()
            if many:
                lacking = Struct(f"<{many}H").unpack_from(reply, at)
                at += 2 * many
            outcomes.append(Outcome(refused, wait_s, hits, touched, lost_at, mark, levels, lacking))
    except (error, IndexError, TypeError) as cause:
        raise ValueError("the store's answer is none") from cause
    if at != len(reply):
        raise ValueError("the store's answer is longer than it may be")
    return Replies(now, healed, outcomes)


def told(refused: int, wait_s: float, levels: tuple[float, ...], lacking: tuple[int, ...]) -> Outcome:
    """An outcome that no record has said."""
    return Outcome(refused, wait_s, 0.0, 0.0, 0.0, bytes(8), levels, lacking)


class Correction(NamedTuple):
    """One meter of a lease: what was reserved on it, and by how much it came out dearer (cheaper: below 0)."""

    field: bytes
    spill: bytes
    reserved: float
    amount: float
    rate_per_s: float
    estimate: bool


def settled(  # noqa: PLR0917 - the fields of one message
    mark: bytes,
    token: bytes,
    start: float,
    corrections: Sequence[Correction],
    slots: Sequence[bytes],
    hold_s: float = 0.0,
) -> bytes:
    """One lease, ended: its corrections, and the slots (fields) that it gives back. ``hold_s``: it is lengthened instead, to
    so long from now."""
    parts = [_SETTLE.pack(HOLD if hold_s else SETTLE, mark, token, start, hold_s, len(corrections), len(slots))]
    parts += [_AMOUNT.pack(*correction) for correction in corrections]
    return b"".join([*parts, *slots])


def ended(reply: bytes) -> tuple[float, int, int]:
    """The answer to ``settled``: the store's time, what was healed, how much was changed. Raises ``ValueError``."""
    try:
        now, healed, changed = _SETTLED.unpack(reply)
    except (error, TypeError) as cause:
        raise ValueError("the store's answer is none") from cause
    return now, healed, changed


@cache
def _doubles(count: int) -> Struct:
    return Struct(f"<{count}d")
