"""What many accounts share is bought in small lots: never more than the limit in all, hardly less, and rarely waited for."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from typing import Any

import pytest

from guard.charges import Bill, Slots, Spent, Tariff
from guard.remote.allotments import Allotments, Key
from guard.stores.memory import MemoryStore
from tests.remote.model import T0, Truth, tariff

ALL = ""
NO_COST = (0.0, 0.0, 0.0)


def bill(of: Tariff, tokens: float = 0.0, subject: str = ALL) -> Bill:
    return Bill(of, subject, (1.0, tokens, 0.0))


class Shop:
    """A replica's allotments and the store that it buys from, one after the other."""

    def __init__(self, server: MemoryStore | None = None, lease_s: float = 900.0) -> None:
        self.server = server or MemoryStore()
        self.allotments = Allotments(lease_s)
        self.asked = 0

    def fetch(self, key: Key, now: float) -> None:
        asking = self.allotments.asking(key, now)
        if asking is None:
            return
        self.asked += 1
        taken, lease = self.server.take([asking], Slots((), now + 900.0), now)
        if taken.refused < 0:
            self.allotments.granted(key, asking, lease, taken.levels, now)
        else:
            self.allotments.refused(key, asking, taken.levels, now)

    def take(self, bills: Sequence[Bill], now: float) -> Any:
        said = self.allotments.take(bills, now)
        for _ in range(3):
            if not said.fetch:
                break
            for key in said.fetch:
                self.fetch(key, now)
            said = self.allotments.take(bills, now, again=True)
        return said

    def tick(self, now: float) -> None:
        for key in self.allotments.low():
            self.fetch(key, now)
        for lease, used in self.allotments.ended(now):
            assert self.server.settle(Spent(0.0, used, 0.0), lease, now)

    def level(self, of: Tariff, now: float) -> tuple[float, ...]:
        look = Bill(Tariff(of.kind, of.meters, book=False), ALL, NO_COST)
        return self.server.take([look], Slots((), now), now)[0].levels


MINUTE = tariff(("requests", 300.0, 60.0), kind="")
FEW = tariff(("requests", 5.0, 60.0), kind="")
TOKENS = tariff(("tokens", 60_000.0, 60.0), kind="")


def test_a_cold_purse_says_what_it_needs_and_buys_it_once() -> None:
    shop = Shop()
    said = shop.allotments.take([bill(FEW)], T0)
    assert (said.ticket, said.refused, said.fetch) == (0, -1, (("", "requests0", "requests", ALL),))

    asking = shop.allotments.asking(said.fetch[0], T0)
    assert asking is not None
    assert (asking.subject, asking.costs[1]) == (ALL, 1.0)
    assert shop.allotments.asking(said.fetch[0], T0) is None, "it is being asked"


def test_a_small_limit_is_exact() -> None:
    """Four replicas, one after the other: five in all, as in one process, and the wait is enough."""
    server = MemoryStore()
    shops = [Shop(server) for _ in range(4)]
    said = [shops[number % 4].take([bill(FEW)], T0) for number in range(8)]

    assert sum(one.ticket > 0 for one in said) == 5
    assert said[5].refused == 0
    assert shops[1].take([bill(FEW)], T0 + said[5].retry_after_s).ticket


def test_those_who_wait_are_bought_for_at_once() -> None:
    shop = Shop()
    for _ in range(40):
        said = shop.allotments.take([bill(MINUTE)], T0)
    shop.fetch(said.fetch[0], T0)

    assert sum(shop.allotments.take([bill(MINUTE)], T0, again=True).ticket > 0 for _ in range(60)) >= 40
    assert shop.asked == 1


def test_more_that_wait_than_fit_get_what_there_is() -> None:
    """Three of five are used elsewhere, which nobody here knows yet: a hundred ask for five, hear so, and get two."""
    other = Shop()
    for _ in range(3):
        other.take([bill(FEW)], T0)
    shop = Shop(other.server)
    said = [shop.allotments.take([bill(FEW)], T0) for _ in range(100)]
    for _ in range(2):
        shop.fetch(said[0].fetch[0], T0)
        said = [one if one.ticket else shop.allotments.take([bill(FEW)], T0, again=True) for one in said]

    assert sum(one.ticket > 0 for one in said) == 2
    assert shop.asked == 2


def test_a_refusal_holds_here_for_a_second_at_most() -> None:
    """The store is asked once a second, however many are refused meanwhile."""
    shop = Shop()
    day = tariff(("requests", 2.0, 86_400.0), kind="")
    for number in range(1_000):
        shop.take([bill(day)], T0 + number / 100.0)

    assert shop.asked <= 2 + 2 * 10


def test_all_shared_limits_or_none() -> None:
    """The model has room, all together have not: nothing of the model's is used up."""
    shop = Shop()
    model = tariff(("requests", 100.0, 60.0), kind="model")
    none = tariff(("requests", 1.0, 3600.0), kind="")
    bills = [bill(model, subject="gpt"), bill(none)]
    assert shop.take(bills, T0).ticket
    said = shop.take(bills, T0)

    assert (said.ticket, said.refused) == (0, 1)
    assert len(said.levels) == 2


def test_a_limit_in_shadow_refuses_nobody_and_takes_nothing_then() -> None:
    shadowed = Tariff("", (FEW.meters[0]._replace(shadow=True),))
    shop = Shop()
    said = [shop.take([bill(shadowed)], T0) for _ in range(7)]

    assert [one.shadow for one in said] == [()] * 5 + [(0,)] * 2
    assert all(one.ticket for one in said)
    assert shop.level(FEW, T0) == (5.0,)


def test_looking_buys_nothing() -> None:
    """Whoever nobody has vouched for yet must not cause calls."""
    shop = Shop()
    said = shop.take([bill(Tariff("", FEW.meters, book=False))], T0)

    assert (said.refused, said.fetch, shop.asked) == (-1, (), 0)


def test_what_is_not_spent_goes_back() -> None:
    """Twenty a second for a second buy in advance; a second later nothing lies here any more."""
    shop = Shop()
    for number in range(100):
        assert shop.take([bill(MINUTE)], T0 + number / 20.0).ticket
        shop.tick(T0 + number / 20.0)
    for ticket in range(1, 101):
        shop.allotments.settle(ticket, (1.0, 0.0, 0.0), T0 + 5.0)
    shop.tick(T0 + 6.0)

    assert shop.asked < 60
    assert shop.level(MINUTE, T0 + 6.0)[0] == pytest.approx(100.0 - 30.0, abs=1.0)


def test_an_answer_that_came_to_less_or_more_is_corrected() -> None:
    shop = Shop()
    for spent, level in ((50.0, 50.0), (900.0, 950.0)):
        said = shop.take([bill(TOKENS, 600.0)], T0)
        shop.allotments.settle(said.ticket, (1.0, spent, 0.0), T0)
        shop.allotments.settle(said.ticket, (1.0, 0.0, 0.0), T0)
        shop.tick(T0 + 0.26)
        assert shop.level(TOKENS, T0 + 0.26)[0] == pytest.approx(level - 260.0 if level > 260.0 else 0.0, abs=270.0)


def test_what_came_of_nothing_lies_here_again() -> None:
    """The account's own limit refused, at the same time: the next one takes what was bought."""
    shop = Shop()
    said = shop.take([bill(FEW)], T0)
    shop.allotments.undo(said.ticket, T0)
    assert shop.take([bill(FEW)], T0).ticket
    assert shop.asked == 1


def test_a_request_dearer_than_the_limit_passes_on_an_empty_one() -> None:
    shop = Shop()
    assert shop.take([bill(TOKENS, 90_000.0)], T0).ticket
    assert shop.take([bill(TOKENS, 1.0)], T0).refused == 0


def test_slots_are_bought_one_by_one_used_again_and_given_back() -> None:
    server = MemoryStore()
    ours, theirs = Shop(server), Shop(server)
    slots = bill(tariff(slots=3, kind=""))
    held = [ours.take([slots], T0).ticket for _ in range(3)]
    assert all(held)
    assert theirs.take([slots], T0).refused == 0

    ours.allotments.settle(held[0], NO_COST, T0 + 1.0)
    assert ours.take([slots], T0 + 1.0).ticket, "the freed one, without asking"
    assert ours.asked == 3

    ours.allotments.settle(held[1], NO_COST, T0 + 1.0)
    ours.tick(T0 + 3.5)
    assert theirs.take([slots], T0 + 3.5).ticket, "idle for two seconds"


def test_a_slot_is_held_while_its_answer_runs_and_lost_ones_end() -> None:
    shop = Shop(lease_s=10.0)
    slots = bill(tariff(slots=1, kind=""))
    said = shop.take([slots], T0)
    assert len(shop.allotments.hold(said.ticket, T0 + 30.0)) == 1
    shop.allotments.ended(T0 + 20.0)
    assert shop.allotments.counts()["shared_lots"] == 1
    shop.allotments.ended(T0 + 31.0)
    assert shop.allotments.counts()["shared_lots"] == 0


def test_a_store_that_does_not_answer_leaves_nothing_pending() -> None:
    shop = Shop()
    said = shop.allotments.take([bill(FEW)], T0)
    assert shop.allotments.asking(said.fetch[0], T0)
    shop.allotments.failed(said.fetch[0], T0)

    assert shop.take([bill(FEW)], T0).ticket


def test_purses_are_bounded_and_the_idle_go() -> None:
    shop = Shop()
    model = tariff(("requests", 100.0, 60.0), kind="model")
    for number in range(5_000):
        asked = [bill(model, subject=f"m{number}")]
        key = shop.allotments.take(asked, T0).fetch[0]
        asking = shop.allotments.asking(key, T0)
        assert asking
        shop.allotments.granted(key, asking, number, (1.0,), T0)
        assert shop.allotments.take(asked, T0, again=True).ticket
    assert shop.allotments.counts()["shared"] <= 4_096

    for ticket in range(1, 5_001):
        shop.allotments.settle(ticket, (1.0, 0.0, 0.0), T0)
    ended = shop.allotments.ended(T0 + 61.0)
    assert sorted(ended) == [(number, 1.0) for number in range(5_000)]
    assert shop.allotments.counts() == {"shared": 0, "shared_lots": 0}


def test_at_the_end_everything_is_settled() -> None:
    shop = Shop()
    shop.take([bill(TOKENS, 600.0)], T0)
    ended = shop.allotments.ended(T0, all_of=True)

    assert [used for _, used in ended] == [600.0]
    assert shop.allotments.counts()["shared_lots"] == 0


# -- many replicas on one limit ----------------------------------------------------------------------------------------


def market(
    replicas: int,
    of: Tariff,
    seed: int,
    *,
    over: float,
    mean: float,
    seconds: float = 150.0,
    latency_s: float = 0.002,
    answer_s: float = 3.0,
) -> tuple[float, float, float]:
    """Replicas that buy from one store, each call a while on its way. Returns how far above its limit what was admitted (at
    what it came to, when it was admitted) ever stood, the part of the limit's rate that was used after the first minute, and
    how many of the admitted had to wait for the store."""
    rng = random.Random(seed)
    meter = of.meters[0]
    server, truth = MemoryStore(), Truth(meter.amount, meter.amount / meter.rate_per_s)
    shops = [Shop(server) for _ in range(replicas)]
    waiting: list[dict[Key, list[Any]]] = [{} for _ in shops]
    events: list[tuple[float, int, str, Any]] = []
    now, count, waited, admitted = T0, 0, 0, 0
    per_s = over * meter.rate_per_s / mean
    while now < T0 + seconds:
        now += rng.expovariate(per_s)
        events.append((now, len(events), "hit", None))
    events += [(T0 + tick / 10.0, len(events) + tick, "tick", None) for tick in range(int(seconds * 10))]
    count = len(events)
    heapq.heapify(events)

    def push(at: float, what: str, which: Any) -> None:
        nonlocal count
        count += 1
        heapq.heappush(events, (at, count, what, which))

    def attempt(number: int, cost: float, tries: int) -> None:
        nonlocal waited, admitted
        shop = shops[number]
        said = shop.allotments.take([bill(of, cost)], now, again=tries > 0)
        if said.ticket:
            admitted += 1
            waited += tries > 0
            actual = cost if meter.place == 0 else cost * rng.choice([0.1, 0.3, 1.0])
            truth.admit(now, actual)
            push(now + rng.expovariate(1 / answer_s), "settle", (shop, said.ticket, actual))
        elif said.fetch and tries < 4:
            waiting[number].setdefault(said.fetch[0], []).append((cost, tries + 1))
            buy(number, said.fetch[0])
        for key in shop.allotments.low():
            buy(number, key)

    def buy(number: int, key: Key) -> None:
        asking = shops[number].allotments.asking(key, now)
        if asking is not None:
            shops[number].asked += 1
            push(now + latency_s * (0.5 + rng.random()), "store", (number, key, asking))

    while events:
        now, _, what, which = heapq.heappop(events)
        if what == "hit":
            attempt(rng.randrange(replicas), 1.0 if meter.place == 0 else mean * rng.choice([0.5, 1.0, 1.5]), 0)
        elif what == "store":
            number, key, asking = which
            taken, lease = server.take([asking], Slots((), now + 900.0), now)
            push(now + latency_s * (0.5 + rng.random()), "reply", (number, key, asking, taken, lease))
        elif what == "reply":
            number, key, asking, taken, lease = which
            if taken.refused < 0:
                shops[number].allotments.granted(key, asking, lease, taken.levels, now)
            else:
                shops[number].allotments.refused(key, asking, taken.levels, now)
            for cost, tries in waiting[number].pop(key, []):
                attempt(number, cost, tries)
        elif what == "settle":
            shop, ticket, actual = which
            shop.allotments.settle(ticket, (1.0, actual, 0.0), now)
        else:
            for shop in shops:
                shop.tick(now)
    used = truth.within(T0 + 60.0, T0 + seconds) / (truth.rate * (seconds - 60.0))
    return truth.excess(), used, waited / max(1, admitted)


@pytest.mark.parametrize("replicas", [1, 4, 8])
@pytest.mark.parametrize(
    ("of", "over", "mean"),
    [
        (tariff(("requests", 300.0, 60.0), kind=""), 10.0, 1.0),
        (tariff(("requests", 6_000.0, 60.0), kind=""), 1.5, 1.0),
        (tariff(("requests", 20.0, 1.0), kind=""), 3.0, 1.0),
        (tariff(("requests", 10.0, 60.0), kind=""), 20.0, 1.0),
        (tariff(("tokens", 600_000.0, 60.0), kind=""), 4.0, 1_000.0),
    ],
    ids=["minute", "many", "second", "few", "tokens"],
)
def test_no_window_of_a_shared_limit_is_exceeded_and_little_is_left(
    replicas: int, of: Tariff, over: float, mean: float
) -> None:
    excess, used, _ = market(replicas, of, 5, over=over, mean=mean)

    assert excess <= 1e-6
    assert used >= (0.9 if of.meters[0].place == 0 else 0.75)


def test_in_the_middle_of_the_day_hardly_anybody_waits_for_the_store() -> None:
    """A limit that is far off, many requests: they find what they need here."""
    excess, used, waited = market(4, tariff(("requests", 60_000.0, 60.0), kind=""), 3, over=0.1, mean=1.0, seconds=90.0)

    assert excess < 0.0
    assert used == pytest.approx(0.1, abs=0.02)
    assert waited < 0.12
