"""What limits ask of a store, and what it answers.

A ``Charge`` is one meter charged once. A ``Bill`` stands for all charges of one exchange on one subject: what never changes
about them is compiled once for each policy, as a ``Tariff``, so that a request only names whose bill it is, what it costs
and f. A store may treat a bill as its charges one by one; it may also find the subject once and touch nothing but numbers,
or send it as one call: everything of one subject lies together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, inf
from typing import Any, Literal, NamedTuple

from guard.meters import COST_MAX

UNITS = ("requests", "tokens", "cost")
CONCURRENT: Literal["concurrent"] = "concurrent"


class Charge(NamedTuple):
    """One meter to be charged with one request's cost.

    ``meter`` = (limit id, unit, window ordinal as text, subject): the meter's identity, which neither a change of amount nor
    of f touches. ``subject`` is a keyed hash, a model name, or ``""`` for all together. ``capacity`` and ``rate_per_s`` have
    f applied already. A concurrency slot is a charge too: cost 1, rate 0, ``capacity`` the number of slots.
    """

    meter: tuple[str, str, str, str]
    cost: float
    capacity: float
    rate_per_s: float
    shard: int = 0
    """0 to 255: whose overflow meter it falls to when the table of its kind has no room."""
    provisional: bool = False
    """Nobody has vouched for the subject yet: it lives in the small table of its own."""
    book: bool = True
    """False: check the room, take nothing."""
    guarded: str = ""
    """The kind of a subject of which there are as many as clients like (``account``, ``user``, ``model``, …): those of a kind
    share one bounded table. ``""``: there are only as many as the policy names."""
    shadow: bool = False
    """Never refuses. Without room, nothing of the limit (``meter[0]``) is taken and the charge is named in ``Taken.shadow``."""
    estimate: bool = False
    """``settle`` will correct the cost; it gives back no more than was still there all the while (see ``meters.py``)."""


class Metered(NamedTuple):
    """One window of one limit. ``place`` is the unit's in ``UNITS``; what is not counted in requests is an estimate."""

    limit: str
    unit: str
    ordinal: str
    amount: float
    rate_per_s: float
    place: int
    shadow: bool = False


class SlotLimit(NamedTuple):
    """How many exchanges of a subject may be under way at once."""

    limit: str
    most: float
    shadow: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Tariff:
    """Everything that one kind of subject is charged, at f = 1. Equal to nothing but itself: stores keep what they derive
    from it by its identity."""

    kind: str
    """The kind of subject, as ``Charge.guarded``; with a ``?`` behind it where nobody has vouched for the subject."""
    meters: tuple[Metered, ...]
    slots: tuple[SlotLimit, ...] = ()
    book: bool = True
    """False: check the room, take nothing."""
    kept: bool = True
    """False: made for one call, so that nothing derived from it is worth keeping."""
    open: frozenset[str] = frozenset()
    """The limits that let everything pass while a shared store does not answer."""
    shut: frozenset[str] = frozenset()
    """The limits that let nothing pass then."""


class Bill(NamedTuple):
    """One exchange's charges on one subject. ``costs`` are in the order of ``UNITS``, none below 0."""

    tariff: Tariff
    subject: str
    costs: tuple[float, float, float]
    factor: float = 1.0
    shard: int = 0

    def charges(self) -> list[Charge]:
        """The same, one by one."""
        tariff, subject, costs, factor, shard = self
        provisional, kind = tariff.kind.endswith("?"), tariff.kind.removesuffix("?")
        return [
            Charge(
                (limit, unit, ordinal, subject),
                costs[place],
                amount * factor,
                rate * factor,
                shard,
                provisional,
                tariff.book,
                kind,
                shadow,
                place > 0,
            )
            for limit, unit, ordinal, amount, rate, place, shadow in tariff.meters
        ]

    def slots(self) -> list[Charge]:
        """The concurrency slots that it takes besides."""
        tariff, subject, _, factor, shard = self
        provisional, kind = tariff.kind.endswith("?"), tariff.kind.removesuffix("?")
        return [
            Charge(
                (limit, CONCURRENT, "0", subject),
                1.0,
                slots_at(most, factor),
                0.0,
                shard,
                provisional,
                tariff.book,
                kind,
                shadow,
            )
            for limit, most, shadow in tariff.slots
        ]


class Spent(NamedTuple):
    """What an exchange came to, by unit. What was reserved beyond it comes back, what is missing is charged."""

    requests: float
    tokens: float
    cost: float


class Taken(NamedTuple):
    """The outcome of ``Store.take``: all charges or none. Charges are numbered as the bills (and lone charges) stand, the
    charges of a bill as its meters do, and after all of them the slots.

    ``refused`` is the number of the charge without room that takes longest to clear (−1: admitted); ``retry_after_s`` until
    it has room. ``levels`` are the levels after the call; ``meters`` where each lone charge was really booked (the meter or
    its overflow), in the store's own words; ``shadow`` the numbers of the shadow charges that would have refused.
    """

    refused: int
    retry_after_s: float
    levels: tuple[float, ...]
    meters: tuple[tuple[str, ...], ...]
    shadow: tuple[int, ...] = ()


class Slots(NamedTuple):
    """Concurrency to be held, all or none, as a lease that ends by itself at ``ends_at``. ``wanted`` goes with
    lone charges; bills name their own."""

    wanted: tuple[Charge, ...]
    ends_at: float


def slots_at(most: float, factor: float) -> float:
    """Slots that f leaves: one at least."""
    return max(1.0, floor(most * factor))


def as_bills(charges: Sequence[Any], wanted: Sequence[Charge]) -> list[Bill]:
    """A bill for each charge, and then one for each slot. A cost that is no amount never fits."""
    bills = []
    for (
        limit,
        unit,
        ordinal,
        subject,
    ), cost, capacity, rate, shard, provisional, book, kind, shadow, estimate in charges:
        if not 0.0 <= cost <= COST_MAX:
            cost, capacity = (0.0, capacity) if cost < 0.0 else (inf, 0.0)
        metered = Metered(limit, unit, ordinal, capacity, rate, int(estimate), shadow)
        tariff = Tariff(f"{kind}?" if provisional else kind, (metered,), book=book, kept=False)
        bills.append(Bill(tariff, subject, (cost, cost, cost), 1.0, shard))
    for slot in wanted:
        limited = SlotLimit(slot.meter[0], slot.capacity, slot.shadow)
        bills.append(Bill(Tariff(slot.guarded, (), (limited,), slot.book, kept=False), slot.meter[3], (0.0, 0.0, 0.0)))
    return bills
