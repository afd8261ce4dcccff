"""Leads the replicas that share a store: looks at the exchanges of all of them for accounts that act as one, so that none of them has
to do that beside its requests. It has no endpoint, and needs nothing but the policy, GUARD_KEY and the store.

    GUARD_KEY=… guard worker --policy guard.toml

One leads at a time, workers rather than replicas; a second worker waits until the first is gone. Without any, one of the replicas
leads. It ends at once on SIGTERM, and leaves what it knows to the next. On SIGHUP, and when the policy's file has changed, it reads
that again, as replicas do; a policy with a mistake changes nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from guard.errors import InstallError
from guard.quantities import duration_s

if TYPE_CHECKING:
    from guard.clock import Clock
    from guard.fleet.fleet import Fleet
    from guard.pipeline import Guard
    from guard.reload import PolicyFile, ReloadOutcome
    from guard.types import JSONObject

SUMMARY = "lead the replicas that share a store"
_NO_STORE = (
    "the policy names no store that replicas share, so there is nobody to lead; write [state] store = "
    '"redis://HOST:6379/0" (or "env:NAME"), the same for all'
)
_NO_KEY = "the replicas' accounts are known by keyed hashes, and this worker has another key: set GUARD_KEY to the secret that all of them have"
_LOOK_S = 1.0


def arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--policy", metavar="FILE", required=True, help="the policy that the replicas run")
    add(
        "--every", metavar="TIME", type=_time, default="1min", help="how often its condition is written (default: 1min)"
    )


def run(options: argparse.Namespace) -> int:
    from guard.clock import SystemClock  # noqa: PLC0415 - what is heavy loads when it runs
    from guard.fleet.fleet import Fleet  # noqa: PLC0415
    from guard.keys import find_key  # noqa: PLC0415
    from guard.pipeline import Guard  # noqa: PLC0415
    from guard.reload import PolicyFile  # noqa: PLC0415
    from guard.remote.link import Link  # noqa: PLC0415
    from guard.storing import url_of  # noqa: PLC0415

    clock = SystemClock()
    file = PolicyFile(options.policy, clock.now())
    policy = file.policy
    url = url_of(policy.state.store)
    if "://" not in url:
        raise InstallError(_NO_STORE)
    found = find_key(policy.state.dir)
    if found.origin == "random":
        raise InstallError(_NO_KEY)
    guard = Guard(policy, key=found.key, start=clock.now(), former=found.former)
    fleet = Fleet(guard, Link(url), clock, serves=False, former=found.former)
    asyncio.run(_lead(fleet, Reading(file, guard, _say), clock, options.every, _say))
    return 0


class Reading:
    """The policy's file beside a worker."""

    def __init__(self, file: PolicyFile, guard: Guard, say: Callable[[str], None]) -> None:
        self._file, self._guard, self._say = file, guard, say
        self._hangup = False

    def hang_up(self) -> None:
        """The file is to be read at the next look, whether it seems to have changed or not."""
        self._hangup = True

    def look(self, now: float) -> None:
        """Takes up another policy, where there is one."""
        hangup, self._hangup = self._hangup, False
        outcome: ReloadOutcome = self._file.reload(now) if hangup else self._file.poll(now)
        if outcome.error is not None:
            self._say(f"guard worker: the policy can't be used, the last good one stays in force: {outcome.error}")
        elif outcome.kind == "changed":
            before = self._guard.policy.state.store
            self._guard.swap(outcome.policy, now)
            self._say(f"guard worker: took up the policy anew (digest {outcome.policy.digest})")
            if outcome.policy.state.store != before:
                self._say("guard worker: it leads on the store that it began with; restart it to lead on another")


async def _lead(fleet: Fleet, reading: Reading, clock: Clock, every_s: float, say: Callable[[str], None]) -> None:
    """Until it is told to end."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for told in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(told, ended.set)
    loop.add_signal_handler(signal.SIGHUP, reading.hang_up)
    working = loop.create_task(fleet.run(), name="guard worker")
    said_at, led, state = -every_s, False, ""
    try:
        while not ended.is_set() and not working.done():
            now = clock.now()
            reading.look(now)
            condition = fleet.condition(now)
            if loop.time() - said_at >= every_s or fleet.leads != led or condition["state"] != state:
                said_at, led, state = loop.time(), fleet.leads, condition["state"]
                say(line(condition))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await ended.wait()
    finally:
        for told in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(told)
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working
        await fleet.close()


def line(condition: JSONObject) -> str:
    """A condition in one line."""
    who = "leads" if condition["leads"] else f"waits, {condition['leader'] or 'nobody'} leads"
    store = "" if condition["state"] == "up" else "; the store does not answer"
    told = "; ".join(["", *condition["warnings"]])
    return (
        f"guard worker {condition['replica']}: {who}; {condition['replicas']} replicas, {condition['led']} exchanges looked at"
        f"{store}{told}"
    )


def _say(text: str) -> None:
    print(text, flush=True)


def _time(text: str) -> float:
    try:
        return duration_s(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error.args[0]}; write 30s or 10min") from None
