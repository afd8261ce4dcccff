"""What goes wrong with a shared store, on real servers: nobody is kept waiting, nobody gets a fresh budget, nothing is thrown."""

from __future__ import annotations

import asyncio
import random
import re
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.exceptions import RedisError

from benchmarks.faultproxy import FINE, Fault, Proxy
from guard.charges import Bill, Metered, SlotLimit, Slots, Spent, Tariff
from guard.clock import SystemClock
from guard.registry import discover
from guard.remote.inspect import RIGHTS
from guard.settings import State
from tests import servers
from tests.patience import until
from tests.servers import Cluster, Failover, Server

pytestmark = pytest.mark.anyio

DEADLINE_S = 0.1
"""Longer than it is by default, so that a busy machine is told from a store that hangs."""
PATIENCE_S = 2.0
"""What a busy machine may add to a wait: the bars are measured by benchmarks/faults.py, here nobody waits without end."""
AMOUNT, WINDOW_S = 300, 60.0
HOSTILE = (
    "", " ", "*", "?", "a:b", "a:b:c", "{a}", "}{", "{{", "a\r\nFLUSHALL\r\n", "\x00", "ключ", "\ud800", "x" * 1_000_000, "__proto__",
    "'; redis.call('FLUSHALL') --", "]] redis.call('FLUSHALL') --[[", "g1:{guard}:alive", "%s%n", "../../etc",
)  # fmt: skip
CLOCK = SystemClock()
SHAPE = re.compile(rb"g1?:\{[!-z|~]+\}[a-z:]*")


def tariff(kind: str = "account", amount: float = AMOUNT, limit: str = "all", **more: Any) -> Tariff:
    return Tariff(kind, (Metered(limit, "requests", "0", amount, amount / WINDOW_S, 0),), **more)


ACCOUNT = tariff()


def bill(subject: str, how: Tariff = ACCOUNT) -> Bill:
    return Bill(how, subject, (1.0, 0.0, 0.0))


class Replica:
    """One process's store, and what it answered."""

    def __init__(self, url: str, **state: Any) -> None:
        self.lines: list[str] = []
        self.store: Any = discover("stores")["redis"](
            State(store=url, **{"deadline_s": DEADLINE_S} | state), log=self.lines.append
        )
        self.waits: list[float] = []

    async def admits(self, subject: str = "a" * 32, how: Tariff = ACCOUNT) -> bool:
        """One request of an account, which ends at once."""
        return (await self.ask([bill(subject, how)])).refused < 0

    async def ask(self, bills: list[Bill]) -> Any:
        now = CLOCK.now()
        begun = time.perf_counter()
        taken, _ = await self.store.reserve(bills, Slots((), now + 60.0), now)
        self.waits.append(time.perf_counter() - begun)
        return taken

    async def level(self, subject: str = "a" * 32) -> float:
        """What is used of the account's limit, as this process sees it."""
        looked = ACCOUNT.__class__(ACCOUNT.kind, ACCOUNT.meters, book=False, kept=False)
        return float((await self.ask([Bill(looked, subject, (0.0, 0.0, 0.0))])).levels[0])

    async def admitted(self, times: int, subject: str = "a" * 32) -> int:
        return sum([await self.admits(subject) for _ in range(times)])

    @property
    def up(self) -> bool:
        return bool(self.store.condition(CLOCK.now())["state"] == "up")

    @property
    def settled(self) -> bool:
        """Nothing is owed, nothing waits to be sent."""
        told = self.store.condition(CLOCK.now())
        return not told["accounts_owing"] and not told["waiting"]

    @property
    def errors(self) -> dict[str, int]:
        return dict(self.store.condition(CLOCK.now())["errors"])

    async def until_up(self, within_s: float = 10.0) -> float:
        """Seconds until the store is asked again; how soon that is on a machine that does nothing else, benchmarks/faults.py measures."""
        return await came_true(lambda: self.up, within_s)


async def came_true(holds: Callable[[], bool], within_s: float) -> float:
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < within_s, "it never came to hold"
        await asyncio.sleep(0.01)
    return time.monotonic() - begun


@asynccontextmanager
async def replicas(url: str, many: int = 1, **state: Any) -> AsyncIterator[list[Replica]]:
    made = [Replica(url, replicas=many, **state) for _ in range(many)]
    for each in made:
        await each.store.open()
    try:
        yield made
    finally:
        for each in made:
            await each.store.close()


@asynccontextmanager
async def replica(url: str, **state: Any) -> AsyncIterator[Replica]:
    async with replicas(url, **state) as (one,):
        yield one


async def off_loop(work: Callable[..., Any], *arguments: Any) -> Any:
    return await asyncio.to_thread(work, *arguments)


async def used_up(one: Replica) -> None:
    """The account has nothing left."""
    many = 0
    while await one.admits():
        many += 1
    assert many >= AMOUNT


# -- gone, hung, slow (SECURITY 93 to 96, 106, 107) ------------------------------------------------------------------


async def test_killed_and_back_empty(own_server: Server) -> None:
    """93, 109: neither the death nor the empty restart is a fresh budget, and it is asked again."""
    async with replica(own_server.url) as one:
        await used_up(one)
        begun = time.monotonic()
        await off_loop(own_server.kill)
        admitted = 0
        while time.monotonic() < begun + 1.0:
            admitted += await one.admits()
            await asyncio.sleep(0.005)
        assert not one.up
        await off_loop(own_server.start)
        await one.until_up()
        for _ in range(100):
            admitted += await one.admits()
        drained = (time.monotonic() - begun) * AMOUNT / WINDOW_S
        assert drained - 3 <= admitted <= drained + 0.05 * AMOUNT
        await came_true(lambda: one.settled, 2)
    async with replica(own_server.url) as newcomer:  # who has seen nothing himself finds it in the store
        assert await newcomer.level() > 0.9 * AMOUNT


async def test_absent_at_the_start(own_server: Server) -> None:
    """94: it starts without, says so, and takes the store up when it comes."""
    own_server.kill()
    async with replica(own_server.url) as one:
        assert not one.up
        assert one.errors["lost"] > 0
        assert await one.admits()
        assert len(one.lines) == 1
        await off_loop(own_server.start)
        await one.until_up()
        assert await one.admits()
        await came_true(lambda: one.settled, 3)
    async with replica(own_server.url) as newcomer:
        assert await newcomer.level() > 1


async def test_hung(own_server: Server) -> None:
    """95: at most five requests pay the deadline, the others nothing, until it goes on."""
    async with replica(own_server.url) as one:
        await used_up(one)
        own_server.stop()
        one.waits.clear()
        begun = time.monotonic()
        admitted = 0
        while time.monotonic() < begun + 1.0:
            admitted += await one.admits()
            await asyncio.sleep(0.003)
        assert sum(wait >= 0.8 * DEADLINE_S for wait in one.waits) < len(one.waits) / 2
        assert max(one.waits) < DEADLINE_S + PATIENCE_S
        own_server.resume()
        await one.until_up()
        admitted += await one.admitted(50)
        assert admitted <= (time.monotonic() - begun) * AMOUNT / WINDOW_S + 0.05 * AMOUNT


@pytest.mark.parametrize(
    "fault",
    [Fault(delay_s=0.3), Fault(delay_s=0.7), Fault(silent=True), Fault(half_open=True), Fault(bytes_per_s=1)],
    ids=["late", "very late", "silent", "half open", "drip"],
)
async def test_slow_or_silent(store_server: Server, fault: Fault) -> None:
    """96: nobody waits longer than the deadline, and few do so; what comes late is counted once."""
    with Proxy(store_server.port) as proxy:
        async with replica(f"redis://127.0.0.1:{proxy.port}/0") as one:
            assert await one.admitted(20) == 20
            proxy.fault = fault
            one.waits.clear()
            begun = time.monotonic()
            many = 0
            # A machine that stood still for most of that time has asked too seldom to tell few from many.
            while time.monotonic() < begun + 0.8 or len(one.waits) < 20:
                many += await one.admits()
                await asyncio.sleep(0.01)
            assert sum(wait >= 0.8 * DEADLINE_S for wait in one.waits) < len(one.waits) / 2
            assert max(one.waits) < DEADLINE_S + PATIENCE_S
            proxy.fault = FINE
            await one.until_up()
            await came_true(lambda: one.settled, 3)
            await one.store.drain()
            used = await one.level()
            drained = (time.monotonic() - begun) * AMOUNT / WINDOW_S + 1
            assert 20 + many - drained <= used <= 20 + many + 1


async def test_who_is_too_slow_for_requests_goes_on_telling(store_server: Server) -> None:
    """96: one replica's way to the store is longer than the deadline, another's is not. What the one admits by itself is told to the
    store all the while, late as it is, so the other does not give away the same room once more."""
    slow_s = 0.1
    with Proxy(store_server.port) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}/0"
        async with replica(url, deadline_s=0.05) as far, replica(store_server.url) as near:
            for one in (far, near, far, near):
                assert await one.admits()
            proxy.fault = Fault(delay_s=slow_s)
            begun = time.monotonic()
            await came_true(lambda: far.store._shadow.replicas == 2, 10)
            while far.up:
                await far.admits()
            own = await far.admitted(int(AMOUNT / 4))  # of its half of the room
            await came_true(lambda: far.settled, 10)
            assert not far.up
            level = await near.level()
            drained = (time.monotonic() - begun) * AMOUNT / WINDOW_S + 1
            assert own == int(AMOUNT / 4)
            assert level >= 4 + own - drained


async def test_a_little_slower_is_no_outage(store_server: Server) -> None:
    """96: 5 ms more are waited for; one reply in a hundred that is late doesn't make an outage."""
    with Proxy(store_server.port) as proxy:
        async with replica(f"redis://127.0.0.1:{proxy.port}/0") as one:
            proxy.fault = Fault(delay_s=0.005)
            assert await one.admitted(30) == 30
            assert one.up
            assert not one.errors


async def test_two_thousand_at_once(own_server: Server) -> None:
    """106: they share calls instead of queueing for connections; hung, all of them are answered at the deadline together."""
    async with replica(own_server.url, deadline_s=5.0) as one:
        answers = await asyncio.gather(*[one.admits(f"{n % 50:032x}") for n in range(2000)])
        assert all(answers)
        assert one.up
        assert int(own_server.info("connected_clients")) <= 20
    async with replica(own_server.url) as one:
        await one.admits()
        own_server.stop()
        begun = time.monotonic()
        await asyncio.gather(*[one.admits(f"{n % 50:032x}") for n in range(2000)])
        assert time.monotonic() - begun < 5.0
        own_server.resume()


async def test_flapping(store_server: Server) -> None:
    """107: it isn't asked all the time while it comes and goes; at most one line a second is written."""
    with Proxy(store_server.port) as proxy:
        async with replica(f"redis://127.0.0.1:{proxy.port}/0") as one:
            await used_up(one)
            one.lines.clear()
            one.waits.clear()
            begun = time.monotonic()
            admitted = 0
            while (now := time.monotonic()) < begun + 2.0:
                down = int((now - begun) / 0.2) % 2 == 0
                if proxy.fault.down != down:
                    await off_loop(lambda fault: setattr(proxy, "fault", fault), Fault(down=down))
                admitted += await one.admits()
                await asyncio.sleep(0.005)
            assert len(one.lines) <= 3
            assert max(one.waits) < DEADLINE_S + PATIENCE_S
            proxy.fault = FINE
            await one.until_up()
            admitted += await one.admitted(20)
            assert admitted <= (time.monotonic() - begun) * AMOUNT / WINDOW_S + 0.05 * AMOUNT


# -- what servers answer (SECURITY 97 to 103) ------------------------------------------------------------------------


async def test_scripts_are_forgotten_all_the_time(store_server: Server) -> None:
    """97: NOSCRIPT costs nobody anything, and every request is counted."""
    async with replica(store_server.url) as one:
        begun = time.monotonic()
        for _ in range(10):
            await off_loop(store_server.call, "SCRIPT", "FLUSH")
            assert await one.admitted(5) == 5
        assert one.up
        assert not one.errors.keys() - {"noscript"}
        assert 50 - (time.monotonic() - begun + 1) * AMOUNT / WINDOW_S <= await one.level() <= 50


async def refused(server: Server, one: Replica, begin: Callable[[], Any], end: Callable[[], Any], kind: str) -> None:
    """A server that answers with an error: counted by its kind, no fresh budget, and back after its end."""
    await used_up(one)
    begun = time.monotonic()
    await off_loop(begin)
    admitted = 0
    # A refusal writes nothing, so the server says what ails it only once there is room again: however long a busy machine
    # takes for that.
    while time.monotonic() < begun + 0.5 or (one.up and time.monotonic() < begun + 10.0):
        admitted += await one.admits()
        await asyncio.sleep(0.005)
    assert one.errors.get(kind, 0) > 0, one.errors
    assert not one.up
    await off_loop(end)
    await one.until_up()
    admitted += await one.admitted(50)
    assert admitted <= (time.monotonic() - begun) * AMOUNT / WINDOW_S + 0.05 * AMOUNT


async def test_it_has_become_a_replica(own_server: Server) -> None:
    """98: READONLY."""
    async with replica(own_server.url) as one:
        await refused(
            own_server, one, lambda: own_server.call("REPLICAOF", "127.0.0.1", 1),
            lambda: own_server.call("REPLICAOF", "NO", "ONE"), "readonly",
        )  # fmt: skip


async def test_it_is_full(own_server: Server) -> None:
    """101: OOM."""
    async with replica(own_server.url) as one:
        await refused(
            own_server, one, lambda: own_server.call("CONFIG", "SET", "maxmemory", 1),
            lambda: own_server.call("CONFIG", "SET", "maxmemory", 0), "oom",
        )  # fmt: skip


async def test_it_throws_away_limits_in_use(store_server: Server) -> None:
    """101: what is evicted comes back from what was seen, as if it had never been gone."""
    async with replica(store_server.url) as one:
        await used_up(one)
        begun = time.monotonic()
        admitted = 0
        for _ in range(10):
            for key in await off_loop(store_server.call, "KEYS", "g1:*a*"):
                await off_loop(store_server.call, "DEL", key)
            admitted += await one.admitted(10)
        assert one.up
        assert admitted <= (time.monotonic() - begun) * AMOUNT / WINDOW_S + 0.01 * AMOUNT


async def test_it_can_not_save(own_server: Server) -> None:
    """102: MISCONF, since its folder is gone."""

    def begin() -> None:
        own_server.call("CONFIG", "SET", "save", "3600 1")
        shutil.rmtree(own_server.folder)
        own_server.call("BGSAVE")
        until(lambda: own_server.info("rdb_last_bgsave_status") != "ok")

    async with replica(own_server.url) as one:
        await refused(own_server, one, begin, lambda: own_server.call("CONFIG", "SET", "save", ""), "misconf")


async def test_it_is_busy_with_anothers_script(own_server: Server) -> None:
    """102: BUSY, until that script is killed."""
    tasks: list[asyncio.Task[Any]] = []
    own_server.call("CONFIG", "SET", "busy-reply-threshold", 5)

    async def endless() -> None:
        with pytest.raises(RedisError):
            await off_loop(own_server.call, "EVAL", "while true do end", 0)

    async with replica(own_server.url) as one:
        loop = asyncio.get_running_loop()

        def begin() -> None:
            loop.call_soon_threadsafe(lambda: tasks.append(loop.create_task(endless())))
            until(lambda: not own_server.answers())

        await refused(own_server, one, begin, lambda: own_server.call("SCRIPT", "KILL"), "busy")
        await asyncio.gather(*tasks)


async def test_it_is_loading(own_server: Server) -> None:
    """102: LOADING."""
    tasks: list[asyncio.Task[Any]] = []

    async with replica(own_server.url) as one:
        loop = asyncio.get_running_loop()

        def begin() -> None:
            own_server.call("DEBUG", "POPULATE", 3000)
            own_server.call("CONFIG", "SET", "key-load-delay", 300, "loading-process-events-interval-bytes", 1024)
            loop.call_soon_threadsafe(
                lambda: tasks.append(loop.create_task(off_loop(own_server.call, "DEBUG", "RELOAD")))
            )
            until(lambda: not own_server.answers())

        await refused(own_server, one, begin, lambda: until(own_server.answers), "loading")
        await asyncio.gather(*tasks)


async def test_the_password_is_changed(own_server: Server) -> None:
    """103: it is told what is wrong, without the password; with the old one back it goes on."""

    def begin() -> None:
        own_server.call("CONFIG", "SET", "requirepass", "new-word-55")
        own_server.password = "new-word-55"
        own_server.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    async with replica(own_server.url.replace("redis://", "redis://:old-word-44@")) as wrong:
        assert "old-word" not in repr(wrong.store.condition(CLOCK.now()))
    async with replica(own_server.url) as one:
        await refused(own_server, one, begin, lambda: own_server.call("CONFIG", "SET", "requirepass", ""), "noauth")
        assert "new-word" not in repr(one.store.condition(CLOCK.now()))
        assert any("credentials" in line for line in one.lines)
        own_server.password = ""


async def test_the_user_may_not_run_scripts(own_server: Server) -> None:
    """103: NOPERM is an outage with a remedy."""
    own_server.call("ACL", "SETUSER", "few", "on", ">w", "~*", "&*", "+@all")
    async with replica(own_server.url.replace("redis://", "redis://few:w@")) as one:
        await refused(
            own_server, one, lambda: own_server.call("ACL", "SETUSER", "few", "-@scripting"),
            lambda: own_server.call("ACL", "SETUSER", "few", "+@scripting"), "noperm",
        )  # fmt: skip
        assert any("guard store check" in line for line in one.lines)


async def test_the_least_rights_are_enough(own_server: Server) -> None:
    """103: all that a replica does, by a user who may do nothing else: the server has refused nothing."""
    own_server.call("ACL", "SETUSER", "guard", "reset", "on", ">w", *RIGHTS.split())
    async with replica(own_server.url.replace("redis://", "redis://guard:w@")) as one:
        how = Tariff("account", ACCOUNT.meters, (SlotLimit("few", 3),))
        for kind in (how, tariff("model", 50, "of-model"), tariff("", 50, "of-all")):
            now = CLOCK.now()
            taken, lease = await one.store.reserve([bill("a" * 32, kind)], Slots((), now + 60), now)
            assert taken.refused < 0
            one.store.hold(lease, now + 90)
            one.store.settle(Spent(1.0, 0.0, 0.0), lease, now)
        await off_loop(own_server.call, "SCRIPT", "FLUSH")
        assert await one.admits()
        one.store.forget("a" * 32)
        await came_true(lambda: one.settled, 3)
        await one.store._home._beat()
        assert one.up
        assert not one.errors.keys() - {"noscript"}
    assert own_server.call("ACL", "LOG") == []


async def test_slots_move_under_it(store_cluster: Cluster) -> None:
    """99: MOVED, ASK and TRYAGAIN reach nobody, and every request is counted once."""
    subject = "b" * 32
    async with replica(store_cluster.url, deadline_s=0.2) as one:
        begun = time.monotonic()
        assert await one.admitted(20, subject) == 20
        key = next(key for node in store_cluster.nodes for key in node.call("KEYS", f"g1:*{subject[:8]}*"))
        admitted = 20
        for _ in range(3):
            old = store_cluster.owner(key)
            new = next(node for node in store_cluster.nodes if node is not old)
            await off_loop(store_cluster.begin_move, key, new)
            admitted += await one.admitted(5, subject)
            await off_loop(store_cluster.finish_move, key, new)
            admitted += await one.admitted(5, subject)
        assert admitted == 50
        await one.until_up()
        await came_true(lambda: one.settled, 3)
        await one.store.drain()
        assert 50 - (time.monotonic() - begun + 1) * AMOUNT / WINDOW_S <= await one.level(subject) <= 50


async def test_more_at_once_than_connections_in_a_cluster(store_cluster: Cluster) -> None:
    """99, 106: each account has a slot of its own and so a call of its own; they wait their turn, and nobody takes it for a fault."""
    for node in store_cluster.nodes:
        node.call("CONFIG", "RESETSTAT")
    async with replica(store_cluster.url, deadline_s=5.0) as one:
        answers = await asyncio.gather(*[one.admits(f"{n:032x}") for n in range(300)])
        assert all(answers)
        await one.store.drain()
        assert one.up
        assert not one.errors
    # redis-py would ask for the table of all commands, which takes the loop a tenth of a second to read.
    assert not any(node.info("cmdstat_command") for node in store_cluster.nodes)


async def test_a_connection_that_is_reset_while_it_is_written_to(
    store_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """96: uvloop has an error of its own for it, which is no error of ours."""
    async with replica(store_server.url) as one:

        async def broken(*_: object, **__: object) -> None:
            raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

        with monkeypatch.context() as patched:
            patched.setattr("redis.asyncio.Redis.execute_command", broken)
            assert await one.admits()
            assert not one.up
            assert one.errors.keys() == {"lost"}
        await one.until_up()


async def test_what_goes_together_lies_together(store_cluster: Cluster) -> None:
    """100: limits of account, user, organisation, model and all together in one call: no CROSSSLOT, each counted."""
    kinds = ("account", "org", "model", "region", "")
    async with replica(store_cluster.url, deadline_s=0.5) as one:
        bills = [bill("c" * 32 if kind else "", tariff(kind, 20, f"of-{kind}")) for kind in kinds]
        admitted = [(await one.ask(bills)).refused < 0 for _ in range(30)]
        assert sum(admitted) <= 20
        assert admitted[0]
        assert "crossslot" not in one.errors
        assert one.up


# -- writes that are lost, replies that are crossed (SECURITY 104, 105, 108) -----------------------------------------


async def test_a_failover_that_loses_writes(failover: Failover) -> None:
    """104: the new primary has seen nothing of the last second, the replicas have."""
    failover.replica.call("CONFIG", "SET", "replica-serve-stale-data", "yes")
    async with replica(failover.url, deadline_s=0.1) as one:
        await one.admitted(50)
        failover.replica.stop()  # from now on nothing reaches it
        await one.admitted(AMOUNT - 50)
        begun = time.monotonic()
        await off_loop(failover.primary.kill)
        failover.replica.resume()
        admitted = 0
        while not await off_loop(failover.promoted):
            admitted += await one.admits()
            assert time.monotonic() < begun + 20
        admitted += await one.admitted(20)
        await one.until_up()
        admitted += await one.admitted(50)
        assert admitted <= (time.monotonic() - begun + 1) * AMOUNT / WINDOW_S + 0.05 * AMOUNT


async def test_ten_thousand_that_were_given_up(store_server: Server) -> None:
    """105: cancelled at random points; no reply comes to whom it doesn't belong, and who was given up took nothing."""
    rng = random.Random(105)
    subjects = [f"{n:032x}" for n in range(40)]
    async with replica(store_server.url, deadline_s=5.0) as one:
        begun = time.monotonic()
        for place, subject in enumerate(subjects):
            await one.admitted(place, subject)

        async def given_up(subject: str, turns: int) -> None:
            asked = asyncio.ensure_future(one.ask([bill(subject)]))
            for _ in range(turns):
                await asyncio.sleep(0)
            asked.cancel()
            try:
                taken = await asked
            except asyncio.CancelledError:
                return
            kept[subject] += taken.refused < 0

        kept = dict.fromkeys(subjects, 0)
        for _ in range(100):
            await asyncio.gather(*[given_up(rng.choice(subjects), rng.randrange(12)) for _ in range(100)])
        await one.store.drain()
        await came_true(lambda: one.settled, 3)
        drained = (time.monotonic() - begun + 1) * AMOUNT / WINDOW_S
        assert not one.errors
        for place, subject in enumerate(subjects):
            most = min(AMOUNT, place + kept[subject])
            assert max(0.0, most - drained) <= await one.level(subject) <= most + 1e-6, subject


async def test_four_replicas_lose_their_store(own_server: Server) -> None:
    """108, 109: each goes on with its share of what was left, not with all of it, and the sum is in the store afterwards."""
    async with replicas(own_server.url, 4) as four:
        admitted = 0
        begun = time.monotonic()
        for turn in range(100):
            admitted += await four[turn % 4].admits()
        await off_loop(own_server.kill)
        for turn in range(400):
            admitted += await four[turn % 4].admits()
        drained = (time.monotonic() - begun) * AMOUNT / WINDOW_S
        assert 0.85 * AMOUNT <= admitted <= 1.1 * AMOUNT + drained
        await off_loop(own_server.start)
        for one in four:
            await one.until_up()
        for turn in range(100):
            admitted += await four[turn % 4].admits()
        drained = (time.monotonic() - begun) * AMOUNT / WINDOW_S
        assert admitted <= 1.1 * AMOUNT + drained
        await came_true(lambda: all(one.settled for one in four), 3)
        assert await four[0].level() >= admitted - drained - 0.05 * AMOUNT


# -- what stands in the store (SECURITY 110 to 113) ------------------------------------------------------------------


async def test_hostile_names(store_server: Server) -> None:
    """110, 112: no byte of them is in a key or a script, none is another's meter, no key without an end."""
    async with replica(store_server.url, deadline_s=1.0) as one:
        for kind in ("account", "model", "org"):
            for number, name in enumerate(HOSTILE):
                how = tariff(kind, 100, f"{kind}-{number % 2}")
                assert await one.admits(name, how), name[:40]
        pairs = (
            (tariff("account", 1, "a:b"), "c"),
            (tariff("account", 1, "a"), "b:c"),
            (tariff("account", 1, "a:b:c"), ""),
        )
        for how, name in pairs:
            assert await one.admits(name, how)
        await one.store.drain()
        assert one.up
        assert not one.errors
    with servers.Redis(host="127.0.0.1", port=store_server.port) as client:
        keys: list[Any] = list(client.scan_iter())
        assert len(keys) > 20
        for key in keys:
            assert SHAPE.fullmatch(key), key
            assert client.pttl(key) > 0, key
        assert int(client.info("memory")["number_of_cached_scripts"]) <= 10


def _wrong_type(server: Server, key: str) -> None:
    server.call("DEL", key)
    server.call("RPUSH", key, "x")


def _rubbish(server: Server, key: str) -> None:
    for field in server.call("HKEYS", key):
        server.call("HSET", key, field, "\x00\u20ac rubbish")
    server.call("HSET", key, "h", "x")


def _huge(server: Server, key: str) -> None:
    server.call("HSET", key, "h", "y" * 5_000_000)


def _text(server: Server, key: str) -> None:
    server.call("SET", key, "1")


@pytest.mark.parametrize("spoil", [_wrong_type, _rubbish, _huge, _text])
async def test_foreign_values_under_our_keys(store_server: Server, spoil: Callable[[Server, str], None]) -> None:
    """111: a fault of that key alone, which mends itself: the next requests are counted as ever, and no fresh budget."""
    async with replica(store_server.url) as one:
        await used_up(one)
        begun = time.monotonic()
        keys = [key for key in store_server.call("KEYS", "g1:*") if "guard" not in key]
        for key in keys:
            await off_loop(_bytes_safe, spoil, store_server, key)
        admitted = await one.admitted(40)
        await came_true(lambda: one.settled, 3)
        admitted += await one.admitted(40)
        assert one.up
        assert admitted <= (time.monotonic() - begun) * AMOUNT / WINDOW_S + 0.02 * AMOUNT
        assert await one.admits("d" * 32)


def _bytes_safe(spoil: Callable[[Server, str], None], server: Server, key: str) -> None:
    try:
        spoil(server, key)
    except UnicodeDecodeError:  # field names are bytes
        server.call("HSET", key, "h", "x")


async def test_a_record_of_the_future(store_server: Server) -> None:
    """111: who has been written an hour ahead, by a clock that was wrong, isn't locked out for an hour."""
    async with replica(store_server.url) as one:
        assert await one.admits()
    ahead: Any = discover("stores")["redis"](
        State(store=store_server.url, deadline_s=1.0), time=lambda: time.time() + 3600.0
    )
    now = CLOCK.now()
    for _ in range(AMOUNT):
        await ahead.reserve([bill("a" * 32)], Slots((), now + 60), now)
    await ahead.close()
    async with replica(store_server.url) as one:
        begun = time.monotonic()
        while not await one.admits():
            assert time.monotonic() - begun < 10, "locked out"
            await asyncio.sleep(0.01)


async def test_a_newer_guard_keeps_its_limits_here(store_server: Server) -> None:
    """113: this one goes on by itself, says why, and touches nothing of the other's."""
    store_server.call("SET", "g:{guard}:layout", 2)
    store_server.call("HSET", "g2:{" + "a" * 32 + "}", "level", "7")
    async with replica(store_server.url) as one:
        assert await one.admits()
        assert not one.up
        assert one.errors["version"] > 0
        assert any("newer guard" in line for line in one.lines)
    assert store_server.call("GET", "g:{guard}:layout") == "2"
    assert store_server.call("HGETALL", "g2:{" + "a" * 32 + "}") == {"level": "7"}


async def test_slots_while_the_store_is_gone(own_server: Server) -> None:
    """108: how many may be under way at once is kept, too, and a slot that was taken before the outage is not given twice."""
    how = Tariff("account", (), (SlotLimit("few", 3),))
    async with replica(own_server.url) as one:
        leases = []
        for _ in range(2):
            now = CLOCK.now()
            taken, lease = await one.store.reserve([bill("a" * 32, how)], Slots((), now + 60), now)
            assert taken.refused < 0
            leases.append(lease)
        await off_loop(own_server.kill)
        outcome = [await one.admits("a" * 32, how) for _ in range(5)]
        assert sum(outcome) <= 1
