"""The accounts that recognition knows: standing, a life of one's own, and room for those that matter."""

from __future__ import annotations

import time
from typing import Any

import pytest

from guard.recognition.accounts import Accounts, Known
from guard.types import Account

NOW = 1_790_000_000.0
DAY = 86_400.0


def account(name: str, **facts: Any) -> Account:
    return Account(name.ljust(32, "0"), **facts)


@pytest.mark.parametrize(
    ("age_days", "verified", "standing"),
    [(0.0, None, 0.0), (0.0, False, 0.0), (15.0, None, 0.25), (30.0, None, 0.5), (300.0, None, 0.5), (30.0, True, 1.0), (0.0, True, 0.0), (-3.0, True, 0.0)],
)  # fmt: skip
def test_standing_grows_with_age_and_counts_double_where_verified(
    age_days: float, verified: bool | None, standing: float
) -> None:
    """A month makes it whole; verification of an account of today is worth nothing; a date to come is none."""
    known = Accounts(10).meet(account("a", created=NOW - age_days * DAY, verified=verified), NOW)

    assert known.standing(NOW) == pytest.approx(standing)


def test_without_a_date_age_is_first_sight() -> None:
    """An account of unknown date grows old under guard's eyes."""
    accounts = Accounts(10)
    accounts.meet(account("a"), NOW)
    known = accounts.meet(account("a"), NOW + 30 * DAY)

    assert known.standing(NOW + 30 * DAY) == 0.5
    assert not known.dated


@pytest.mark.parametrize(
    ("count", "days", "bearing", "bore_after_days", "settled"),
    [
        (10, 3.0, 0, 0.0, True),
        (9, 3.0, 0, 0.0, False),
        (500, 2.9, 0, 0.0, False),
        (15, 9.0, 5, 3.0, True),
        (15, 9.0, 5, 2.9, False),
        (14, 9.0, 5, 3.0, False),
        (500, 90.0 / 7, 491, 5.0, False),
    ],
)
def test_a_life_of_ones_own_is_led_before_the_first_meeting_with_a_cluster(
    count: int, days: float, bearing: int, bore_after_days: float, settled: bool
) -> None:
    """Ten exchanges of one's own and three days count, and only those before the first that carried a cluster's traits."""
    known = Known(1, "a", NOW)
    known.count, known.bearing, known.first_bearing_at = count, bearing, NOW + bore_after_days * DAY

    assert known.settled(NOW + days * DAY) is settled


def test_what_the_operator_states_today_holds() -> None:
    """Facts may change; what is no longer stated of payment is forgotten, age and verification stay as last stated."""
    accounts = Accounts(10)
    accounts.meet(account("a", created=NOW - DAY, verified=False, payment="ab" * 16), NOW)
    known = accounts.meet(account("a", verified=True), NOW)

    assert (known.born, known.dated, known.verified, known.payment) == (NOW - DAY, True, 1, 0)
    assert accounts.meet(account("b", payment="ab" * 16), NOW).payment != 0


def test_an_account_is_found_by_key_and_number_until_it_is_forgotten() -> None:
    """No number is ever given twice."""
    accounts = Accounts(10)
    first = accounts.meet(account("a"), NOW)
    assert accounts.find(first.key) is first
    assert accounts.number(first.number) is first
    assert accounts.forget(first.key)
    assert not accounts.forget(first.key)
    assert accounts.find(first.key) is None
    assert accounts.number(first.number) is None
    assert accounts.meet(account("a"), NOW).number != first.number


def test_no_more_accounts_are_held_than_there_is_room_for() -> None:
    """Ten thousand pass through room for a hundred; both ways to find them stay in step."""
    accounts = Accounts(100)
    for n in range(10_000):
        accounts.meet(account(f"{n:x}"), NOW + n)

    assert len(accounts) == 100
    held = list(accounts)
    assert all(accounts.number(known.number) is known for known in held)
    assert all(accounts.number(n) is None for n in range(1, 9_000))


@pytest.mark.parametrize("linked", [5, 50])
def test_who_is_linked_to_a_cluster_is_never_forgotten_for_newcomers(linked: int) -> None:
    """SECURITY 115: a flood of new accounts washes nobody clean while there are others that could go."""
    accounts = Accounts(100)
    members = [accounts.meet(account(f"member {n}"), NOW) for n in range(linked)]
    for known in members:
        known.cluster = 7
    for n in range(1_000):
        accounts.meet(account(f"flood {n}"), NOW + n)

    assert [accounts.find(known.key) for known in members] == members


def test_who_was_seen_least_lately_goes_first() -> None:
    """An old customer who asks all the time stays; whoever came once, long ago, goes."""
    accounts = Accounts(100)
    old = accounts.meet(account("old customer"), NOW)
    for n in range(1_000):
        accounts.meet(account(f"flood {n}"), NOW + n)
        accounts.meet(account("old customer"), NOW + n).last_at = NOW + n

    assert accounts.find(old.key) is old


def test_a_newcomer_costs_the_same_however_many_came_before() -> None:
    """With room for fifty thousand and all of it taken; a dictionary's front, where so many have gone, is not gone through."""
    accounts = Accounts(50_000)
    for n in range(50_000):
        accounts.meet(account(f"{n:x}"), NOW)

    def newcomers(first: int) -> float:
        begun = time.process_time()
        for n in range(first, first + 1_000):
            accounts.meet(account(f"{n:x}"), NOW)
        return time.process_time() - begun

    times = [newcomers(50_000 + 1_000 * turn) for turn in range(10)]
    assert sum(times) < 1.0
    assert len(accounts) == 50_000


@pytest.mark.parametrize(
    "stated", [("payment",), ("signup",), ("org",), ("signup", "org"), ("payment", "signup", "org")]
)
def test_what_is_stated_is_told_apart(stated: tuple[str, ...]) -> None:
    """64 bits of each hash; what is not stated is 0."""
    hashes = {"payment": "ab" * 16, "signup": "0c" * 16, "org": "ff" * 16}
    known = Accounts(10).meet(account("a", **{name: hashes[name] for name in stated}), NOW)

    for name, hashed in hashes.items():
        assert getattr(known, name) == (int(hashed[:16], 16) if name in stated else 0)


def test_an_account_that_is_taken_up_again_replaces_what_was_known_of_it() -> None:
    """As when verdicts are read after findings: one record, found by its key and by its new number only."""
    accounts = Accounts(10)
    before = accounts.meet(account("a"), NOW)
    others = [accounts.meet(account(f"{n}"), NOW) for n in range(5)]
    again = Known(77, before.key, NOW)
    again.cluster = 3
    number = before.number
    accounts.add(again)

    found = accounts.find(before.key)
    assert found is accounts.number(77)
    assert found is not None
    assert (found.cluster, found.number) == (3, 77)
    assert accounts.number(number) is None
    assert [known.key for known in accounts] == [before.key, *[known.key for known in others]]
    assert accounts.next == 78
