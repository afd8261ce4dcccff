"""Outages of every kind, in any order: what was admitted is never forgotten, and no more is handed out than the shares say.

The bound of one outage, for a meter of B with the level L: every replica has room for s·(B − Lᵢ) where Lᵢ is what it saw last,
and for one request. What that is in all above B − L is what an outage may admit too much: with shares that add up to one and
levels that all saw, one request a replica.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from guard.charges import Bill, Spent
from tests.remote.model import ACCOUNT, T0, Replica, Server, Truth, bill, tariff

WINDOW_S = 60.0


class Outages(RuleBasedStateMachine):
    """Two meters of one account, up to five replicas that come and go, a store that is lost or only out of reach."""

    @initialize(amount=st.sampled_from([20.0, 300.0]), lag_s=st.sampled_from([0.0, 40.0]))
    def start(self, amount: float, lag_s: float) -> None:
        self.server = Server(lag_s)
        self.now = T0
        self.amount = amount
        self.windows = {"requests": amount, "tokens": amount * 50.0}
        self.truth = {unit: Truth(room, WINDOW_S) for unit, room in self.windows.items()}
        self.of = tariff(("requests", amount, WINDOW_S), ("tokens", amount * 50.0, WINDOW_S))
        self.names = 0
        self.ones: list[Replica] = []
        self.dearest = 0.0
        self.above = dict.fromkeys(self.windows, 0.0)
        self.under_way: list[tuple[Replica, int, dict[str, list[float]]]] = []
        self.up = True
        self.changed_at = self.down_at = self.unsure_s = 0.0
        """So long have debts drained that lay, unknown to their replicas, on something that drained first."""
        self.unknowing = False
        self.blind = False
        """What is in the store has been seen by nobody who is still there since it changed: a second loss now is a second
        fault, of which nothing is claimed."""
        self.join()
        self.join()

    def bill(self, tokens: float = 0.0) -> Bill:
        return bill(self.of, tokens)

    def counted(self) -> None:
        for one in self.ones:
            one.shadow.replicas = len(self.ones)

    @precondition(lambda self: len(self.ones) < 5 and self.up)
    @rule()
    def join(self) -> None:
        self.names += 1
        self.ones.append(Replica(self.server, f"r{self.names}", 1))
        self.counted()

    @precondition(lambda self: len(self.ones) > 1 and self.up)
    @rule(which=st.integers(0, 4))
    def leave(self, which: int) -> None:
        gone = self.ones.pop(which % len(self.ones))
        self.under_way = [one for one in self.under_way if one[0] is not gone]
        self.blind = True
        self.counted()

    @rule(which=st.integers(0, 4), tokens=st.sampled_from([0.0, 10.0, 200.0, 900.0]), times=st.sampled_from([1, 3, 40]))
    def hit(self, which: int, tokens: float, times: int) -> None:
        one = self.ones[which % len(self.ones)]
        if self.up:
            self.blind, self.changed_at = False, self.now
        for _ in range(times):
            exchange = one.take([self.bill(tokens)], self.now)
            if not exchange:
                break
            self.dearest = max(self.dearest, tokens)
            entries = {
                "requests": self.truth["requests"].admit(self.now, 1.0),
                "tokens": self.truth["tokens"].admit(self.now, tokens),
            }
            self.under_way.append((one, exchange, entries))

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 99), part=st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    def settle(self, which: int, part: float) -> None:
        one, exchange, entries = self.under_way.pop(which % len(self.under_way))
        entries["tokens"][1] *= part
        one.settle(exchange, Spent(1.0, entries["tokens"][1], 0.0), self.now)

    @rule(seconds=st.sampled_from([0.001, 0.5, 5.0, 70.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.up)
    @rule(lost=st.booleans())
    def outage(self, lost: bool) -> None:
        for place, unit in enumerate(self.windows):
            self.above[unit] = max(self.above[unit], self.handed_out(place, unit))
        if lost and not self.blind:
            self.server.lose()
        self.now += 0.001
        self.up = False
        self.down_at = self.now
        self.unknowing = any(
            not (account := one.shadow.views.account(ACCOUNT)) or account.views[0].now < self.changed_at
            for one in self.ones
        )
        for one in self.ones:
            one.up = False

    def handed_out(self, place: int, unit: str) -> float:
        """How far above its capacity an outage from now on may bring the meter."""
        capacity = self.windows[unit]
        level = self.truth[unit].level(self.now)
        room, alone = 0.0, 1.0 if unit == "requests" else 900.0
        for one in self.ones:
            account = one.shadow.views.account(ACCOUNT)
            seen = account.levels(self.bill(), self.now)[place] if account else 0.0
            share = account.share(len(self.ones), self.now) if account else 1.0 / len(self.ones)
            room += share * max(0.0, capacity - seen) + alone
        return max(0.0, level + room - capacity)

    @precondition(lambda self: not self.up)
    @rule()
    def back(self) -> None:
        self.now += 0.001
        self.up = self.blind = True
        if self.unknowing:
            self.unsure_s += self.now - self.down_at
        for one in self.ones:
            one.up = True
            one.shadow.recall()
        for one in self.ones:
            one.flush(self.now)

    @rule()
    def blink(self) -> None:
        """The store is there for one moment."""
        if not self.up:
            self.back()
            self.outage(lost=False)

    @invariant()
    def nothing_is_forgotten(self) -> None:
        """With the store up, its levels are no lower than what was truly admitted comes to."""
        if not self.up or not self.truth["requests"].events:
            return
        record = self.server.records.get(ACCOUNT)
        for unit, truth in self.truth.items():
            level = truth.level(self.now)
            if level > 1e-6:
                assert record is not None
                kept = next(kept for meter, kept in record.meters.items() if meter[1] == unit)
                left = max(0.0, kept.level - (self.now + self.server.lag_s - kept.as_of) * kept.rate)
                assert left >= level - truth.rate * self.unsure_s - 1e-6, (unit, left, level)

    @invariant()
    def no_window_is_above_its_bound(self) -> None:
        for unit, truth in self.truth.items():
            bound = max(self.above[unit], self.dearest if unit == "tokens" else 0.0)
            assert truth.excess() * self.windows[unit] <= bound + 1e-6, unit


Outages.TestCase.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestOutages: Any = Outages.TestCase
