"""What every store must do, whatever it keeps its meters in. The stores are the registry's: a new one is tested by its file."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from math import inf, nan

import pytest

from guard.contracts import Charge, Slots, Store, Taken

T0 = 1_700_000_000.0
NO_SLOTS = Slots((), T0 + 900)


def meter(
    unit: str = "requests", ordinal: int = 0, subject: str = "a" * 32, limit: str = "free"
) -> tuple[str, str, str, str]:
    return (limit, unit, str(ordinal), subject)


def charge(cost: float = 1.0, amount: float = 5.0, window_s: float = 60.0, **more: object) -> Charge:
    """A charge on the same meter of one account, of ``amount`` in ``window_s``."""
    where = more.pop("meter", meter())
    return Charge(where, cost, amount, amount / window_s, guarded="account")._replace(**more)


def take(store: Store, now: float, *charges: Charge) -> Taken:
    return store.take(charges, NO_SLOTS, now)[0]


def levels(store: Store, now: float, *charges: Charge) -> tuple[float, ...]:
    return take(store, now, *[one._replace(book=False, cost=0.0, capacity=inf) for one in charges]).levels


# -- admission (SECURITY 75, 76, 80) -------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_one_hundred_at_once_on_a_limit_of_five_admit_exactly_five(store: Store) -> None:
    async def one() -> bool:
        await asyncio.sleep(0)
        return take(store, T0, charge()).refused < 0

    assert sum(await asyncio.gather(*[one() for _ in range(100)])) == 5


# A meter of 5 in 10 s (one every 2 s): at, cost, only looked at → admitted, level after, wait until it fits.
TABLE = (
    (0.0, 6.0, True, True, 0.0, 0.0),
    (0.0, 5.0, True, True, 0.0, 0.0),
    (0.0, 1.0, False, True, 1.0, 0.0),
    (0.0, 1.0, False, True, 2.0, 0.0),
    (0.0, 0.0, True, True, 2.0, 0.0),
    (0.0, 4.0, False, False, 2.0, 2.0),
    (0.0, 3.0, False, True, 5.0, 0.0),
    (0.0, 0.0, True, True, 5.0, 0.0),
    (0.0, 1.0, False, False, 5.0, 2.0),
    (1.0, 1.0, False, False, 4.5, 1.0),
    (2.0, 1.0, False, True, 5.0, 0.0),
    (2.0, 1.0, True, False, 5.0, 2.0),
    (5.1, 1.0, False, True, 4.45, 0.0),
    (5.1, 1.0, False, False, 4.45, 0.9),
    (5.1, 6.0, False, False, 4.45, 8.9),
    (14.0, 6.0, False, True, 6.0, 0.0),
    (14.0, 0.0, False, False, 6.0, 2.0),
    (14.0, 1.0, False, False, 6.0, 4.0),
    (16.0, 0.0, False, True, 5.0, 0.0),
    (15.0, 1.0, False, False, 5.0, 2.0),
    (26.0, 5.0, False, True, 5.0, 0.0),
    (1026.0, 5.0, False, True, 5.0, 0.0),
)


def test_a_table_of_hits_and_looks(store: Store) -> None:
    """Volume above the capacity passes on an empty meter only; looking takes nothing; waiting as told is enough."""
    for row, (at, cost, look, admitted, level, wait) in enumerate(TABLE):
        taken = take(store, T0 + at, charge(cost, 5.0, 10.0, book=not look))

        assert (taken.refused < 0) == admitted, row
        assert taken.levels == pytest.approx((level,), abs=1e-5), row
        assert taken.retry_after_s == pytest.approx(wait, abs=1e-5), row


def test_a_token_budget_admits_no_more_than_fit_before_any_is_settled(store: Store) -> None:
    """Budget B, 100 parallel requests of T: at most floor(B / T)."""
    hits = [take(store, T0, charge(30.0, 1000.0, meter=meter("tokens"), estimate=True)) for _ in range(100)]

    assert sum(hit.refused < 0 for hit in hits) == 33


def test_all_charges_are_taken_or_none(store: Store) -> None:
    """The tight one refuses; the wide one before it and the one after it are not charged for that."""
    wide, tight = charge(amount=100.0, meter=meter("requests", 1)), charge(amount=1.0)
    other = charge(amount=100.0, meter=meter("tokens"), cost=7.0)
    outcomes = [take(store, T0, wide, tight, other) for _ in range(3)]

    assert [outcome.refused for outcome in outcomes] == [-1, 1, 1]
    assert levels(store, T0, wide, tight, other) == (1.0, 1.0, 7.0)


def test_the_longest_wait_is_told_and_is_enough(store: Store) -> None:
    """Of two that refuse, the one that clears last is named; after its wait the retry succeeds."""
    minute, day = charge(amount=2.0), charge(amount=2.0, window_s=86_400.0, meter=meter(ordinal=1))
    for _ in range(2):
        assert take(store, T0, minute, day).refused < 0
    refused = take(store, T0, minute, day)

    assert refused.refused == 1
    assert refused.retry_after_s == pytest.approx(43_200.0)
    assert take(store, T0 + refused.retry_after_s - 1.0, minute, day).refused == 1
    assert take(store, T0 + refused.retry_after_s, minute, day).refused < 0


def test_a_limit_of_nothing_admits_nothing(store: Store) -> None:
    assert take(store, T0, charge(amount=0.0)).refused == 0
    assert take(store, T0, charge(0.0, amount=0.0)).refused == 0


@pytest.mark.parametrize("cost", [nan, inf, 2.0**62, 1e300], ids=str)
def test_costs_that_are_no_amount_are_refused_cleanly(store: Store, cost: float) -> None:
    """Case 158: nothing is charged, the wait is finite, and the meter works on."""
    for _ in range(2):
        refused = take(store, T0, charge(cost, amount=1e6))
        assert refused.refused == 0
        assert 0.0 < refused.retry_after_s < inf
    assert take(store, T0, charge(5.0, amount=5.0)).levels == (5.0,)


def test_a_negative_cost_gives_nothing_back(store: Store) -> None:
    take(store, T0, charge(5.0))

    assert take(store, T0, charge(-4.0)).levels == (5.0,)


# -- time and change (77, 79) ----------------------------------------------------------------------------------------


def test_no_span_admits_more_than_capacity_and_what_drains_in_it(store: Store) -> None:
    """The published bound, over every span of 3,000 greedy tries: capacity + rate · t."""
    times = [T0 + tenth / 10 for tenth in range(3_000) if take(store, T0 + tenth / 10, charge(amount=20.0)).refused < 0]

    for first, start in enumerate(times):
        for last in range(first, len(times)):
            assert last - first + 1 <= 20 + (times[last] - start) * 20 / 60 + 1e-6


def test_a_window_boundary_gives_no_second_budget(store: Store) -> None:
    """Twenty a minute, all spent in the last second of a minute: the next minute's first second admits no twenty more."""
    before = sum(take(store, T0 + 59.5, charge(amount=20.0)).refused < 0 for _ in range(40))
    after = sum(take(store, T0 + 60.5, charge(amount=20.0)).refused < 0 for _ in range(40))

    assert (before, after) == (20, 0)


@pytest.mark.parametrize("back_s", [1.0, 3_600.0, 86_400.0 * 365])
def test_a_clock_put_back_gives_no_quota(store: Store, back_s: float) -> None:
    for _ in range(5):
        take(store, T0, charge())
    assert take(store, T0 - back_s, charge()).refused == 0
    assert take(store, T0, charge()).refused == 0

    assert take(store, T0 + 12.1, charge()).refused < 0


def test_a_day_ahead_gives_one_capacity_and_no_more(store: Store) -> None:
    for _ in range(5):
        take(store, T0, charge())

    assert sum(take(store, T0 + 86_400, charge()).refused < 0 for _ in range(50)) == 5


def test_another_rate_counts_from_now_on_only(store: Store) -> None:
    """A minute at 5 a minute drains 5, whatever the rate is from then on; refused or not, the new rate then counts."""
    for _ in range(5):
        take(store, T0, charge())
    slow = charge(amount=1.0, window_s=3600.0)

    assert take(store, T0 + 24.0, slow).levels == pytest.approx((3.0,))
    assert levels(store, T0 + 24.0 + 3600.0, slow) == pytest.approx((2.0,))


def test_a_smaller_limit_keeps_what_was_used(store: Store) -> None:
    for _ in range(5):
        take(store, T0, charge())
    refused = take(store, T0, charge(amount=2.0))

    assert refused.refused == 0
    assert refused.levels == (5.0,)
    assert take(store, T0 + refused.retry_after_s, charge(amount=2.0)).refused < 0


def test_a_window_that_a_reload_adds_starts_as_full_as_its_fullest_sibling(store: Store) -> None:
    first, second = charge(amount=10.0), charge(amount=20.0, window_s=3600.0, meter=meter(ordinal=1))
    third, stranger = charge(amount=500.0, meter=meter(ordinal=2)), charge(meter=meter("tokens"))
    for _ in range(7):
        take(store, T0, first, second)

    assert levels(store, T0 + 6.0, third, stranger) == pytest.approx((7.0 - 6.0 * 20 / 3600, 0.0))


# -- settling ----------------------------------------------------------------------------------------------------------


def estimate(cost: float, amount: float = 1000.0, window_s: float = 100.0) -> Charge:
    return charge(cost, amount, window_s, meter=meter("tokens"), estimate=True)


def settle(store: Store, held: tuple[Taken, int], amounts: Sequence[float], now: float) -> bool:
    return store.settle(list(zip(held[0].meters, amounts, strict=True)), held[1], now)


def test_what_was_not_used_is_given_back(store: Store) -> None:
    held = store.take([estimate(900.0)], NO_SLOTS, T0)
    assert settle(store, held, [-800.0], T0 + 1.0)

    assert levels(store, T0 + 1.0, estimate(0.0)) == pytest.approx((90.0,))


def test_what_was_used_beyond_the_estimate_is_charged(store: Store) -> None:
    held = store.take([estimate(10.0)], NO_SLOTS, T0)
    assert settle(store, held, [2_000.0], T0)

    assert levels(store, T0, estimate(0.0)) == (2_010.0,)
    assert take(store, T0, estimate(1.0)).refused == 0


def test_settling_twice_changes_nothing(store: Store) -> None:
    held = store.take([estimate(500.0)], NO_SLOTS, T0)
    store.take([estimate(500.0)], NO_SLOTS, T0)

    assert settle(store, held, [-400.0], T0)
    assert not settle(store, held, [-400.0], T0)
    assert levels(store, T0, estimate(0.0)) == (600.0,)


def test_an_excess_given_back_late_does_not_wash_away_what_others_used(store: Store) -> None:
    """A large estimate is held until it has drained; giving it back must not erase a charge made since then."""
    early = store.take([estimate(1000.0)], NO_SLOTS, T0)
    store.take([estimate(1000.0)], NO_SLOTS, T0 + 100.0)
    settle(store, early, [-999.0], T0 + 101.0)

    assert levels(store, T0 + 101.0, estimate(0.0)) == pytest.approx((990.0,))


def test_ten_of_the_same_moment_get_back_what_they_did_not_use(store: Store) -> None:
    """No time passes, so nothing was wasted: each excess comes back whole."""
    held = [store.take([estimate(100.0)], NO_SLOTS, T0) for _ in range(10)]
    for one in held:
        settle(store, one, [-90.0], T0)

    assert levels(store, T0, estimate(0.0)) == pytest.approx((100.0,))


# -- slots (88) ----------------------------------------------------------------------------------------------------------


def slots(most: float = 5.0, ends_at: float = T0 + 900.0, **more: object) -> Slots:
    wanted = Charge(("free", "concurrent", "0", "a" * 32), 1.0, most, 0.0, guarded="account")._replace(**more)
    return Slots((wanted,), ends_at)


def test_slots_are_exact_and_come_back(store: Store) -> None:
    held = [store.take([], slots(), T0) for _ in range(100)]
    leases = [lease for _, lease in held if lease]

    assert len(leases) == 5
    assert held[5][0].refused == 0
    assert store.settle([], leases[0], T0)
    assert [store.take([], slots(), T0)[0].refused for _ in range(2)] == [-1, 0]


def test_a_refused_slot_takes_no_charge_and_a_refused_charge_no_slot(store: Store) -> None:
    store.take([], slots(most=1.0), T0)
    refused, lease = store.take([charge()], slots(most=1.0), T0)
    assert (refused.refused, lease) == (1, 0)
    assert levels(store, T0, charge()) == (0.0,)

    take(store, T0, charge(5.0))
    for _ in range(3):
        assert store.take([charge()], slots(most=2.0), T0)[0].refused == 0
    assert store.take([], slots(most=2.0), T0)[0].refused < 0


def test_a_lost_lease_ends_by_itself_and_a_held_one_lives_on(store: Store) -> None:
    _, lost = store.take([], slots(most=2.0, ends_at=T0 + 10.0), T0)
    _, running = store.take([], slots(most=2.0, ends_at=T0 + 10.0), T0)
    store.hold(running, T0 + 30.0)

    assert store.take([], slots(most=2.0), T0 + 9.9)[0].refused == 0
    assert [store.take([], slots(most=2.0), T0 + 10.0)[0].refused for _ in range(2)] == [-1, 0]
    assert not store.settle([], lost, T0 + 11.0)
    assert store.settle([], running, T0 + 11.0)


# -- limits in shadow ------------------------------------------------------------------------------------------------


def test_a_shadow_charge_never_refuses_and_is_charged_as_if_it_did(store: Store) -> None:
    """Its own limit: all windows or none. Other limits go on being charged."""
    short = charge(amount=2.0, shadow=True, meter=meter(limit="trial"))
    long = charge(amount=100.0, shadow=True, meter=meter(limit="trial", ordinal=1))
    enforced = charge(amount=10.0)
    outcomes = [take(store, T0, enforced, long, short) for _ in range(4)]

    assert [outcome.refused for outcome in outcomes] == [-1] * 4
    assert [outcome.shadow for outcome in outcomes] == [(), (), (2,), (2,)]
    assert levels(store, T0, enforced, long, short) == (4.0, 2.0, 2.0)


def test_a_shadow_slot_never_refuses(store: Store) -> None:
    outcomes = [store.take([], slots(most=2.0, shadow=True), T0)[0] for _ in range(4)]

    assert [outcome.shadow for outcome in outcomes] == [(), (), (0,), (0,)]
    assert outcomes[-1].levels == (2.0,)


# -- forgetting ----------------------------------------------------------------------------------------------------------


def test_a_subject_is_forgotten_with_what_is_counted_within_it(store: Store) -> None:
    mine, user = charge(), charge(meter=meter(subject=f"{'a' * 32}/{'b' * 32}"), guarded="user")
    other = charge(meter=meter(subject="c" * 32))
    take(store, T0, mine, user, other)

    assert store.forget("a" * 32) == 2
    assert store.forget("a" * 32) == 0
    assert levels(store, T0, mine, user, other) == (0.0, 0.0, 1.0)
