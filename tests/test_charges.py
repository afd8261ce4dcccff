"""Bills and charges are two ways to say the same thing."""

from __future__ import annotations

from math import inf, nan

import pytest

from guard.charges import Bill, Charge, Metered, SlotLimit, Tariff, as_bills, slots_at

TARIFF = Tariff(
    "account?",
    (
        Metered("free", "requests", "0", 10.0, 0.5, 0),
        Metered("free", "tokens", "1", 4_000.0, 2.0, 1),
        Metered("trial", "cost", "0", 3.0, 0.25, 2, True),
    ),
    (SlotLimit("free", 5), SlotLimit("trial", 1, True)),
)
BILL = Bill(TARIFF, "a" * 32, (1.0, 700.0, 0.02), 0.5, 9)


def test_a_bill_says_its_charges_one_by_one() -> None:
    """With f applied, in the order of its meters; what is not counted in requests is an estimate."""
    own = {"shard": 9, "provisional": True, "guarded": "account"}

    assert BILL.charges() == [
        Charge(("free", "requests", "0", "a" * 32), 1.0, 5.0, 0.25, **own),
        Charge(("free", "tokens", "1", "a" * 32), 700.0, 2_000.0, 1.0, **own, estimate=True),
        Charge(("trial", "cost", "0", "a" * 32), 0.02, 1.5, 0.125, **own, estimate=True, shadow=True),
    ]
    assert BILL.slots() == [
        Charge(("free", "concurrent", "0", "a" * 32), 1.0, 2.0, 0.0, **own),
        Charge(("trial", "concurrent", "0", "a" * 32), 1.0, 1.0, 0.0, **own, shadow=True),
    ]


def test_charges_made_into_bills_are_the_same_charges() -> None:
    charges, slots = BILL.charges(), BILL.slots()
    bills = as_bills(charges, slots)

    assert [charge for bill in bills for charge in bill.charges()] == charges
    assert [slot._replace(shard=9) for bill in bills for slot in bill.slots()] == [
        slot._replace(provisional=False) for slot in slots
    ]


@pytest.mark.parametrize(("cost", "charged"), [(-3.0, 0.0), (nan, inf), (inf, inf), (2.0**51, inf), (2.0**50, 2.0**50)])
def test_a_cost_that_is_no_amount_becomes_nothing_or_never_fits(cost: float, charged: float) -> None:
    charge = Charge(("free", "tokens", "0", "a"), cost, 1e9, 1.0)
    (bill,) = as_bills([charge], ())

    assert bill.costs == (charged,) * 3
    assert (bill.tariff.meters[0].amount <= 0.0) == (charged == inf)


@pytest.mark.parametrize(("most", "factor", "left"), [(10, 1.0, 10), (10, 0.25, 2), (10, 0.02, 1), (1, 0.5, 1)])
def test_f_leaves_one_slot_at_least(most: int, factor: float, left: float) -> None:
    assert slots_at(most, factor) == left
