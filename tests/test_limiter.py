"""The limiter stage: what is charged to whom, what is given back, what a stranger may touch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from guard.limiter import MOST_TOKENS, Admission, Limiter
from guard.settings import Condition, Limit, Policy, Price, State, Window
from guard.stores.memory import MemoryStore
from guard.types import Account, Assessment, Decision, Exchange, Features, Peer, Receipt, Usage

T0 = 1_700_000_000.0
CALM = Assessment(0.0, "low", 1.0)
ALICE = Account("a" * 32, shard=1)
DECISION = Decision("allow", True, 200, "r", 0.0, "low")
MINUTE, DAY = 60.0, 86_400.0


def features(**more: Any) -> Features:
    return replace(Features(1, "openai_chat", "gpt-5", False, (), (), 100, 400), **more)


def exchange(account: Account = ALICE, country: str = "DE", **more: Any) -> Exchange:
    return Exchange(account, Peer(country=country), "/v1/chat/completions", features(**more))


def usage(status: int = 200, received: int = 100, sent: int = 50, **more: Any) -> Usage:
    return replace(Usage(status, received, sent, True, True), **more)


class Desk:
    """A policy of some limits on one store, and the way from admission to settlement."""

    def __init__(self, *limits: Limit, store: MemoryStore | None = None, **more: Any) -> None:
        self.store = store or MemoryStore()
        self.limiter = Limiter(Policy(limits=limits, **more), self.store)

    def take(
        self, asked: Exchange | None = None, now: float = T0, assessment: Assessment = CALM, *, granted: bool = False
    ) -> Admission:
        return self.limiter.take(asked or exchange(), assessment, now, granted=granted)

    def receipt(self, asked: Exchange | None = None, now: float = T0, **more: Any) -> Receipt:
        asked = asked or exchange()
        admission = self.take(asked, now, **more)
        assert admission.admitted
        return Receipt(asked, DECISION, now, admission.reserved, admission.pending, admission.lease)

    def used(self, asked: Exchange | None = None, now: float = T0) -> dict[tuple[str, str], float]:
        """(limit, unit) → what is used of it, as a further request of nothing would find it."""
        nothing = replace(asked or exchange(), features=features(input_tokens=0, budget_tokens=0))
        wide = self.limiter.take(nothing, replace(CALM, factor=1e9), now, granted=False)
        self.settle_nothing(nothing, wide, now)
        return {
            (charge.meter[0], charge.meter[1]): level - (charge.book and charge.meter[1] in ("requests", "concurrent"))
            for charge, level in zip(wide.charges, wide.levels, strict=True)
        }

    def settle_nothing(self, asked: Exchange, admission: Admission, now: float) -> None:
        receipt = Receipt(asked, DECISION, now, admission.reserved, admission.pending, admission.lease)
        self.limiter.settle(receipt, usage(forwarded=False), now)


def limit(*per: str, name: str = "free", **more: Any) -> Limit:
    return Limit(name, per or ("account",), **more)


def each(amount: float, window_s: float = DAY) -> tuple[Window, ...]:
    return (Window(amount, window_s),)


# -- costs ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "tokens"),
    [
        ({}, 500.0),
        ({"budget_tokens": None}, 100.0 + 4096.0),
        ({"budget_tokens": None, "choices": 3}, 100.0 + 3 * 4096.0),
        ({"budget_tokens": 10**30}, 100.0 + MOST_TOKENS),
        ({"budget_tokens": -5, "input_tokens": -5}, 0.0),
    ],
)
def test_input_and_budget_are_reserved(asked: dict[str, Any], tokens: float) -> None:
    """The budget counts all choices already; without one the default is reserved for each."""
    admission = Desk(limit(tokens=each(1e7))).take(exchange(**asked))

    assert [(one.unit, one.cost) for one in admission.reserved] == [("tokens", tokens)]


def test_cost_follows_the_first_price_that_fits() -> None:
    prices = (Price("GPT-5*", 1.25, 10.0), Price("*mini*", 0.1, 0.2), Price("big", 100.0, 1.0))
    desk = Desk(limit(cost=each(1000.0)), prices=prices)

    def cost(model: str) -> float:
        return desk.take(exchange(model=model, input_tokens=1_000_000, budget_tokens=1_000_000)).reserved[0].cost

    assert cost("gpt-5-mini") == pytest.approx(11.25)
    assert cost("some-mini") == pytest.approx(0.3)
    assert cost("nobody-priced-it") == pytest.approx(110.0)


def test_money_is_settled_by_what_was_used() -> None:
    desk = Desk(limit(cost=each(1000.0)), prices=(Price("*", 1.0, 10.0),))
    receipt = desk.receipt(exchange(input_tokens=1_000_000, budget_tokens=1_000_000))
    desk.limiter.settle(receipt, usage(received=500_000, sent=100_000), T0)

    assert desk.used()["free", "cost"] == pytest.approx(1.5, rel=1e-4)


# -- whose meter ---------------------------------------------------------------------------------------------------------

BOB = Account("b" * 32, shard=2)
ACME = {"org": "0" * 32}


@pytest.mark.parametrize(
    ("per", "same", "other"),
    [
        (("account",), exchange(model="x"), exchange(BOB)),
        (("user",), exchange(user="u" * 32, model="x"), exchange(user="v" * 32)),
        (("user",), exchange(user="u" * 32, model="x"), exchange(BOB, user="u" * 32)),
        (("user",), exchange(user="u" * 32, country="FR"), exchange()),
        (("org",), exchange(replace(BOB, **ACME)), exchange(replace(BOB, org="1" * 32))),
        (("org",), exchange(replace(BOB, **ACME)), exchange(BOB)),
        (("model",), exchange(BOB), exchange(model="x")),
        (("region",), exchange(BOB), exchange(country="FR")),
        (("account", "model"), exchange(country="FR"), exchange(model="x")),
        (("model", "account"), exchange(country="FR"), exchange(BOB)),
    ],
)
def test_who_shares_a_meter(per: tuple[str, ...], same: Exchange, other: Exchange) -> None:
    """One request each: a second that shares the meter is refused, one that does not is admitted."""
    first = exchange(replace(ALICE, **ACME), user="u" * 32)
    desk = Desk(limit(*per, requests=each(1)))
    assert desk.take(first).admitted

    assert not desk.take(same).admitted
    assert desk.take(other).admitted


def test_a_limit_on_everything_together_counts_everybody() -> None:
    desk = Desk(Limit("all", (), requests=each(2)))

    assert [desk.take(exchange(Account(f"{n:032x}"))).admitted for n in range(3)] == [True, True, False]


def test_an_account_without_organisation_has_the_organisation_s_limit_for_itself() -> None:
    desk = Desk(limit("org", requests=each(1)))
    assert desk.take(exchange(ALICE)).admitted

    assert desk.take(exchange(BOB)).admitted
    assert not desk.take(exchange(ALICE)).admitted


def test_limits_per_cluster_or_family_concern_nobody_yet() -> None:
    desk = Desk(limit("cluster", requests=each(1)), limit("family", name="f", requests=each(1)))

    assert all(desk.take().admitted for _ in range(3))
    assert desk.take().lease == 0


def test_a_model_name_of_a_megabyte_makes_no_meter_of_a_megabyte() -> None:
    desk = Desk(limit("model", requests=each(1)))
    admission = desk.take(exchange(model="x" * 1_000_000))

    assert len(admission.reserved[0].meter[3]) < 100
    assert not desk.take(exchange(model="x" * 1_000_000)).admitted
    assert desk.take(exchange(model="x" * 1_000_001)).admitted


def test_a_limit_counts_only_where_its_condition_holds() -> None:
    free = Condition((("tier", "is", frozenset({"free"})),))
    desk = Desk(limit(when=free, requests=each(1)))

    assert [desk.take(exchange(replace(ALICE, tier="paid"))).admitted for _ in range(2)] == [True, True]
    assert [desk.take(exchange(replace(ALICE, tier="free"))).admitted for _ in range(2)] == [True, False]


# -- f -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("granted", "admitted"), [(False, 2), (True, 10)])
def test_f_shrinks_an_account_s_allowance_unless_there_is_a_grant(granted: bool, admitted: int) -> None:
    desk = Desk(limit(requests=each(10)))
    suspect = Assessment(0.8, "suspect", 0.0, factor=0.2)

    assert sum(desk.take(assessment=suspect, granted=granted).admitted for _ in range(20)) == admitted


def test_f_leaves_joint_limits_as_they_are() -> None:
    desk = Desk(Limit("all", (), requests=each(10)), limit("model", name="m", requests=each(10)))
    suspect = Assessment(0.8, "suspect", 0.0, factor=0.2)

    assert sum(desk.take(assessment=suspect).admitted for _ in range(20)) == 10


def test_f_lets_one_request_pass_on_an_empty_meter() -> None:
    desk = Desk(limit(requests=each(10), concurrent=4))
    suspect = Assessment(1.0, "confirmed", 0.0, factor=0.02)

    assert [desk.take(assessment=suspect).admitted for _ in range(2)] == [True, False]


# -- refusal -------------------------------------------------------------------------------------------------------------


def test_a_refusal_names_the_limit_and_uses_nothing_up() -> None:
    desk = Desk(limit(requests=each(5)), limit(name="b", tokens=each(500.0)))
    assert desk.take().admitted
    refused = desk.take()

    assert (refused.admitted, refused.limit, refused.unit) == (False, "b", "tokens")
    assert (refused.reserved, refused.lease) == ((), 0)
    assert desk.used()["free", "requests"] == pytest.approx(1.0)


def test_a_thousand_clients_are_not_told_the_same_second() -> None:
    """90: the wait is longer by up to a tenth, never shorter, and the same again in a replay."""

    def waits() -> list[float]:
        desk = Desk(Limit("all", (), requests=each(1, MINUTE)))
        desk.take()
        return [desk.take(exchange(Account(f"{n:032x}"))).retry_after_s for n in range(1_000)]

    first = waits()
    assert first == waits()
    assert min(first) >= 60.0
    assert max(first) <= 66.1
    assert len({round(wait, 2) for wait in first}) > 300


def test_waiting_as_told_is_enough() -> None:
    desk = Desk(limit(requests=(Window(3, 1.0), Window(5, MINUTE)), tokens=each(2_000.0, 3_600.0)))
    now = T0
    for _ in range(30):
        admission = desk.take(now=now)
        if not admission.admitted:
            now += admission.retry_after_s
            assert desk.take(now=now).admitted

    assert now > T0 + 3_600


def test_quotas_say_what_is_left() -> None:
    desk = Desk(limit(requests=each(10, MINUTE), tokens=each(10_000.0), concurrent=3))
    desk.take()
    shown = {quota.unit: quota for quota in desk.take().quotas}

    assert (shown["requests"].amount, shown["requests"].window_s) == (10.0, pytest.approx(60.0))
    assert (shown["requests"].remaining, shown["requests"].reset_s) == (8.0, pytest.approx(12.0))
    assert (shown["tokens"].remaining, shown["tokens"].limit) == (9_000.0, "free")
    assert (shown["concurrent"].amount, shown["concurrent"].remaining) == (3.0, 1.0)


def test_a_limit_in_shadow_refuses_nobody_and_is_charged_as_if_it_did() -> None:
    desk = Desk(limit(requests=each(100)), limit(name="trial", mode="shadow", requests=each(2), tokens=each(1e6)))
    admissions = [desk.take() for _ in range(4)]

    assert [one.admitted for one in admissions] == [True] * 4
    assert [one.shadow for one in admissions] == [(), (), ("trial",), ("trial",)]
    assert {quota.limit for quota in admissions[0].quotas} == {"free"}
    assert {one.meter[0] for one in admissions[3].reserved} == {"free"}


def test_a_limit_that_is_off_is_not_counted() -> None:
    assert all(Desk(limit(mode="off", requests=each(1))).take().admitted for _ in range(3))


# -- settling ------------------------------------------------------------------------------------------------------------

BOTH = limit(requests=each(100), tokens=each(100_000.0), concurrent=5)


@pytest.mark.parametrize(
    ("came_to", "tokens", "requests"),
    [
        (usage(), 150.0, 1.0),
        (usage(sent=2_000), 2_100.0, 1.0),
        (usage(0, 0, 0, reported=False, complete=False), 101.0, 1.0),
        (usage(200, 0, 0, reported=False, complete=False), 101.0, 1.0),
        (usage(200, 100, 20, reported=False, complete=False), 120.0, 1.0),
        (usage(500, 0, 0, reported=False), 101.0, 1.0),
        (usage(429, 0, 0, reported=False), 101.0, 1.0),
        (usage(sent=-7, received=-7), 1.0, 1.0),
        (usage(forwarded=False), 0.0, 0.0),
    ],
    ids=["used", "more than reserved", "no answer", "no output", "cut", "500", "429", "negative", "not forwarded"],
)
def test_what_is_charged_in_the_end(came_to: Usage, tokens: float, requests: float) -> None:
    """82, 83: never a full refund once the app was called; a cut answer costs what was sent; guard's own faults nothing."""
    desk = Desk(BOTH)
    desk.limiter.settle(desk.receipt(), came_to, T0)

    assert desk.used() == {
        ("free", "requests"): pytest.approx(requests),
        ("free", "tokens"): pytest.approx(tokens),
        ("free", "concurrent"): 0.0,
    }


@pytest.mark.parametrize("sent", [10**18, 2**70])
def test_a_usage_that_can_t_be_is_clamped(sent: int) -> None:
    desk = Desk(BOTH)
    desk.limiter.settle(desk.receipt(), usage(sent=sent), T0)

    assert desk.used()["free", "tokens"] == 100.0 + MOST_TOKENS


def test_ten_thousand_aborts_before_the_first_byte_are_not_free() -> None:
    """82: each costs its input and a token; in the end no slot is in use (88)."""
    desk = Desk(limit(tokens=each(1e9), requests=each(1e9), concurrent=5))
    for _ in range(10_000):
        desk.limiter.settle(desk.receipt(), usage(0, 0, 0, reported=False), T0)

    assert desk.used()["free", "tokens"] == pytest.approx(101.0 * 10_000)
    assert desk.store.counts()["slots_in_use"] == 0
    assert desk.store.counts()["leases"] == 0


def test_settling_twice_is_harmless() -> None:
    desk = Desk(BOTH)
    receipt = desk.receipt()
    desk.receipt()
    for _ in range(3):
        desk.limiter.settle(receipt, usage(forwarded=False), T0)

    assert desk.used() == {("free", "requests"): 1.0, ("free", "tokens"): 500.0, ("free", "concurrent"): 1.0}


def test_settlement_uses_the_receipt_also_under_another_policy() -> None:
    """A reload between admission and settlement: what was reserved is corrected where it was taken."""
    desk = Desk(BOTH)
    receipt = desk.receipt()
    after = Desk(limit(tokens=each(50_000.0, 3_600.0)), limit(name="new", requests=each(1)), store=desk.store)
    after.limiter.settle(receipt, usage(), T0)

    assert after.used()["free", "tokens"] == pytest.approx(150.0)


def test_a_stream_that_holds_on_keeps_its_slot() -> None:
    desk = Desk(limit(concurrent=1), state=State(lease_s=30.0))
    receipt = desk.receipt()
    desk.limiter.hold(receipt, T0 + 20.0)

    assert not desk.take(now=T0 + 40.0).admitted
    assert desk.take(now=T0 + 51.0).admitted


# -- strangers (91) ------------------------------------------------------------------------------------------------------

PROVISIONAL = Account("c" * 32, "provisional", shard=9)
ANONYMOUS = Account("d" * 32, "anonymous", shard=9)
HOUSE = (limit(requests=each(10), tokens=each(100_000.0)), Limit("all", (), requests=each(100), tokens=each(1e6)))


@pytest.mark.parametrize("status", [401, 403, 302, 0])
@pytest.mark.parametrize("who", [PROVISIONAL, ANONYMOUS], ids=["provisional", "anonymous"])
def test_what_the_app_did_not_accept_is_charged_to_nobody_else(status: int, who: Account) -> None:
    """Guessing keys: neither the account of that name nor any joint limit is touched, however often."""
    desk = Desk(*HOUSE)
    for _ in range(10):
        desk.limiter.settle(desk.receipt(exchange(who)), usage(status, 0, 0, reported=False), T0)

    assert not desk.take(exchange(who)).admitted
    somebody_else = replace(who, key="e" * 32, status="accepted")
    assert desk.used(exchange(somebody_else)) == dict.fromkeys(
        [("free", "requests"), ("free", "tokens"), ("all", "requests"), ("all", "tokens")], 0.0
    )


def test_an_account_goes_on_with_what_it_has_used_as_a_stranger() -> None:
    """Acceptance gives no second allowance: what its credential has used, and what still runs, is the account's; joint limits
    know nothing of it."""
    desk = Desk(*HOUSE)
    for _ in range(10):
        desk.limiter.settle(desk.receipt(exchange(PROVISIONAL)), usage(401, 0, 0, reported=False), T0)
    used = desk.used(exchange(replace(PROVISIONAL, status="accepted")))

    assert used["free", "requests"] == 10
    assert used["all", "requests"] == 0


def test_an_accepted_stranger_s_use_moves_to_its_account_and_the_joint_limits() -> None:
    desk = Desk(*HOUSE)
    receipts = [desk.receipt(exchange(PROVISIONAL)) for _ in range(3)]
    for receipt in receipts:
        desk.limiter.settle(receipt, usage(), T0)
        desk.limiter.settle(receipt, usage(), T0)
    account = exchange(replace(PROVISIONAL, status="accepted"))

    assert desk.used(account) == {
        ("free", "requests"): 3.0,
        ("free", "tokens"): 450.0,
        ("all", "requests"): 3.0,
        ("all", "tokens"): 450.0,
    }
    assert desk.used(exchange(PROVISIONAL))["free", "requests"] == 0.0


def test_a_limit_that_is_gone_when_a_stranger_is_accepted_is_not_charged() -> None:
    """A reload in between: of the limits that were in force at admission those are charged that still are, as they are now."""
    desk = Desk(*HOUSE)
    receipt = desk.receipt(exchange(PROVISIONAL))
    slower = Limit("all", (), requests=each(100), tokens=each(1e6, 10 * DAY))
    after = Desk(slower, store=desk.store)
    after.limiter.settle(receipt, usage(), T0)

    assert after.used() == {("all", "requests"): 1.0, ("all", "tokens"): 150.0}
    assert after.used(now=T0 + 0.0001 * DAY)["all", "tokens"] == pytest.approx(140.0)
    assert desk.used(exchange(replace(PROVISIONAL, status="accepted")))["free", "requests"] == 0.0


def test_an_anonymous_client_never_becomes_an_account() -> None:
    desk = Desk(*HOUSE)
    desk.limiter.settle(desk.receipt(exchange(ANONYMOUS)), usage(), T0)

    assert desk.used(exchange(ANONYMOUS))["free", "requests"] == 1.0
    assert desk.used(exchange(BOB))["all", "tokens"] == 150.0
    assert desk.store.counts()["subjects_account"] <= 1


def test_a_stranger_is_refused_where_a_joint_limit_is_used_up() -> None:
    desk = Desk(Limit("all", (), requests=each(2)))
    for _ in range(2):
        desk.receipt()

    assert not desk.take(exchange(PROVISIONAL)).admitted


def test_strangers_take_no_joint_slot_from_accounts() -> None:
    desk = Desk(Limit("all", (), concurrent=2))
    for number in range(50):
        assert desk.take(exchange(replace(PROVISIONAL, key=f"{number:032x}"))).admitted

    assert [desk.take().admitted for _ in range(3)] == [True, True, False]


def test_one_thousand_failures_leave_a_good_key_unaffected() -> None:
    """13: without a key, then with a good one."""
    desk = Desk(*HOUSE)
    for _ in range(1_000):
        admission = desk.take(exchange(ANONYMOUS))
        if admission.admitted:
            receipt = Receipt(exchange(ANONYMOUS), DECISION, T0, admission.reserved, admission.pending, admission.lease)
            desk.limiter.settle(receipt, usage(401, 0, 0, reported=False), T0)

    assert all(desk.take(exchange(ALICE)).admitted for _ in range(10))
