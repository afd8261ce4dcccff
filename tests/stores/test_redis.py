"""The shared store on real servers: exact among replicas, whole after losses, unmoved by what others write there."""

from __future__ import annotations

import asyncio
import random
import struct
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from guard.charges import Metered, SlotLimit
from guard.contracts import Bill, Remote, Slots, Spent, Store, Tariff
from guard.errors import InstallError
from guard.remote import names
from guard.settings import State
from guard.stores.memory import MemoryStore
from guard.stores.redis import RedisStore
from tests.servers import Cluster, Failover, Server
from tests.stores.stands import Awaited, Loop

T0 = 1_700_000_000.0
ALICE = "a" * 32
KEY = names.key(ALICE)
NOTHING = Spent(0.0, 0.0, 0.0)
pytestmark = pytest.mark.anyio


def tariff(amount: float = 5.0, window_s: float = 3_600.0, **more: Any) -> Tariff:
    return Tariff("account", (Metered("free", "requests", "0", amount, amount / window_s, 0),), **more)


TOKENS = Tariff("account", (Metered("free", "tokens", "0", 10_000.0, 10_000.0 / 86_400.0, 1),), (SlotLimit("free", 3),))
FIVE = tariff()


class Replicas:
    """Stores on one server, each as if in a process of its own; ``now`` is the time of all."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.now = T0
        self.stores: list[RedisStore] = []

    def add(self, **more: Any) -> RedisStore:
        # A machine that is busy with other things must not make a fault of it.
        made = RedisStore(State(store=self.url, deadline_s=30.0), time=lambda: self.now, **more)
        self.stores.append(made)
        return made

    async def take(self, store: RedisStore, *bills: Bill) -> Any:
        return await store.reserve(bills, Slots((), self.now + 900.0), self.now)

    async def hit(self, store: RedisStore, of: Tariff = FIVE, subject: str = ALICE, **costs: float) -> bool:
        bill = Bill(of, subject, (costs.get("requests", 1.0), costs.get("tokens", 0.0), 0.0))
        return bool((await self.take(store, bill))[1])

    async def level(self, store: RedisStore, of: Tariff = FIVE, subject: str = ALICE) -> float:
        """As a look without any room to lack finds it."""
        look = Tariff(of.kind, tuple([meter._replace(amount=1e12) for meter in of.meters]), book=False)
        return float((await self.take(store, Bill(look, subject, (0.0, 0.0, 0.0))))[0].levels[0])


@pytest.fixture
async def replicas(store_server: Server) -> AsyncIterator[Replicas]:
    made = Replicas(store_server.url)
    yield made
    for store in made.stores:
        await store.close()


@pytest.fixture
async def spread(store_cluster: Cluster) -> AsyncIterator[Replicas]:
    """The same on three nodes."""
    made = Replicas(store_cluster.url)
    yield made
    for store in made.stores:
        await store.close()


# -- one truth -------------------------------------------------------------------------------------------------------


async def exactly_n(replicas: Replicas, n: int) -> None:
    stores = [replicas.add() for _ in range(4)]
    of = tariff(float(n))
    admitted = await asyncio.gather(*[replicas.hit(store, of) for store in stores for _ in range(1_000)])

    assert sum(admitted) == n
    assert [store.errors for store in stores] == [{}] * 4


async def test_a_thousand_at_once_on_each_of_four_replicas_admit_exactly_n(replicas: Replicas) -> None:
    """One key, 4,000 at once: as many as the limit says, to the last one."""
    await exactly_n(replicas, 777)


async def test_a_cluster_admits_exactly_n(spread: Replicas) -> None:
    """The same on three nodes."""
    await exactly_n(spread, 333)


async def test_accounts_of_one_moment_share_one_call(replicas: Replicas, store_server: Server) -> None:
    """A hundred accounts at once: a few scripts, not a hundred."""
    store = replicas.add()
    await replicas.hit(store, subject="0" * 32)
    before = calls(store_server, "evalsha")
    assert all(await asyncio.gather(*[replicas.hit(store, subject=f"{n:032x}") for n in range(1, 101)]))

    assert calls(store_server, "evalsha") - before <= 4


async def test_it_is_a_store_of_another_process(replicas: Replicas) -> None:
    store = replicas.add()

    assert isinstance(store, Remote)
    with pytest.raises(InstallError, match="no address"):
        RedisStore()


def calls(server: Server, command: str) -> int:
    """How often a server has run a command."""
    found = server.call("INFO", "commandstats").get(f"cmdstat_{command}", {})
    return int(found.get("calls", 0))


def test_a_life_is_the_same_in_memory_and_in_a_shared_store(store_server: Server) -> None:
    """Bills of an account and its users, settled in any order, shadows, slots, f: every answer is the memory store's."""
    chance = random.Random(5)
    loop = Loop()
    remote, memory = Awaited(store_server.url, loop), MemoryStore()
    stores: tuple[Store, Store] = (remote, memory)
    meters = (
        Metered("free", "requests", "0", 20.0, 2.0, 0),
        Metered("free", "tokens", "0", 5_000.0, 50.0, 1),
        Metered("free", "tokens", "1", 90_000.0, 10.0, 1),
        Metered("trial", "tokens", "0", 1_500.0, 20.0, 1, True),
    )
    mine = Tariff("account", meters, (SlotLimit("free", 6), SlotLimit("trial", 3, True)))
    its_users = Tariff("user", meters[:2], (SlotLimit("each", 2),))
    now, leases = T0, []
    for _ in range(2_000):
        now += chance.choice([0.0, 0.0, 0.01, 0.3, 2.0, 9.0])
        if leases and chance.random() < 0.5:
            pair, costs = leases.pop(chance.randrange(len(leases)))
            spent = chance.choice([NOTHING, Spent(1.0, costs[1] * chance.choice([0.01, 1.0, 1.5]), 0.0)])
            settled = [each.settle(spent, lease, now) for each, lease in zip(stores, pair, strict=True)]
            assert settled[0] == settled[1]
            continue
        costs = (1.0, chance.choice([0.0, 30.0, 400.0, 2_000.0, 7_000.0]), 0.0)
        name = f"{chance.randrange(3):032x}"
        bills = [
            Bill(mine, name, costs, chance.choice([1.0, 1.0, 0.5, 0.02])),
            Bill(its_users, f"{name}/{chance.randrange(2)}", costs),
        ]
        (far, one), (near, other) = [each.take(bills, Slots((), now + 40.0), now) for each in stores]
        assert (far.refused, far.shadow, bool(one)) == (near.refused, near.shadow, bool(other))
        assert far.retry_after_s == pytest.approx(near.retry_after_s)
        assert far.levels == pytest.approx(near.levels, rel=1e-9, abs=1e-6)
        if one:
            leases.append(((one, other), costs))
        leases = [lease for lease in leases if chance.random() < 0.99]  # an answer that was lost
    remote.close()
    loop.close()


# -- what is lost ----------------------------------------------------------------------------------------------------


async def test_an_emptied_store_gives_no_fresh_budget(replicas: Replicas, store_server: Server) -> None:
    """Flushed when five of five are used: the very next request is refused, by every replica that saw it."""
    here, there = replicas.add(), replicas.add()
    assert [await replicas.hit(here) for _ in range(5)] == [True] * 5
    assert not await replicas.hit(there)
    store_server.call("FLUSHALL")

    assert not await replicas.hit(here)
    assert not await replicas.hit(there)
    replicas.now += 721.0  # a fifth of the hour
    assert [await replicas.hit(here), await replicas.hit(there)] == [True, False]


async def test_what_was_admitted_since_a_loss_counts_on_top_of_what_others_saw(
    replicas: Replicas, store_server: Server
) -> None:
    """One replica saw 2, the other 4. After the loss the first admits one more; then the second says 4: five are used."""
    here, there = replicas.add(), replicas.add()
    for store in (here, here, there, there):
        assert await replicas.hit(store)
    store_server.call("FLUSHALL")
    replicas.now += 0.001
    assert await replicas.hit(here)

    assert not await replicas.hit(there)
    assert await replicas.level(there) == pytest.approx(5.0, abs=1e-3)


async def test_whoever_has_seen_nothing_cannot_hide_a_loss(replicas: Replicas, store_server: Server) -> None:
    """After the loss a replica comes first that never saw the account; the one that did still makes it good."""
    here, stranger = replicas.add(), replicas.add()
    assert [await replicas.hit(here) for _ in range(4)] == [True] * 4
    store_server.call("FLUSHALL")
    replicas.now += 1.0
    assert await replicas.hit(stranger)

    assert not await replicas.hit(here)
    assert await replicas.level(here) == pytest.approx(5.0, abs=0.01)


async def test_an_older_copy_is_made_good(replicas: Replicas, store_server: Server) -> None:
    """A failover to a replica that lagged behind: its record is there, but older than what was seen."""
    store = replicas.add()
    assert await replicas.hit(store)
    copy = await dumped(store)
    replicas.now += 1.0
    assert [await replicas.hit(store) for _ in range(4)] == [True] * 4
    await store._link.call("RESTORE", KEY, 60_000, copy, "REPLACE")

    assert not await replicas.hit(store)


async def test_what_has_drained_is_no_loss(replicas: Replicas, store_server: Server) -> None:
    """A record that is gone because nothing in it was used any more is simply made anew."""
    store = replicas.add()
    assert await replicas.hit(store)
    store_server.call("DEL", KEY)
    replicas.now += 3_600.0

    assert [await replicas.hit(store) for _ in range(6)] == [True] * 5 + [False]


async def test_a_forgotten_account_begins_anew(replicas: Replicas) -> None:
    """What was erased is not taken for lost, neither here nor by a replica that has seen it."""
    here, there = replicas.add(), replicas.add()
    for store in (here, here, there):
        assert await replicas.hit(store)
    assert await here.erase(ALICE) == 1

    assert await replicas.level(there) == 0.0
    assert await replicas.level(here) == 0.0


async def dumped(store: RedisStore) -> bytes:
    return bytes(await store._link.call("DUMP", KEY))


# -- slots and estimates ---------------------------------------------------------------------------------------------


async def test_slots_are_exact_among_replicas_and_end_by_themselves(replicas: Replicas) -> None:
    """Three at once, whoever asks; one that is lost comes back when its time is over, one that is held lives on."""
    here, there = replicas.add(), replicas.add()
    bill = Bill(TOKENS, ALICE, (1.0, 10.0, 0.0))
    outcomes = [await replicas.take(store, bill) for store in (here, there, here, there)]
    assert [taken.refused for taken, _ in outcomes] == [-1, -1, -1, 1]
    here.hold(outcomes[0][1], T0 + 2_000.0)
    there.settle(NOTHING, outcomes[1][1], T0)
    await here.drain()
    await there.drain()
    assert (await replicas.take(here, bill))[0].levels[1] == 3.0

    replicas.now = T0 + 901.0
    assert (await replicas.take(there, bill))[0].levels[1] == 2.0


async def test_what_two_replicas_reserve_each_gives_back_by_itself(replicas: Replicas) -> None:
    """Estimates that overlap, settled in the other replica's middle: what is left is what was spent."""
    here, there = replicas.add(), replicas.add()
    _, one = await replicas.take(here, Bill(TOKENS, ALICE, (1.0, 5_000.0, 0.0)))
    _, other = await replicas.take(there, Bill(TOKENS, ALICE, (1.0, 5_000.0, 0.0)))
    assert (await replicas.take(here, Bill(TOKENS, ALICE, (1.0, 100.0, 0.0))))[0].refused == 0
    here.settle(Spent(1.0, 40.0, 0.0), one, T0)
    await here.drain()
    there.settle(Spent(1.0, 60.0, 0.0), other, T0)
    await there.drain()

    assert await replicas.level(here, TOKENS) == 100.0
    assert not here.settle(NOTHING, one, T0)


# -- who gives up (105) ----------------------------------------------------------------------------------------------


async def test_ten_thousand_cancelled_commands_cross_no_reply(replicas: Replicas) -> None:
    """Each account costs another amount, and thousands give up at any moment: every answer is the asker's own, and what was
    given up is given back."""
    store = replicas.add()
    chance = random.Random(3)
    wide = Tariff("account", (Metered("free", "tokens", "0", 1e9, 1e-3, 1),))
    wrong = 0
    kept: dict[str, float] = {}

    async def one(number: int) -> None:
        nonlocal wrong
        subject, cost = f"{number % 500:032x}", float(1_000 + number % 500)
        taken, _ = await replicas.take(store, Bill(wide, subject, (1.0, cost, 0.0)))
        kept[subject] = kept.get(subject, 0.0) + cost
        if taken.levels[0] % cost:
            wrong += 1

    cancelled = 0
    for first in range(0, 20_000, 500):
        tasks = [asyncio.ensure_future(one(number)) for number in range(first, first + 500)]
        for _ in range(chance.randrange(12)):
            await asyncio.sleep(0)
        for task in tasks:
            if chance.random() < 0.75 and not task.done():
                task.cancel()
                cancelled += 1
        await asyncio.gather(*tasks, return_exceptions=True)
    await store.drain()

    assert cancelled > 10_000
    assert wrong == 0
    assert store.errors == {}
    for number in range(500):
        subject = f"{number:032x}"
        assert await replicas.level(store, wide, subject) == pytest.approx(kept.get(subject, 0.0), abs=0.01)


# -- a server that says no (98, 101, 103) -----------------------------------------------------------------------------

SAYS_NO = {
    "readonly": (["REPLICAOF", "127.0.0.1", "1"], ["REPLICAOF", "NO", "ONE"]),
    "oom": (["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"]),
    "noperm": (["ACL", "SETUSER", "default", "-evalsha", "-eval"], ["ACL", "SETUSER", "default", "+evalsha", "+eval"]),
}


@pytest.mark.parametrize("kind", ["readonly", "oom", "noperm"])
async def test_a_server_that_says_no_is_survived(own_server: Server, kind: str) -> None:
    """No error to a client and no silent allow: the limit goes on here, the error is counted, and the store is used again as
    soon as it says yes, with what was admitted meanwhile."""
    begin, end = SAYS_NO[kind]
    store = RedisStore(State(store=own_server.url, deadline_s=1.0))
    await store.open()
    outcomes = []

    async def hit() -> None:
        now = time.time()
        outcomes.append(
            bool((await store.reserve([Bill(FIVE, ALICE, (1.0, 0.0, 0.0))], Slots((), now + 900.0), now))[1])
        )

    await hit()
    own_server.call(*begin)
    for _ in range(3):
        await hit()
    assert store.errors[kind] >= 1
    assert store.condition(time.time())["trouble"].startswith(kind)
    own_server.call(*end)
    begun = time.monotonic()
    while store.condition(time.time())["state"] != "up":
        await asyncio.sleep(0.01)
        assert time.monotonic() - begun < 5.0
    for _ in range(3):
        await hit()
    await store.close()

    assert outcomes == [True] * 5 + [False] * 2


async def test_killed_and_back_empty_nobody_gets_a_fresh_budget(own_server: Server) -> None:
    """kill -9 with two of five used, two more while it is gone, one more when it is back: five."""
    store = RedisStore(State(store=own_server.url, deadline_s=1.0))
    await store.open()

    async def hit() -> bool:
        now = time.time()
        return bool((await store.reserve([Bill(FIVE, ALICE, (1.0, 0.0, 0.0))], Slots((), now + 900.0), now))[1])

    before = [await hit() for _ in range(2)]
    own_server.kill()
    meanwhile = [await hit() for _ in range(2)]
    own_server.start()
    begun = time.monotonic()
    while store.condition(time.time())["state"] != "up":
        await asyncio.sleep(0.01)
    took_s = time.monotonic() - begun
    after = [await hit() for _ in range(3)]
    await store.close()

    assert (before, meanwhile, after) == ([True] * 2, [True] * 2, [True, False, False])
    assert took_s < 10.0


async def test_a_round_that_fails_is_not_the_last(replicas: Replicas) -> None:
    """What nobody foresaw in the background is counted, and the next round comes."""
    store = replicas.add()
    rounds = []
    came = asyncio.Event()

    def beside() -> None:
        rounds.append(1)
        if len(rounds) == 1:
            raise ZeroDivisionError
        came.set()

    store._home.beside = beside
    await store.open()
    store._home.soon()
    await asyncio.wait_for(came.wait(), 10.0)

    assert store.errors == {"other": 1}


async def test_slots_that_move_are_followed(spread: Replicas, store_cluster: Cluster) -> None:
    """Case 99: accounts are charged while their slots are on the way (ASK) and after (MOVED); what was used goes with them."""
    store = spread.add()
    subjects = [f"{number:032x}" for number in range(6)]
    for subject in subjects:
        assert await spread.hit(store, subject=subject)
    for number, subject in enumerate(subjects):
        key = names.key(subject)
        owner = store_cluster.owner(key)
        to = next(node for node in store_cluster.nodes if node is not owner)
        if number % 2:
            owner.call("DEL", key)  # not there: asked of the new node
        store_cluster.begin_move(key, to)
        assert await spread.hit(store, subject=subject)
        store_cluster.finish_move(key, to)
        assert await spread.hit(store, subject=subject)

    assert store.errors.keys() == {"forgotten"}  # the records that were erased above, and nothing else
    for subject in subjects:
        assert await spread.level(store, subject=subject) == 3.0


async def test_a_failover_gives_no_fresh_budget(failover: Failover) -> None:
    """The primary dies for good: within seconds the one that was promoted is asked, and all that was used is used."""
    store = RedisStore(State(store=failover.url, deadline_s=0.5))
    await store.open()

    async def hit() -> bool:
        now = time.time()
        return bool((await store.reserve([Bill(FIVE, ALICE, (1.0, 0.0, 0.0))], Slots((), now + 900.0), now))[1])

    outcomes = [await hit() for _ in range(3)]
    failover.primary.kill()
    outcomes.append(await hit())
    begun = time.monotonic()
    while store.condition(time.time())["state"] != "up":
        await asyncio.sleep(0.05)
        assert time.monotonic() - begun < 20.0
    assert failover.promoted()
    outcomes += [await hit() for _ in range(3)]
    await store.close()

    assert outcomes == [True] * 5 + [False] * 2


async def test_what_comes_after_the_deadline_is_corrected(own_server: Server) -> None:
    """It hangs while one asks: the answer is this process's, and when the store has booked it after all, it counts once."""
    store = RedisStore(State(store=own_server.url, deadline_s=0.05))
    now = time.time()
    bill = Bill(TOKENS, ALICE, (1.0, 1_000.0, 0.0))
    await store.reserve([bill], Slots((), now + 900.0), now)
    own_server.stop()
    taken, lease = await store.reserve([bill], Slots((), now + 900.0), now)
    own_server.resume()
    await store.drain()
    assert store.settle(Spent(1.0, 400.0, 0.0), lease, now)
    await store.drain()
    await store._home._bring()
    look = Bill(replace(TOKENS, book=False), ALICE, (0.0, 0.0, 0.0))
    left = (await store.reserve([look], Slots((), now + 900.0), now))[0].levels

    assert (taken.refused, store.errors) == (-1, {"timeout": 1})
    assert left == (pytest.approx(1_400.0, abs=1.0), 1.0)
    await store.close()


# -- faults of the server (97) and what stands there (110, 111, 113) ---------------------------------------------------


async def test_a_server_that_forgets_scripts_is_no_fault(replicas: Replicas) -> None:
    """SCRIPT FLUSH at any moment: nobody notices."""
    store = replicas.add()
    of = tariff(1_000.0)
    taken = 0
    for _ in range(40):
        outcomes = asyncio.gather(*[replicas.hit(store, of) for _ in range(20)])
        await store._link.call("SCRIPT", "FLUSH")
        taken += sum(await outcomes)

    assert (taken, store.errors) == (800, {})


NAMES = [
    "a:b",
    "a{b}c",
    "}{",
    "with space",
    "line\r\nSET x 1\r\n",
    "nul\0nul",
    "*",
    "?[a-z]",
    "\ud800",
    "ü" * 500,
    "x" * 2**20,
]


async def test_no_name_of_a_client_s_gets_into_a_key(replicas: Replicas, store_server: Server) -> None:
    """Whatever an account, a user, a model is called: plain keys of a bounded length, and each its own meter."""
    store = replicas.add()
    kinds = [("account", "{}"), ("user", ALICE + "/{}"), ("user/model", ALICE + "/u/{}"), ("model", "{}")]
    for kind, form in kinds:
        of = Tariff(kind, FIVE.meters)
        for name in NAMES:
            assert await replicas.hit(
                store, of, form.format(name) if name.count("{") == 0 else form.replace("{}", name)
            )
    keys = await store._link.call("KEYS", "*")

    assert store.errors == {}
    assert len(keys) == 2 * len(NAMES) + 1
    assert all(set(key) <= set(b"abcdefghijklmnopqrstuvwxyz0123456789:{}~*") and len(key) < 60 for key in keys)
    assert await store._link.call("HLEN", KEY) == 1 + 2 * len(NAMES)


async def test_parts_of_a_name_are_not_mixed_up(replicas: Replicas) -> None:
    """``a:b`` and ``c`` are not ``a`` and ``b:c``."""
    store = replicas.add()
    for limit, user in (("a:b", "c"), ("a", "b:c"), ("a:b:c", "")):
        meters = (Metered(limit, "requests", "0", 1.0, 1e-3, 0),)
        assert await replicas.hit(store, Tariff("user", meters), f"{ALICE}/{user}")


FOREIGN = {
    "a string": ("SET", KEY, "hello"),
    "a list": ("RPUSH", KEY, "a", "b"),
    "a stream": ("XADD", KEY, "*", "a", "b"),
    "a meter that is text": ("HSET", KEY, names.meter("free", "requests", "0", ""), "hello"),
    "a meter not a number": (
        "HSET",
        KEY,
        names.meter("free", "requests", "0", ""),
        struct.pack("<ddd", float("nan"), T0, 1.0),
    ),
    "a meter below nothing": (
        "HSET",
        KEY,
        names.meter("free", "requests", "0", ""),
        struct.pack("<ddd", -1e9, T0, 1.0),
    ),
    "a meter without end": (
        "HSET",
        KEY,
        names.meter("free", "requests", "0", ""),
        struct.pack("<ddd", float("inf"), T0, 1.0),
    ),
    "a trail of rubbish": ("HSET", KEY, names.meter("free", "requests", "0", ""), b"\xff" * 100_000),
    "a header of rubbish": ("HSET", KEY, "h", b"\xff" * 56),
    "a header that is text": ("HSET", KEY, "h", "x"),
    "slots of rubbish": ("HSET", KEY, b"s" + names.meter("free", "concurrent", "0", ""), b"\xff" * 33),
}


@pytest.mark.parametrize("command", FOREIGN.values(), ids=FOREIGN)
async def test_what_others_wrote_counts_as_not_there(replicas: Replicas, command: tuple[Any, ...]) -> None:
    """It heals at the first touch, is counted, and no client sees anything of it."""
    store = replicas.add()
    await store._link.call(*command)
    of = tariff(slots=(SlotLimit("free", 9),))
    outcomes = [await replicas.hit(store, of) for _ in range(6)]

    assert outcomes == [True] * 5 + [False]
    assert set(store.errors) == {"healed"}
    assert await store._link.call("TTL", KEY) > 0


async def test_a_record_of_the_future_drains_from_now_on(store_server: Server) -> None:
    """Written an hour ahead of the server's clock: it is not waited for, and what was used stays used."""
    replicas = Replicas(store_server.url)
    replicas.now = time.time() + 3_600.0
    ahead = replicas.add()
    for _ in range(5):
        assert await replicas.hit(ahead)
    store = RedisStore(State(store=store_server.url, deadline_s=5.0))
    bill = Bill(FIVE, ALICE, (1.0, 0.0, 0.0))
    refused, _ = await store.reserve([bill], Slots((), time.time() + 900.0), time.time())
    level = (await store.reserve([bill], Slots((), time.time() + 900.0), time.time()))[0].levels[0]

    assert (refused.refused, store.errors["healed"] > 0) == (0, True)
    assert level == pytest.approx(5.0, abs=0.1)
    for each in (ahead, store):
        await each.close()


async def test_a_store_of_a_newer_version_is_left_alone(replicas: Replicas) -> None:
    """Refused loudly when it is opened; requests go on from what this process knows, and nothing is written there."""
    lines: list[str] = []
    store = replicas.add(log=lines.append)
    await store._link.call("SET", names.NEWEST, names.LAYOUT + 1)
    await store.open()

    assert await replicas.hit(store)
    condition = store.condition(replicas.now)
    assert condition["state"] == "local"
    assert condition["trouble"].startswith("version: a newer guard")
    assert condition["errors"]["version"] >= 1
    assert len(lines) == 1
    assert await store._link.call("KEYS", "g1:*") == []


async def test_nothing_stays_for_ever_and_little_is_kept(replicas: Replicas, store_server: Server) -> None:
    """Every key ends by itself; an account with limits only takes at most 2 KiB."""
    store = replicas.add()
    await store.open()
    meters = [
        Metered(limit, unit, str(n), 1e6, 1e6 / window, place)
        for limit in ("free", "burst")
        for place, unit in enumerate(("requests", "tokens", "cost"))
        for n, window in enumerate((60.0, 3_600.0, 86_400.0))
    ]
    of = Tariff("account", tuple(meters), (SlotLimit("free", 8),))
    held = [(await replicas.take(store, Bill(of, ALICE, (1.0, 500.0, 0.1))))[1] for _ in range(5)]
    for lease in held:
        store.settle(Spent(1.0, 30.0, 0.01), lease, replicas.now)
    await store.drain()
    await replicas.hit(store, Tariff("model", FIVE.meters), "some-model")
    await store.erase("b" * 32)
    keys = await store._link.call("KEYS", "*")

    assert len(keys) >= 5
    assert [key for key in keys if await store._link.call("TTL", key) < 0] == []
    assert await store._link.call("MEMORY", "USAGE", KEY, "SAMPLES", 0) <= 2_048
    await store._home.close()


async def test_invented_users_fill_a_record_and_no_more(replicas: Replicas) -> None:
    """Users of one account, as many as it likes to invent: a bounded record, the surplus shares a meter."""
    store = replicas.add()
    each = Tariff("user", (Metered("each", "requests", "0", 3.0, 1e-3, 0),))
    for first in range(0, 700, 50):
        assert all(
            await asyncio.gather(*[replicas.hit(store, each, f"{ALICE}/{n}") for n in range(first, first + 50)])
        ) == (first < 500)

    assert await store._link.call("HLEN", KEY) <= 515
    replicas.now += 4_000.0
    assert await replicas.hit(store, each, f"{ALICE}/late")
    assert await store._link.call("HLEN", KEY) < 100


async def test_strangers_never_reach_the_store(replicas: Replicas) -> None:
    """Made-up credentials are limited here and leave nothing there."""
    store = replicas.add()
    of = Tariff("account?", FIVE.meters)
    outcomes = [await replicas.hit(store, of, "e" * 32) for _ in range(7)]

    assert outcomes == [True] * 5 + [False] * 2
    assert await store._link.call("KEYS", "*") == []


async def test_an_account_goes_on_under_another_name(replicas: Replicas) -> None:
    """The hashing key was changed: what was used under the former name is used under the new one, once, on every replica."""
    here, there = replicas.add(), replicas.add()
    former, name = "f" * 32, "e" * 32
    assert [await replicas.hit(here, subject=former) for _ in range(3)] == [True] * 3
    for store in (here, there):
        store.carry(former, name)
    outcomes = [await replicas.hit(store, subject=name) for store in (here, there, here)]

    assert outcomes == [True, True, False]
    assert await there._link.call("EXISTS", names.key(former)) == 0
    assert await replicas.hit(there, subject="9" * 32)
