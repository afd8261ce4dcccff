"""No window above the limit: two replicas of a shared store against the log of what was truly used, whatever happens to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from guard.charges import Metered
from guard.contracts import Bill, Slots, Spent, Tariff
from tests.servers import Cluster, Server
from tests.stores.stands import Awaited, Loop
from tests.stores.test_memory import Log

T0 = 1_700_000_000.0
ALICE = "a" * 32
WINDOWS = {"requests": (0, 4.0, 60.0), "tokens": (1, 1_000.0, 600.0)}


class Windows(RuleBasedStateMachine):
    """Hits, settlements and refunds in any order, waits, a clock that goes back, a flushed store, forgotten scripts, other
    limits. Whatever is admitted fits into the limit by the log."""

    url = ""
    loop: Loop
    on_all: Any

    @initialize()
    def start(self) -> None:
        self.on_all("FLUSHALL")
        self.now = T0
        self.latest = 0.0
        """By the store's clock: a record's time does not go back."""
        self.there = False
        """Whether there is a record, which knows what time it was."""
        self.stores = [Awaited(self.url, self.loop, replica=name) for name in ("here", "there")]
        self.amounts = {unit: amount for unit, (_, amount, _) in WINDOWS.items()}
        self.logs = {unit: Log() for unit in WINDOWS}
        self.leases: list[tuple[Awaited, int, dict[str, list[float]], float]] = []

    def tariff(self, *, look: bool = False) -> Tariff:
        meters = [
            Metered("free", unit, "0", 1e12 if look else self.amounts[unit], self.amounts[unit] / window_s, place)
            for unit, (place, _, window_s) in WINDOWS.items()
        ]
        return Tariff("account", tuple(meters), book=not look)

    def ask(self, store: Awaited, tokens: float, *, look: bool = False) -> Any:
        self.latest = max(self.latest, self.now)
        for unit, (_, _, window_s) in WINDOWS.items():
            log, rate = self.logs[unit], self.amounts[unit] / window_s
            if not log.rates or log.rates[-1][1] != rate:
                log.rates.append((self.latest, rate))
        bill = Bill(self.tariff(look=look), ALICE, (1.0, tokens, 0.0))
        return store.take([bill], Slots((), self.now + 1e6), self.now)

    @rule(at=st.integers(0, 1), tokens=st.sampled_from([0.0, 1.0, 300.0, 999.0, 3_000.0]))
    def hit(self, at: int, tokens: float) -> None:
        store = self.stores[at]
        taken, lease = self.ask(store, tokens)
        if not lease:
            return
        costs = {"requests": 1.0, "tokens": tokens}
        for unit, cost in costs.items():
            used = self.logs[unit].level(self.latest)
            assert used + cost <= max(self.amounts[unit], cost) + 1e-3, (unit, used, taken)
        entries = {unit: [self.latest, cost] for unit, cost in costs.items()}
        for unit, entry in entries.items():
            self.logs[unit].events.append(entry)
        self.leases.append((store, lease, entries, tokens))
        self.there = True

    @precondition(lambda self: self.leases)
    @rule(which=st.integers(0, 30), part=st.sampled_from([0.0, 0.1, 1.0, 1.5]))
    def settle(self, which: int, part: float) -> None:
        store, lease, entries, tokens = self.leases.pop(which % len(self.leases))
        store.settle(Spent(1.0, tokens * part, 0.0), lease, self.now)
        entries["tokens"][1] = tokens * part

    @rule(at=st.integers(0, 1), tokens=st.sampled_from([1.0, 600.0]))
    def refund(self, at: int, tokens: float) -> None:
        """The app was never called: all comes back at once."""
        _, lease = self.ask(self.stores[at], tokens)
        if lease:
            self.there = True
            self.stores[at].settle(Spent(0.0, 0.0, 0.0), lease, self.now)

    @rule(wait_s=st.sampled_from([0.001, 1.0, 15.0, 400.0]))
    def wait(self, wait_s: float) -> None:
        self.now += wait_s

    @precondition(lambda self: self.there)
    @rule(back_s=st.sampled_from([0.5, 30.0, 4_000.0]))
    def clock_back(self, back_s: float) -> None:
        self.now -= back_s

    @rule()
    def flush(self) -> None:
        """Every replica has just looked: what one has not seen, it can't know of."""
        self.now = max(self.latest, self.now) + 0.001
        for store in self.stores:
            self.ask(store, 0.0, look=True)
        self.on_all("FLUSHALL")
        self.now += 0.001
        self.there = False

    @rule(share=st.sampled_from([0.5, 1.0, 3.0]))
    def change(self, share: float) -> None:
        self.amounts = {unit: amount * share for unit, (_, amount, _) in WINDOWS.items()}

    @rule()
    def forget_scripts(self) -> None:
        self.on_all("SCRIPT", "FLUSH")

    def teardown(self) -> None:
        for store in getattr(self, "stores", []):
            store.close()


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


def check(address: str, over: Loop, server: Server | Cluster, examples: int) -> None:
    class Here(Windows):
        url = address
        loop = over

        def on_all(self, *command: str) -> None:
            for node in server.nodes if isinstance(server, Cluster) else [server]:
                node.call(*command)

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            database=None,
            phases=(Phase.generate,),  # each step asks a server: a failure is told as it is found
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_no_window_is_above_the_limit(store_server: Server, loop: Loop) -> None:
    """On one server."""
    check(store_server.url, loop, store_server, 40)


def test_no_window_is_above_the_limit_in_a_cluster(store_cluster: Cluster, loop: Loop) -> None:
    """On three nodes."""
    check(store_cluster.url, loop, store_cluster, 6)
