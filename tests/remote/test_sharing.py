"""What many accounts share, bought of a real store by several replicas at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from guard.charges import Bill, Metered, SlotLimit, Slots, Spent, Tariff
from guard.settings import State
from guard.stores.redis import RedisStore
from tests.remote.model import tariff
from tests.servers import Server

pytestmark = pytest.mark.anyio

T0 = 1_700_000_000.0
ALICE, BOB = "a" * 32, "b" * 32
OWN = tariff(("requests", 1_000.0, 3600.0))


class Replicas:
    """Stores on one server, by a clock of ours. Nothing happens in the background but what ``tick`` does."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.now = T0
        self.stores: list[RedisStore] = []

    def add(self, **more: Any) -> RedisStore:
        state = State(store=self.url, deadline_s=5.0, **more)
        self.stores.append(RedisStore(state, time=lambda: self.now, replica=f"r{len(self.stores)}"))
        return self.stores[-1]

    async def take(self, store: RedisStore, *bills: Bill) -> Any:
        return await store.reserve(bills, Slots((), self.now + 900.0), self.now)

    def settle(self, store: RedisStore, lease: int, tokens: float = 0.0) -> None:
        assert store.settle(Spent(1.0, tokens, 0.0), lease, self.now)

    async def tick(self) -> None:
        for store in self.stores:
            store._sharing.round()
            await store.drain()


@pytest.fixture
async def replicas(store_server: Server) -> AsyncIterator[Replicas]:
    made = Replicas(store_server.url)
    yield made
    for store in made.stores:
        await store.close()


def own(subject: str = ALICE) -> Bill:
    return Bill(OWN, subject, (1.0, 0.0, 0.0))


def shared(of: Tariff, tokens: float = 0.0) -> Bill:
    return Bill(of, "gpt" if of.kind else "", (1.0, tokens, 0.0))


async def test_a_thousand_at_once_on_each_of_four_replicas_get_exactly_what_all_share(replicas: Replicas) -> None:
    stores = [replicas.add() for _ in range(4)]
    of = tariff(("requests", 200.0, 3600.0), kind="model")
    outcomes = await asyncio.gather(
        *[replicas.take(store, own(f"{n:032x}"), shared(of)) for store in stores for n in range(1_000)]
    )
    admitted = sum(taken.refused < 0 for taken, _ in outcomes)

    # Bought below the limit by what drains in a quarter of a second, so not the last one.
    assert 199 <= admitted <= 200
    assert [store.errors for store in stores] == [{}] * 4


async def test_what_one_is_refused_is_not_used_up(replicas: Replicas) -> None:
    """The account has no room: what was bought of the model's lies there for the next one, and the other way round."""
    store = replicas.add()
    few = Bill(tariff(("requests", 1.0, 3600.0)), ALICE, (1.0, 0.0, 0.0))
    model = tariff(("requests", 3.0, 3600.0), kind="model")
    outcomes = [(await replicas.take(store, few, shared(model)))[0].refused for _ in range(5)]
    assert outcomes == [-1, 0, 0, 0, 0]

    outcomes = [(await replicas.take(store, own(BOB), shared(model)))[0].refused for _ in range(3)]
    assert outcomes == [-1, -1, 1]
    await store.drain()
    taken, _ = await replicas.take(store, own(BOB))
    assert taken.levels == (pytest.approx(3.0),)


async def test_charges_are_numbered_as_the_bills_stand(replicas: Replicas) -> None:
    """Meters of all bills first, then slots, whoever was asked for them."""
    store = replicas.add()
    both = Tariff(
        "",
        (Metered("all", "requests", "0", 9.0, 0.01, 0), Metered("all", "tokens", "0", 900.0, 0.01, 1)),
        (SlotLimit("all", 1),),
    )
    mine = Tariff("account", OWN.meters, (SlotLimit("mine", 5),))
    bills = [Bill(both, "", (1.0, 30.0, 0.0)), Bill(mine, ALICE, (1.0, 30.0, 0.0))]
    taken, lease = await replicas.take(store, *bills)
    assert taken.levels == (1.0, 30.0, 1.0, 1.0, 1.0)

    again, _ = await replicas.take(store, *bills)
    assert (again.refused, again.retry_after_s) == (3, 1.0)
    assert lease


async def test_a_slot_that_is_free_again_is_used_by_the_next_without_asking(replicas: Replicas) -> None:
    ours, theirs = replicas.add(), replicas.add()
    slots = shared(tariff(slots=2, kind=""))
    held = [(await replicas.take(ours, slots))[1] for _ in range(2)]
    assert (await replicas.take(theirs, slots))[0].refused == 0

    replicas.settle(ours, held[0])
    assert (await replicas.take(ours, slots))[0].refused == -1
    replicas.settle(ours, held[1])
    replicas.now += 2.5
    await replicas.tick()
    assert (await replicas.take(theirs, slots))[0].refused == -1


async def test_a_slot_is_held_while_its_answer_runs(replicas: Replicas) -> None:
    """Beyond its lease, as long as somebody says so, and no longer."""
    ours, theirs = replicas.add(lease_s=10.0), replicas.add(lease_s=10.0)
    slots = shared(tariff(slots=1, kind=""))
    _, lease = await ours.reserve([slots], Slots((), replicas.now + 10.0), replicas.now)
    ours.hold(lease, replicas.now + 30.0)
    await ours.drain()
    for at, refused in ((20.0, 0), (31.0, -1)):
        replicas.now = T0 + at
        await replicas.tick()
        assert (await replicas.take(theirs, slots))[0].refused == refused


async def test_what_answers_did_not_come_to_is_there_for_other_replicas(replicas: Replicas) -> None:
    ours, theirs = replicas.add(), replicas.add()
    tokens = tariff(("tokens", 10_000.0, 36_000.0), kind="")
    held = [await replicas.take(ours, shared(tokens, 2_500.0)) for _ in range(3)]
    assert (await replicas.take(theirs, shared(tokens, 9_000.0)))[0].refused == 0
    for _, lease in held:
        replicas.settle(ours, lease, 100.0)
    replicas.now += 1.5
    await replicas.tick()

    taken, _ = await replicas.take(theirs, shared(tokens, 9_000.0))
    assert taken.refused == -1
    assert taken.levels == (pytest.approx(9_300.0, abs=1.0),)


async def test_who_is_cancelled_leaves_nothing_behind(replicas: Replicas) -> None:
    """Half of a thousand give up while they wait; what they had taken is there for others, to the last one."""
    stores = [replicas.add() for _ in range(2)]
    of = tariff(("requests", 15.0, 36_000.0), kind="")
    tasks = [
        asyncio.ensure_future(replicas.take(store, own(f"{n:032x}"), shared(of)))
        for n in range(500)
        for store in stores
    ]
    for number, task in enumerate(tasks):
        if number % 2:
            asyncio.get_running_loop().call_later(number * 1e-5, task.cancel)
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    admitted = [one for one in outcomes if not isinstance(one, BaseException) and one[0].refused < 0]
    replicas.now += 1.5
    await replicas.tick()
    while (outcome := await replicas.take(stores[0], own(BOB), shared(of)))[0].refused < 0:
        admitted.append(outcome)

    assert len(admitted) == 15


async def test_at_the_end_what_was_bought_goes_back(replicas: Replicas) -> None:
    ours, theirs = replicas.add(), replicas.add()
    of = tariff(("tokens", 1_000.0, 36_000.0), kind="")
    _, lease = await replicas.take(ours, shared(of, 900.0))
    replicas.settle(ours, lease, 10.0)
    replicas.stores.remove(ours)
    await ours.close()

    assert (await replicas.take(theirs, shared(of, 980.0)))[0].refused == -1
