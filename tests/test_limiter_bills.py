"""The limiter stage where there are several bills, prices or policies: which of them is named, charged and told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guard.limiter import Limiter
from guard.settings import Limit, Policy, Price
from guard.stores.memory import MemoryStore
from guard.types import Assessment, Decision
from tests.test_limiter import BOB, DAY, HOUSE, MINUTE, PROVISIONAL, T0, Desk, each, exchange, limit, usage


def test_a_refusal_names_the_limit_of_the_bill_that_lacks_room() -> None:
    """Also where it is not the first bill's, a window or a slot."""
    mine = limit(requests=each(100), tokens=each(1e6))
    desk = Desk(mine, Limit("all", (), tokens=each(500.0)))
    assert desk.take().admitted
    refused = desk.take()
    assert (refused.limit, refused.unit) == ("all", "tokens")

    desk = Desk(mine, Limit("all", (), requests=each(100), concurrent=1))
    assert desk.take().admitted
    refused = desk.take()
    assert (refused.limit, refused.unit) == ("all", "concurrent")


def test_quotas_are_told_with_f_applied() -> None:
    """A fifth of the amount in the same window, and so a fifth as fast."""
    desk = Desk(limit(requests=each(10, MINUTE)))
    (quota,) = desk.take(assessment=Assessment(0.8, "suspect", 0.0, factor=0.2)).quotas

    assert (quota.amount, quota.window_s) == (pytest.approx(2.0), pytest.approx(60.0))
    assert (quota.remaining, quota.reset_s) == (1.0, pytest.approx(30.0))


@pytest.mark.parametrize(("enforced", "money"), [(True, 2.0), (False, 200.0)])
def test_a_degraded_exchange_costs_what_the_cheaper_model_does(enforced: bool, money: float) -> None:
    """However the policy spells it; what is only told goes to the model that was asked."""
    desk = Desk(limit(cost=each(1e6)), prices=(Price("gpt-cheap", 1.0, 1.0), Price("*", 100.0, 100.0)))
    receipt = desk.receipt(exchange(input_tokens=1_000_000, budget_tokens=1_000_000))
    degraded = Decision("degrade", enforced, 200, "r", 0.0, "low", reductions=(("model", "GPT-Cheap"),))
    came_to = usage(received=1_000_000, sent=1_000_000)
    desk.limiter.settle(replace(receipt, decision=degraded), came_to, T0)

    assert desk.used()["free", "cost"] == pytest.approx(money, rel=1e-4)


def test_prices_of_invented_models_are_not_kept_without_end() -> None:
    """Clients may send what they like: neither many names nor long ones stay."""
    limiter = Limiter(Policy(limits=(limit(cost=each(1e9)),), prices=(Price("*", 1.0, 1.0),)), MemoryStore())
    for number in range(3_000):
        limiter.take(exchange(model=f"m{number}"), Assessment(0.0, "low", 1.0), T0, granted=False)
    assert len(limiter._priced) == 1_024

    limiter = Limiter(Policy(limits=(limit(cost=each(1e9)),), prices=(Price("*", 1.0, 1.0),)), MemoryStore())
    limiter.take(exchange(model="m" * 10_000), Assessment(0.0, "low", 1.0), T0, granted=False)
    assert not limiter._priced


def test_what_a_joint_limit_in_shadow_has_no_room_for_is_not_booked_when_a_stranger_is_accepted() -> None:
    """As if it had refused: else it would tell of more than it lets pass."""
    desk = Desk(limit(requests=each(10)), Limit("trial", (), mode="shadow", tokens=each(600.0)))
    desk.receipt(exchange(BOB))
    admission = desk.take(exchange(PROVISIONAL))
    assert admission.shadow == ("trial",)
    desk.limiter.settle(desk.receipt(exchange(PROVISIONAL)), usage(), T0)

    assert desk.used(exchange(BOB))["trial", "tokens"] == 500.0


def test_what_a_stranger_used_drains_as_the_policy_says_now() -> None:
    """A reload between admission and acceptance has made the window ten times as long."""
    desk = Desk(*HOUSE)
    receipt = desk.receipt(exchange(PROVISIONAL))
    slower = Limit("all", (), requests=each(100), tokens=each(1e6, 10 * DAY))
    after = Desk(HOUSE[0], slower, store=desk.store)
    after.limiter.settle(receipt, usage(), T0)

    assert after.used(now=T0 + 0.0001 * DAY)["all", "tokens"] == pytest.approx(140.0)
