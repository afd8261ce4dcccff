"""The memory store's own promises: exact to the log, bounded, and whole after a restart."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from guard.contracts import Charge, Slots
from guard.errors import StateError
from guard.settings import State
from guard.stores.memory import MemoryStore

T0 = 1_700_000_000.0
NO_SLOTS = Slots((), T0 + 1e9)


def requests(subject: str, amount: float = 5.0, window_s: float = 60.0, **more: Any) -> Charge:
    meter = ("free", "requests", "0", subject)
    return Charge(meter, 1.0, amount, amount / window_s, guarded="account")._replace(**more)


def admitted(store: MemoryStore, now: float, *charges: Charge) -> bool:
    return store.take(charges, NO_SLOTS, now)[0].refused < 0


# -- the exact log (SECURITY 78) ---------------------------------------------------------------------------------------


class Log:
    """One meter, computed again from all that ever happened to it: (when, amount) and (from when, rate)."""

    def __init__(self) -> None:
        self.events: list[list[float]] = []
        self.rates: list[tuple[float, float]] = []

    def level(self, now: float) -> float:
        level, at, rate = 0.0, 0.0, 0.0
        changes = sorted(
            [(when, order, amount, None) for order, (when, amount) in enumerate(self.events)]
            + [(when, -1, 0.0, rate) for when, rate in self.rates],
            key=lambda change: change[:2],
        )
        for when, _, amount, new_rate in [*changes, (now, 0, 0.0, None)]:
            level = max(0.0, level - (when - at) * rate) + amount
            at, rate = when, rate if new_rate is None else new_rate
        return level


class Exactness(RuleBasedStateMachine):
    """Two meters of one subject against the log of what was truly used: hits, looks, settlements in any order, waits,
    a clock that goes back, other amounts, a restart."""

    @initialize(amount=st.sampled_from([3.0, 10.0, 1000.0]), window_s=st.sampled_from([1.0, 60.0, 86_400.0]))
    def start(self, amount: float, window_s: float) -> None:
        self.store = MemoryStore()
        self.now = T0
        self.limits = {"requests": (amount, window_s), "tokens": (amount * 100, window_s)}
        self.logs = {"requests": Log(), "tokens": Log()}
        self.under_way: list[tuple[Any, int, dict[str, list[float]]]] = []

    def charges(self, tokens: float, *, book: bool = True) -> list[Charge]:
        made = []
        for unit, cost in (("requests", 1.0), ("tokens", tokens)):
            amount, window_s = self.limits[unit]
            meter = ("free", unit, "0", "a" * 32)
            made.append(
                Charge(meter, cost, amount, amount / window_s, book=book, guarded="account", estimate=unit == "tokens")
            )
        return made

    def ask(self, tokens: float, *, book: bool = True) -> Any:
        """Asks the store and holds its answer against the log's."""
        charges = self.charges(tokens, book=book)
        before = [self.logs[charge.meter[1]].level(self.now) for charge in charges]
        for charge in charges:
            log = self.logs[charge.meter[1]]
            if not log.rates or log.rates[-1][1] != charge.rate_per_s:
                log.rates.append((self.now, charge.rate_per_s))
        taken, lease = self.store.take(charges, NO_SLOTS, self.now)
        spare = [
            max(charge.capacity, charge.cost) - level - charge.cost
            for charge, level in zip(charges, before, strict=True)
        ]
        if min(spare) > 1e-3:
            assert taken.refused < 0
        if min(spare) < -1e-3:
            assert taken.refused >= 0
        added = [charge.cost if book and taken.refused < 0 else 0.0 for charge in charges]
        for level, old, cost in zip(taken.levels, before, added, strict=True):
            assert level == pytest.approx(old + cost, rel=1e-6, abs=1e-3)
        if lease and book:
            entries = {}
            for charge in charges:
                entries[charge.meter[1]] = [self.now, charge.cost]
                self.logs[charge.meter[1]].events.append(entries[charge.meter[1]])
            self.under_way.append((taken, lease, entries))
        return taken

    @rule(tokens=st.sampled_from([0.0, 1.0, 30.0, 250.0, 999.0, 20_000.0]))
    def hit(self, tokens: float) -> None:
        taken = self.ask(tokens)
        if taken.refused >= 0:
            self.now += taken.retry_after_s
            assert self.ask(tokens).refused < 0

    @rule(tokens=st.sampled_from([1.0, 500.0]))
    def look(self, tokens: float) -> None:
        self.ask(tokens, book=False)

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 30), part=st.sampled_from([0.0, 0.01, 0.5, 1.0, 1.5]))
    def settle(self, which: int, part: float) -> None:
        taken, lease, entries = self.under_way.pop(which % len(self.under_way))
        reserved = entries["tokens"][1]
        correction = reserved * part - reserved
        assert self.store.settle([(taken.meters[1], correction)], lease, self.now)
        assert not self.store.settle([(taken.meters[1], correction)], lease, self.now)
        if correction <= 0.0:
            entries["tokens"][1] += correction
        else:
            self.logs["tokens"].events.append([self.now, correction])

    @rule(seconds=st.sampled_from([0.01, 0.5, 7.0, 61.0, 4_000.0, 100_000.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(seconds=st.sampled_from([1.0, 3_600.0]))
    def clock_goes_back(self, seconds: float) -> None:
        """What is asked at a moment that is over is answered as of the last touch; the log does not notice it."""
        looks = [charge._replace(cost=0.0, capacity=1e12) for charge in self.charges(0.0, book=False)]
        last = self.store.take(looks, NO_SLOTS, self.now)[0].levels

        assert self.store.take(looks, NO_SLOTS, self.now - seconds)[0].levels == last

        for charge in looks:
            self.logs[charge.meter[1]].rates.append((self.now, charge.rate_per_s))

    @rule(amount=st.sampled_from([2.0, 10.0, 500.0]), window_s=st.sampled_from([1.0, 60.0, 3_600.0]))
    def policy_changes(self, amount: float, window_s: float) -> None:
        self.limits = {"requests": (amount, window_s), "tokens": (amount * 100, window_s)}

    @rule()
    def restart(self) -> None:
        """What is under way stays charged in full."""
        kept = json.loads(json.dumps(list(self.store.pieces())))
        self.store = MemoryStore()
        for piece in kept:
            self.store.restore(piece, self.now)
        self.under_way.clear()

    @invariant()
    def nothing_is_below_zero(self) -> None:
        for table in list(self.store.pieces()) if hasattr(self, "store") else []:
            for subject in table["subjects"].values():
                assert all(level >= 0.0 for level in subject[1::3])


TestExactness = Exactness.TestCase
TestExactness.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_chained_estimates_save_up_no_unused_time() -> None:
    """Large estimates that replace each other keep the meter from ever standing empty; the time is lost all the same: what
    is truly used obeys capacity + rate · t in every span."""
    store, used, under_way = MemoryStore(), [], []
    chance = random.Random(7)
    now = T0
    for _ in range(1_500):
        now += chance.choice([0.0, 0.0, 0.3, 2.0, 15.0])
        cost = chance.choice([100.0, 900.0, 1000.0])
        charge = Charge(("free", "tokens", "0", "a"), cost, 1000.0, 10.0, guarded="account", estimate=True)
        taken, lease = store.take([charge], NO_SLOTS, now)
        if lease:
            under_way.append((now, cost, taken.meters[0], lease))
        while len(under_way) > 3 or (under_way and taken.refused >= 0 and chance.random() < 0.8):
            start, reserved, meter, lease = under_way.pop(chance.randrange(len(under_way)))
            actual = chance.choice([1.0, reserved])
            store.settle([(meter, actual - reserved)], lease, now)
            used.append((start, actual))
    used.sort()

    for first, (start, _) in enumerate(used):
        total = 0.0
        for end, cost in used[first:]:
            total += cost
            assert total <= 1000.0 + 10.0 * (end - start) + 0.01


def test_many_answers_at_once_still_get_back_nearly_all_they_did_not_use() -> None:
    """A thousand answers of 30 s under way on one joint meter: the thinned trail gives back at least nine tenths."""
    store, under_way, now = MemoryStore(), [], T0
    reserved = given = 0.0
    for number in range(6_000):
        now += 0.03
        charge = Charge(("all", "tokens", "0", ""), 4000.0, 1e9, 10_000.0, estimate=True)
        taken, lease = store.take([charge], NO_SLOTS, now)
        under_way.append((now, taken.meters[0], lease))
        if number >= 1_000:
            _, meter, lease = under_way.pop(0)
            look = [charge._replace(book=False, cost=0.0)]
            before = store.take(look, NO_SLOTS, now)[0].levels[0]
            store.settle([(meter, -3500.0)], lease, now)
            given += before - store.take(look, NO_SLOTS, now)[0].levels[0]
            reserved += 3500.0

    assert given >= 0.9 * reserved


# -- bounded (115, 116, 117) -------------------------------------------------------------------------------------------


def test_a_full_table_keeps_the_throttled_and_serves_newcomers_from_the_overflow() -> None:
    store = MemoryStore(State(max_accounts=100))
    for number in range(100):
        for _ in range(5):
            assert admitted(store, T0, requests(f"{number:032x}"))
    attacker, honest = requests("e" * 32, shard=1), requests("f" * 32, shard=2)

    assert sum(admitted(store, T0, requests(f"{n:032x}", shard=1)) for n in range(1_000, 2_000)) == 5
    assert not admitted(store, T0, attacker)
    assert admitted(store, T0, honest)
    assert not admitted(store, T0, requests(f"{7:032x}"))
    assert store.counts()["subjects_account"] == 100


def test_only_drained_subjects_make_room() -> None:
    """A minute later everybody is drained and newcomers get meters of their own; a busy one is never dropped."""
    store = MemoryStore(State(max_accounts=100))
    busy = requests("b" * 32, amount=5.0, window_s=86_400.0)
    for _ in range(5):
        admitted(store, T0, busy)
    for number in range(99):
        admitted(store, T0, requests(f"{number:032x}"))
    overflowed = store.overflowed

    for number in range(1_000, 1_500):
        assert admitted(store, T0 + 61.0 + number, requests(f"{number:032x}", window_s=6.0))
        assert not admitted(store, T0 + 61.0 + number, busy)
    assert store.overflowed == overflowed
    assert store.counts()["subjects_account"] <= 100


def test_what_an_overflow_took_is_settled_there() -> None:
    store = MemoryStore(State(max_accounts=1))
    admitted(store, T0, requests("a" * 32))
    late = Charge(("free", "tokens", "0", "b" * 32), 900.0, 1000.0, 1.0, 9, guarded="account", estimate=True)
    taken, lease = store.take([late], NO_SLOTS, T0)
    assert taken.meters != (late.meter,)
    store.settle([(taken.meters[0], -800.0)], lease, T0)

    neighbour = late._replace(meter=("free", "tokens", "0", "c" * 32), cost=0.0)
    assert store.take([neighbour], NO_SLOTS, T0)[0].levels == (100.0,)


def test_provisional_subjects_have_a_small_table_and_an_overflow_of_their_own() -> None:
    """They take no place of an account's, and theirs is a fixed number."""
    store = MemoryStore(State(max_accounts=10))
    for number in range(6_000):
        admitted(store, T0, requests(f"{number:032x}", provisional=True, shard=number % 256))
    assert store.counts()["subjects_account?"] == 4_096

    assert all(admitted(store, T0, requests(f"{number:032x}", shard=3)) for number in range(10))
    assert admitted(store, T0, requests("f" * 32, shard=3))


def test_looking_enters_nobody_into_a_table() -> None:
    store = MemoryStore()
    for number in range(1_000):
        assert admitted(store, T0, requests(f"{number:032x}", book=False))

    assert store.counts()["subjects_account"] == 0


def test_one_of_many_sharers_does_not_slow_the_overflow_down() -> None:
    """A charge whose own allowance has shrunk must not set the pace of its neighbours."""
    store = MemoryStore(State(max_accounts=1))
    admitted(store, T0, requests("a" * 32))
    for number in range(5):
        admitted(store, T0, requests(f"{number:032x}"))
    slow = requests("b" * 32, amount=0.1)
    for second in range(60):
        assert not admitted(store, T0 + second / 10, slow)

    assert admitted(store, T0 + 12.1, requests("c" * 32))


def test_an_answer_dearer_than_its_estimate_is_charged_even_if_its_meter_was_dropped() -> None:
    store = MemoryStore(State(max_accounts=1))
    first = Charge(("free", "tokens", "0", "a" * 32), 10.0, 1000.0, 1.0, guarded="account", estimate=True)
    taken, lease = store.take([first], NO_SLOTS, T0)
    assert admitted(store, T0 + 11.0, requests("b" * 32, window_s=1.0))
    store.settle([(taken.meters[0], 500.0)], lease, T0 + 20.0)

    assert store.take([first._replace(cost=0.0)], NO_SLOTS, T0 + 20.0)[0].levels == (500.0,)


def test_ten_thousand_answers_that_never_end_leave_nothing_behind() -> None:
    """88: every second one is settled, the rest are lost; when their leases are over no slot and no lease is held."""
    store = MemoryStore()
    chance = random.Random(3)
    for number in range(10_000):
        now = T0 + number
        slot = Charge(("free", "concurrent", "0", f"{number % 7:032x}"), 1.0, 1e9, 0.0, guarded="account")
        _, lease = store.take([requests("a" * 32, amount=1e9)], Slots((slot,), now + 900.0), now)
        if chance.random() < 0.5:
            store.settle([], lease, now)
    store.take([], Slots((slot,), T0 + 20_000.0), T0 + 11_000.0)

    assert store.counts()["slots_in_use"] == 1


# -- over a restart ------------------------------------------------------------------------------------------------------


def test_a_restart_keeps_every_level_in_every_table() -> None:
    store = MemoryStore(State(max_accounts=3))
    everybody = [
        *[requests(f"{number:032x}", shard=5) for number in range(5)],
        *[requests(f"{number:032x}", provisional=True) for number in range(3)],
        Charge(("all", "tokens", "0", ""), 700.0, 1000.0, 1.0, estimate=True),
        Charge(("model", "cost", "1", "gpt-5"), 0.25, 10.0, 0.001, guarded="model"),
    ]
    for one in everybody:
        assert admitted(store, T0, one)
    after = MemoryStore(State(max_accounts=3))
    for piece in json.loads(json.dumps(list(store.pieces()))):
        after.restore(piece, T0 + 3.0)

    looks = [one._replace(cost=0.0, book=False) for one in everybody]
    for look in looks:
        assert store.take([look], NO_SLOTS, T0 + 3.0)[0].levels == after.take([look], NO_SLOTS, T0 + 3.0)[0].levels


def test_a_clock_that_was_put_back_over_a_restart_freezes_nobody() -> None:
    store, after = MemoryStore(), MemoryStore()
    for _ in range(5):
        admitted(store, T0, requests("a" * 32))
    for piece in store.pieces():
        after.restore(piece, T0 - 1e7)

    assert not admitted(after, T0 - 1e7, requests("a" * 32))
    assert admitted(after, T0 - 1e7 + 12.1, requests("a" * 32))


@pytest.mark.parametrize(
    "piece",
    [
        {},
        {"table": "account", "layouts": [], "subjects": {"a": [0]}},
        {"table": "account", "layouts": [[["l", "requests", "0"]]], "subjects": {"a": [0, 1.0]}},
        {"table": "account", "layouts": [[["l", "requests", "0"]]], "subjects": {"a": [0, -1.0, 1.0, 1.0]}},
        {"table": "account", "layouts": [[["l", "requests", "0"]]], "subjects": {"a": [0, float("nan"), 1.0, 1.0]}},
        {"table": "account", "layouts": [[["l", "requests", "0"]]], "subjects": {"a": [0, "x", 1.0, 1.0]}},
    ],
    ids=["empty", "no layout", "short", "negative", "nan", "text"],
)
def test_what_is_no_piece_is_said_to_be_none(piece: dict[str, Any]) -> None:
    with pytest.raises(StateError, match="move the files in state_dir away"):
        MemoryStore().restore(piece, T0)
