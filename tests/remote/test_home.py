"""Whether the store is back is looked for all the time, whatever became of the last look; what was asked before says nothing now."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from guard.charges import Bill, Slots
from guard.remote.inspect import inspect
from guard.remote.link import Trouble
from guard.settings import State
from guard.stores.redis import RedisStore
from tests.remote.model import tariff
from tests.servers import Server

pytestmark = pytest.mark.anyio
DEADLINE_S = 0.1
OWN = tariff(("requests", 1_000.0, 3_600.0))


class Line:
    """Stands before a store's line: what is asked of it while ``hangs`` hangs until ``end``; what is asked otherwise passes."""

    def __init__(self, store: RedisStore) -> None:
        self.hangs = False
        self.hung = self.given_up = 0
        self._ended = asyncio.Event()
        self._script = store._link.script
        store._link.script = self.script  # type: ignore[assignment, method-assign]

    async def script(self, *arguments: Any) -> Any:
        if self.hangs:
            self.hung += 1
            try:
                await self._ended.wait()
                raise Trouble("timeout")
            finally:
                self.given_up += 1
        return await self._script(*arguments)

    def end(self) -> None:
        self._ended.set()


async def until(holds: Any, within_s: float = 20.0) -> None:
    async with asyncio.timeout(within_s):
        while not holds():
            await asyncio.sleep(0.005)


async def opened(url: str) -> tuple[RedisStore, Line]:
    store = RedisStore(State(store=url, deadline_s=DEADLINE_S))
    await store.open()
    return store, Line(store)


def up(store: RedisStore) -> bool:
    return bool(store.condition(0.0)["state"] == "up")


def looked(store: RedisStore) -> bool:
    """Whether it has been looked over what will go wrong with the store, and need not be again for a while."""
    return not store._home.oversight.due() and "look over" not in store._home._beside


async def ask(store: RedisStore, subject: str = "a" * 32) -> bool:
    taken, _ = await store.reserve([Bill(OWN, subject, (1.0, 0.0, 0.0))], Slots((), 2e9), 1.7e9)
    return taken.refused < 0


async def test_a_look_that_hangs_holds_up_none_after_it(own_server: Server) -> None:
    """Answers that drip or never come: the next looks go out in time, and the first good ones bring the store back, though those
    before them still hang. No more of them than a few are under way."""
    store, line = await opened(own_server.url)
    line.hangs = True
    await asyncio.gather(*[ask(store, f"{n:032x}") for n in range(20)])
    while up(store):
        await ask(store)
    await until(lambda: line.hung >= 15)
    assert line.hung - line.given_up <= 9 + 4  # looks, and calls of those who asked
    line.hangs = False

    await until(lambda: up(store))
    assert line.hung > line.given_up
    assert await ask(store)
    line.end()
    await store.close()


async def test_debts_that_hang_hold_up_no_look(own_server: Server) -> None:
    """It hangs again while what is owed is brought home: whether it is back is looked for meanwhile."""
    store, line = await opened(own_server.url)
    store._failed(Trouble("lost"))
    assert not up(store)
    assert await ask(store)
    assert store.condition(0.0)["accounts_owing"] == 1
    bring = store._asker.bring

    async def hanging(*arguments: Any) -> bool:
        line.hangs = True
        return await bring(*arguments)

    store._asker.bring = hanging  # type: ignore[assignment, method-assign]
    await until(lambda: line.hangs)
    store._asker.bring = bring  # type: ignore[method-assign]
    store._failed(Trouble("lost"))
    line.hangs = False

    await until(lambda: up(store))
    assert line.hung > line.given_up
    line.end()
    await store.close()


async def test_what_was_asked_before_says_nothing_about_now(own_server: Server) -> None:
    """A call from before the outage that is given up after it is counted, and opens nothing; one that was asked since does."""
    store, _ = await opened(own_server.url)
    loop = asyncio.get_running_loop()
    before = loop.time()
    store._failed(Trouble("lost"))
    await until(lambda: up(store))
    old, new = Trouble("lost"), Trouble("lost")
    old.asked_s, new.asked_s = before, loop.time()
    store._failed(old)
    assert up(store)
    assert store.errors["lost"] == 2
    store._failed(new)
    assert not up(store)
    await store.close()


async def test_what_nobody_foresaw_is_counted(own_server: Server) -> None:
    """A look that raises is a failed look; the next ones come."""
    store, _ = await opened(own_server.url)
    script = store._link.script

    async def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    store._link.script = broken  # type: ignore[assignment, method-assign]
    store._failed(Trouble("lost"))
    await until(lambda: store.errors.get("other", 0) >= 2)
    assert not up(store)
    store._link.script = script  # type: ignore[method-assign]
    await until(lambda: up(store))
    await store.close()


@pytest.mark.parametrize(("policy", "warned"), [("allkeys-lru", True), ("noeviction", False)])
async def test_a_store_that_will_throw_limits_away_is_told_of(own_server: Server, policy: str, warned: bool) -> None:
    """SECURITY 101: said once at the start, and in the store's condition, with the remedy."""
    own_server.call("CONFIG", "SET", "maxmemory", "100mb", "maxmemory-policy", policy)
    lines: list[str] = []
    store = RedisStore(State(store=own_server.url, deadline_s=5.0), log=lines.append)
    await store.open()
    await until(lambda: looked(store))
    warnings = store.condition(0.0)["warnings"]
    assert ["noeviction" in line for line in warnings] == [True] * warned
    assert sum("noeviction" in line for line in lines) == warned
    await store.close()


async def test_what_is_wrong_with_the_store_later_is_told_of_and_ends(own_server: Server) -> None:
    """Full connections, eviction, a failed save: as `guard store check` says it, looked for again and again, logged when it comes up."""
    own_server.call("CONFIG", "SET", "maxmemory", "100mb", "maxmemory-policy", "noeviction")
    lines: list[str] = []
    store = RedisStore(State(store=own_server.url, deadline_s=5.0), log=lines.append)
    await store.open()
    await until(lambda: looked(store))
    assert store.condition(0.0)["warnings"] == []
    own_server.call("CONFIG", "SET", "maxmemory-policy", "volatile-lru")
    for _ in range(2):
        store._home.oversight.soon()
        await until(lambda: looked(store))
    (warning,) = store.condition(0.0)["warnings"]
    checked = {f"{each.what}: {each.told}; {each.remedy}" for each in await inspect(own_server.url, 5.0) if each.remedy}
    assert warning in checked
    assert sum("volatile-lru" in line for line in lines) == 1
    own_server.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
    store._home.oversight.soon()
    await until(lambda: looked(store))
    assert store.condition(0.0)["warnings"] == []
    await store.close()


async def test_a_store_that_may_not_be_asked_is_used_all_the_same(own_server: Server) -> None:
    """Without the right to INFO nothing is warned of, and nothing fails."""
    own_server.call("ACL", "SETUSER", "bare", "on", ">secret", "~*", "+@all", "-info")
    url = own_server.url.replace("redis://", "redis://bare:secret@")
    store = RedisStore(State(store=url, deadline_s=5.0))
    await store.open()
    await until(lambda: looked(store))
    assert up(store)
    assert store.condition(0.0)["warnings"] == []
    await store.close()
