"""The demo's clients: people and programs who ask when they need something, and a campaign that deals one queue out.

All are real HTTP clients on real connections; what they are answered is what guard decided. No account of the campaign asks
more than an ordinary one: that is the point of a hydra. Times are the demo's hours (``hours.py``).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple
from zlib import crc32

import httpx
import orjson

from guard.demo.accounts import credential
from guard.demo.hours import Hours
from guard.demo.questions import Asking, Body, agent, chats, extension, harvest, homework, long_talks

_AWAKE_H = 15.0
_DAY_H = 24.0
_MINUTE_H = 1.0 / 60.0
_PATIENCE = 2
"""So many refusals in a row, and the campaign drops an account and takes a fresh one."""
_CAUGHT = frozenset({403, 429})


class Group(NamedTuple):
    """Accounts of one kind. ``a_day``: what one of them asks a day (ordinary: on the mean; the campaign: all of it together)."""

    name: str
    does: str
    accounts: int
    asking: tuple[Asking, ...]
    a_day: float
    spares: int = 0
    campaign: bool = False

    def ids(self) -> list[str]:
        """Its accounts; those of a campaign that come later are last."""
        return [f"{self.name}-{n}" for n in range(self.accounts + self.spares)]


class Event(NamedTuple):
    """One request as its client saw it. ``at_h``: the demo's hour. ``status`` 0: no answer came."""

    at_h: float
    group: Group
    account: str
    status: int
    reference: str
    told: str


GROUPS = (
    Group("people", "chat, stream", 16, (chats, long_talks), 9.0),
    Group("shop", "agents with a tool", 4, (agent,), 12.0),
    Group("mail", "one extension", 12, (extension,), 8.0),
    Group("course", "the same homework", 8, (homework,), 8.0),
    Group("hydra", "one queue, dealt out", 40, (harvest,), 360.0, spares=40, campaign=True),
)

Seen = Callable[[Event], None]


async def owners(group: Group, url: str, random: Random, seen: Seen, hours: Hours) -> None:
    """Ordinary accounts, each by itself, until cancelled: unequal needs, several questions a visit, hours of their own."""
    async with _http(group, url) as http, asyncio.TaskGroup() as tasks:
        for place, account in enumerate(group.ids()):
            own = Random(random.random())
            bodies = group.asking[place % len(group.asking)](own)
            tasks.create_task(_owner(group, account, bodies, http, random=own, seen=seen, hours=hours))


async def _owner(
    group: Group,
    account: str,
    bodies: Iterator[tuple[str, Body]],
    http: httpx.AsyncClient,
    *,
    random: Random,
    seen: Seen,
    hours: Hours,
) -> None:
    visit = random.uniform(2.0, 5.0)
    visits_a_day = max(0.7, random.gammavariate(0.9, group.a_day / 0.9) / visit)
    wakes = random.uniform(0.0, _DAY_H)
    while True:
        await hours.sleep(random.expovariate(visits_a_day / _AWAKE_H))
        day_h = (hours.passed() - wakes) % _DAY_H
        if day_h > _AWAKE_H:
            await hours.sleep(_DAY_H - day_h)
            continue
        for _ in range(1 + int(random.expovariate(1.0 / (visit - 1.0)))):
            seen(await _request(group, account, next(bodies), http, hours))
            await hours.sleep((0.5 + random.expovariate(0.5)) * _MINUTE_H)


async def campaign(group: Group, url: str, random: Random, seen: Seen, hours: Hours) -> None:
    """One queue, round the clock, dealt out over all accounts as cards are; whoever is refused is replaced while spares last."""
    pool = group.ids()
    spares = deque(pool[group.accounts :])
    pool = pool[: group.accounts]
    refused = dict.fromkeys(group.ids(), 0)
    bodies = group.asking[0](random)
    hand: list[str] = []

    async def work(account: str) -> None:
        event = await _request(group, account, next(bodies), http, hours)
        refused[account] = refused[account] + 1 if event.status in _CAUGHT else 0
        seen(event)
        if refused[account] >= _PATIENCE and spares and account in pool:
            pool[pool.index(account)] = spares.popleft()

    step = _DAY_H / group.a_day
    due = hours.passed()
    async with _http(group, url) as http, asyncio.TaskGroup() as tasks:
        while True:
            # Paced, but not to the second: by a third of a step earlier or later.
            due = max(due + step, hours.passed())
            await hours.sleep(due + random.uniform(-0.3, 0.3) * step - hours.passed())
            if not hand:
                hand = random.sample(pool, len(pool))
            tasks.create_task(work(hand.pop()))


def _http(group: Group, url: str) -> httpx.AsyncClient:
    # Loopback needs neither the environment's proxies nor its certificates.
    return httpx.AsyncClient(
        base_url=url,
        headers={"user-agent": f"demo-{group.name}/1.0"},
        trust_env=False,
        verify=False,  # noqa: S501
        timeout=30.0,
    )


async def _request(group: Group, account: str, asked: tuple[str, Body], http: httpx.AsyncClient, hours: Hours) -> Event:
    path, body = asked
    headers = {"authorization": f"Bearer {credential(account)}", "x-forwarded-for": _address(account)}
    try:
        async with http.stream("POST", path, json=body, headers=headers) as response:
            content = await response.aread()
    except httpx.HTTPError as error:
        return Event(hours.passed(), group, account, 0, "", type(error).__name__)
    status = response.status_code
    reference = response.headers.get("x-guard-reference", "")
    return Event(hours.passed(), group, account, status, reference, "" if status == 200 else _told(content))


def _address(account: str) -> str:
    """Everybody comes from a network of his own, the campaign's accounts too: proxies are cheap. (198.18.0.0/15 is for tests.)"""
    return f"198.18.{crc32(account.encode()) % 256}.{crc32(account.encode()) // 256 % 256}"


def _told(content: bytes) -> str:
    """What an error says in a word: the limits that ran out, or its kind."""
    try:
        error = orjson.loads(content)["error"]
        problem = error.get("problem", {})
        return ", ".join(problem.get("violated-policies", ())) or str(error["type"])
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return "an unreadable error"
