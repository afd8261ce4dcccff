"""How much of the shared store's memory an account takes: with limits only, and with all that replicas tell each other of it.

    python benchmarks/stores_memory.py [--quick] [--check] [--accounts N] [--url redis://…]

A replica with the shipped policy on a server of its own: so many accounts make five requests each, with every fact that an operator
can state, texts that half are everybody's and half nobody else's. Read is the server's ``used_memory``, less what it was when empty:
once with limits alone, once with the fleet beside them, which leads: what exchanges wait there, what was found, what is kept for who
comes later. The most that was seen at any time counts, while all of that lay there, and before old pieces were let go.

``--check`` ends with 1 where an account takes more than 2 KiB with limits only, or 6 KiB with everything.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from recognition_memory import ANSWERED, KEY, TRAITS, account, exchange, templates
from stores import server

from guard.clock import SystemClock
from guard.config import load
from guard.fleet.fleet import Fleet
from guard.pipeline import Guard
from guard.remote.link import Link
from guard.settings import State
from guard.stores.redis import RedisStore

REQUESTS = 5
AT_ONCE = 64
LIMITS_BYTES, WHOLE_BYTES = 2_048, 6_144
EVERY = 512
"""So many requests are made between two looks."""
Round = Callable[[], Awaitable[None]]


async def used_bytes(link: Link) -> int:
    """What the server says it uses."""
    return int((await link.call("INFO", "memory"))["used_memory"])


async def measured(url: str, accounts: int, *, fleet: bool) -> tuple[float, int]:
    """Bytes an account, and how many accounts there were in the end. The server is emptied first."""
    link, clock = Link(url), SystemClock()
    await link.call("FLUSHALL")
    empty = await used_bytes(link)
    policy = load("standard")
    store = RedisStore(State(store=url, deadline_s=5.0, max_accounts=2 * accounts))
    guard = Guard(replace(policy, state=replace(policy.state, max_accounts=2 * accounts)), key=KEY, store=store)
    await store.open()
    one = Fleet(guard, Link(url), clock) if fleet else None
    chance = random.Random(5)
    public = list(templates(20 * TRAITS))
    most = looked_at = last = 0

    def look() -> int:
        """How many exchanges whoever leads has looked at. A leader whose term lapsed on a busy machine begins to count anew."""
        nonlocal looked_at, last
        led = int(one.condition(clock.now())["led"]) if one is not None else 0
        looked_at, last = looked_at + (led - last if led >= last else led), led
        return looked_at

    async def ask(number: int) -> None:
        shared, own = public[number % len(public)][: TRAITS // 2], [chance.getrandbits(64) for _ in range(TRAITS // 2)]
        now = clock.now()
        receipt = await guard.reach(exchange(account(number), shared + own, chance), store.reserve, now)
        guard.settle(receipt, ANSWERED, clock.now())

    numbers = [number for _ in range(REQUESTS) for number in range(accounts)]
    chance.shuffle(numbers)
    for first in range(0, len(numbers), EVERY):
        some = numbers[first : first + EVERY]
        for begin in range(0, len(some), AT_ONCE):
            await asyncio.gather(*[ask(number) for number in some[begin : begin + AT_ONCE]])
        await store.drain()
        if one is not None:
            await one.round()
            look()
        most = max(most, await used_bytes(link))
    if one is not None:
        behind = asyncio.get_running_loop().time() + 60.0
        while asyncio.get_running_loop().time() < behind and look() < len(numbers):
            await one.round()
            await asyncio.sleep(0.05)
        assert looked_at >= len(numbers), f"whoever leads has looked at {looked_at:,} of {len(numbers):,}"
        await one.close()  # what it leaves for the next one included
        most = max(most, await used_bytes(link))
    found = len([key for key in await link.call("KEYS", "g1:{*") if b"guard" not in key and b"fleet." not in key])
    assert not store.errors, store.errors
    await store.close()
    await link.close()
    return (most - empty) / found, found


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the accounts")
    parser.add_argument("--check", action="store_true", help="end with 1 where an account takes more than it may")
    parser.add_argument("--accounts", type=int, default=20_000, help="how many (default: 20,000)")
    parser.add_argument("--url", default="", help="a server to be used; all that is in it is erased")
    given = parser.parse_args(arguments)
    accounts = given.accounts // 10 if given.quick else given.accounts
    missed = False
    for what, bar, fleet in (("limits only", LIMITS_BYTES, False), ("with recognition", WHOLE_BYTES, True)):
        if given.url:
            each, count = asyncio.run(measured(given.url, accounts, fleet=fleet))
        else:
            with server() as url:
                each, count = asyncio.run(measured(url, accounts, fleet=fleet))
        missed |= each > bar
        print(f"{what:<20}{each:>8,.0f} bytes an account (bar {bar:,}), {count:,} accounts", flush=True)
    return 1 if given.check and missed else 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    raise SystemExit(main(sys.argv[1:]))
