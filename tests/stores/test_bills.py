"""Bills: a store that is handed one does what it would do with its charges one by one."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from guard.charges import Metered, SlotLimit
from guard.contracts import Bill, Charge, Slots, Spent, Store, Tariff
from guard.stores.memory import MemoryStore
from tests.stores.stands import Maker

T0 = 1_700_000_000.0
NO_SLOTS = Slots((), T0 + 1e6)
NOTHING = Spent(0.0, 0.0, 0.0)


FREE = (
    Metered("free", "requests", "0", 20.0, 2.0, 0),
    Metered("free", "requests", "1", 60.0, 0.1, 0),
    Metered("free", "tokens", "0", 5_000.0, 50.0, 1),
    Metered("free", "cost", "0", 9.0, 0.05, 2),
)
TRIAL = (Metered("trial", "tokens", "0", 1_500.0, 20.0, 1, True), Metered("trial", "requests", "0", 9.0, 1.0, 0, True))
ACCOUNT = Tariff("account", FREE, (SlotLimit("free", 6),))
BOTH = Tariff("account", FREE + TRIAL, (SlotLimit("free", 6), SlotLimit("trial", 3, True)))
STRANGER = Tariff("account?", FREE, (SlotLimit("free", 6),))
NEWCOMER = Tariff("user", FREE, (SlotLimit("free", 6),))
JOINT = Tariff("", (Metered("all", "tokens", "0", 30_000.0, 400.0, 1),), (SlotLimit("all", 40),))
LOOK = Tariff("", JOINT.meters, JOINT.slots, book=False)


def test_a_bill_is_taken_and_settled_as_its_charges(kind: Maker) -> None:
    """The same life in two stores, in one by bills and in the other by charges: answers in any order, f, limits that hold
    now and then, limits in shadow, looks, slots, refusals. The outcomes are the same to the last bit but rounding. (Of a
    shared store, only what is an account's own: strangers never reach it, and what many share is bought in lots.)"""
    chance = random.Random(11)
    billed, single = kind(), kind()
    local = isinstance(billed, MemoryStore)
    looker = STRANGER if local else NEWCOMER
    joint, look = [each if local else replace(each, kind="account") for each in (JOINT, LOOK)]
    all_of_them = "" if local else "f" * 32
    now = T0
    under_way: list[tuple[int, int, list[Charge], list[tuple[str, ...]], tuple[float, float, float]]] = []
    outcomes = {"taken": 0, "refused": 0, "spared": 0}
    for _ in range(6_000 if local else 3_000):
        now += chance.choice([0.0, 0.0, 0.01, 0.3, 2.0, 9.0])
        if under_way and chance.random() < 0.5:
            lease, other, charges, places, costs = under_way.pop(chance.randrange(len(under_way)))
            spent = chance.choice([NOTHING, Spent(1.0, costs[1] * chance.choice([0.01, 1.0, 1.5]), costs[2] * 0.5)])
            amounts = [spent[("requests", "tokens", "cost").index(charge.meter[1])] - charge.cost for charge in charges]
            assert billed.settle(spent, lease, now)
            assert single.settle(list(zip(places, amounts, strict=True)), other, now)
            continue
        name = f"{chance.randrange(4):032x}"
        costs = (1.0, chance.choice([0.0, 30.0, 400.0, 2_000.0, 7_000.0]), chance.choice([0.0, 0.2]))
        tariff = chance.choice([ACCOUNT, ACCOUNT, BOTH, looker])
        bills = [
            Bill(tariff, name, costs, chance.choice([1.0, 1.0, 0.5, 0.02]), 7),
            Bill(look if tariff is looker else joint, all_of_them, costs, 1.0, 7),
        ]
        charges = [charge for bill in bills for charge in bill.charges()]
        slots = [slot for bill in bills for slot in bill.slots()]
        taken, lease = billed.take(bills, NO_SLOTS, now)
        apart, other = single.take(charges, Slots(tuple(slots), NO_SLOTS.ends_at), now)

        assert (taken.refused, taken.shadow, bool(lease)) == (apart.refused, apart.shadow, bool(other))
        assert taken.retry_after_s == pytest.approx(apart.retry_after_s)
        assert taken.levels == pytest.approx(apart.levels, rel=1e-9, abs=1e-9)
        outcomes["refused" if taken.refused >= 0 else "spared" if taken.shadow else "taken"] += 1
        if lease:
            spared = {(*charges, *slots)[number].meter[0] for number in taken.shadow}
            booked = [
                (charge, place)
                for charge, place in zip(charges, apart.meters, strict=True)
                if charge.book and charge.meter[0] not in spared
            ]
            under_way.append((lease, other, [one for one, _ in booked], [place for _, place in booked], costs))

    assert min(outcomes.values()) > 40


def levels(store: Store, now: float, name: str = "a" * 32) -> tuple[float, ...]:
    look = Tariff("account", FREE, book=False)
    return store.take([Bill(look, name, (0.0, 0.0, 0.0), 1e9)], NO_SLOTS, now)[0].levels


def test_what_an_exchange_came_to_is_corrected_unit_by_unit(store: Store) -> None:
    _, lease = store.take([Bill(ACCOUNT, "a" * 32, (1.0, 800.0, 2.0))], NO_SLOTS, T0)
    assert levels(store, T0) == (1.0, 1.0, 800.0, 2.0)
    assert store.settle(Spent(1.0, 300.0, 2.5), lease, T0)

    assert levels(store, T0) == (1.0, 1.0, 300.0, 2.5)
    assert not store.settle(NOTHING, lease, T0)


def test_what_came_to_nothing_is_given_back_with_its_request(store: Store) -> None:
    _, lease = store.take([Bill(ACCOUNT, "a" * 32, (1.0, 800.0, 2.0))], NO_SLOTS, T0)
    store.settle(NOTHING, lease, T0)

    assert levels(store, T0) == (0.0, 0.0, 0.0, 0.0)


def test_a_slot_at_once_with_its_charges_or_neither(store: Store) -> None:
    one = Tariff("account", FREE, (SlotLimit("free", 1),))
    first, lease = store.take([Bill(one, "a" * 32, (1.0, 10.0, 0.0))], NO_SLOTS, T0)
    second, refused = store.take([Bill(one, "a" * 32, (1.0, 10.0, 0.0))], NO_SLOTS, T0)

    assert (first.refused, first.levels[-1]) == (-1, 1.0)
    assert (second.refused, second.levels[-1], refused) == (len(FREE), 1.0, 0)
    assert levels(store, T0) == (1.0, 1.0, 10.0, 0.0)
    store.settle(Spent(1.0, 10.0, 0.0), lease, T0)
    assert store.take([Bill(one, "a" * 32, (1.0, 10.0, 0.0))], NO_SLOTS, T0)[0].refused < 0


def test_a_limit_that_only_counts_slots_keeps_no_record(store: Store) -> None:
    slots = Tariff("", (), (SlotLimit("all", 2),))
    outcomes = [store.take([Bill(slots, "", (1.0, 0.0, 0.0))], NO_SLOTS, T0)[0] for _ in range(3)]

    assert [outcome.refused for outcome in outcomes] == [-1, -1, 0]
    assert [outcome.levels for outcome in outcomes] == [(1.0,), (2.0,), (2.0,)]


def test_an_answer_that_outlives_its_record_ends_nobody_else_s_estimate(store: Store) -> None:
    """Forgotten while two answers run; the one that began in the new record still gets back what it did not use."""
    _, before = store.take([Bill(ACCOUNT, "a" * 32, (1.0, 500.0, 0.0))], NO_SLOTS, T0)
    store.forget("a" * 32)
    _, after = store.take([Bill(ACCOUNT, "a" * 32, (1.0, 500.0, 0.0))], NO_SLOTS, T0)
    store.settle(Spent(1.0, 600.0, 0.0), before, T0)
    store.settle(Spent(1.0, 50.0, 0.0), after, T0)

    assert levels(store, T0)[2] == 150.0


def test_what_is_charged_for_good_is_not_washed_away_by_an_estimate_before_it(store: Store) -> None:
    """A large estimate drains to nothing; what is charged then, and no estimate, stays when the large one is given back."""
    _, large = store.take([Bill(ACCOUNT, "a" * 32, (1.0, 5_000.0, 0.0))], NO_SLOTS, T0)
    late = Charge(("free", "tokens", "0", "a" * 32), 400.0, 1e12, 50.0, guarded="account")
    _, lease = store.take([late], NO_SLOTS, T0 + 100.0)
    store.settle((), lease, T0 + 100.0)
    store.settle(Spent(1.0, 1.0, 0.0), large, T0 + 100.0)

    assert levels(store, T0 + 100.0)[2] == 400.0
