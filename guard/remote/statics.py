"""What a tariff becomes while the store doesn't answer: which of its limits let everything pass then, and which nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from guard.charges import Bill, SlotLimit, Tariff
from guard.meters import COST_MAX

_UNBOUNDED = 2.0 * COST_MAX
_MANY_SLOTS = 2.0**40


class Static(NamedTuple):
    """One tariff, for that time."""

    tariff: Tariff
    look: Tariff
    """The same meters, nothing taken."""
    slots: Tariff | None
    """Its slots alone, of which there is always one more: to count those that the store has given."""
    shut_meter: int
    """The first meter that lets nothing pass; −1: none."""
    shut_slot: int


def static_of(tariff: Tariff) -> Static:
    """An open limit has room for everything; one that is shut and only in shadow has none."""
    amounts = {**dict.fromkeys(tariff.open, _UNBOUNDED), **dict.fromkeys(tariff.shut, 0.0)}
    meters = tuple([meter._replace(amount=amounts.get(meter.limit, meter.amount)) for meter in tariff.meters])
    slots = tuple([slot._replace(most=_MANY_SLOTS) if slot.limit in tariff.open else slot for slot in tariff.slots])
    shut_meters = [place for place, meter in enumerate(meters) if meter.limit in tariff.shut and not meter.shadow]
    shut_slots = [place for place, slot in enumerate(slots) if slot.limit in tariff.shut and not slot.shadow]
    counted = tuple([SlotLimit(slot.limit, _MANY_SLOTS, slot.shadow) for slot in tariff.slots])
    return Static(
        replace(tariff, meters=meters, slots=slots),
        replace(tariff, meters=meters, slots=(), book=False),
        replace(tariff, meters=(), slots=counted) if counted else None,
        shut_meters[0] if shut_meters else -1,
        shut_slots[0] if shut_slots else -1,
    )


def limits_of(bills: Sequence[Bill], numbers: Sequence[int]) -> Iterator[str]:
    """The limits of some charges, numbered as in ``Taken``."""
    limits = [meter.limit for bill in bills for meter in bill.tariff.meters]
    limits += [slot.limit for bill in bills for slot in bill.tariff.slots]
    for number in numbers:
        yield limits[number]


__all__ = ["Static", "limits_of", "static_of"]
