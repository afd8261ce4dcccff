"""Exchanges that are decided with a store that has to be reached: it is asked once, and nothing else waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from guard.charges import Bill, Charge, Slots, Taken
from guard.clock import ManualClock
from guard.config import load
from guard.errors import StateError
from guard.installation import Installation
from guard.registry import discover
from guard.types import Exchange, Usage
from tests.recognition import town
from tests.recognition.town import T0

POLICY = """
version = 1
mode = "enforce"
[state]
store = "memory://"
[[limit]]
id = "few"
per = ["account"]
requests = "3/minute"
tokens = "100000/minute"
[[limit]]
id = "all"
per = []
requests = "1000/minute"
"""
MemoryStore: Any = discover("stores")["memory"]
USAGE = Usage(200, 10, 10, True, True, True)


class Far(MemoryStore):  # type: ignore[misc]
    """A memory store behind a wait that the test ends. ``asked`` counts what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.gate = asyncio.Event()
        self.opened = self.closed = False

    async def reserve(self, charges: Sequence[Bill] | Sequence[Charge], slots: Slots, now: float) -> tuple[Taken, int]:
        self.asked += 1
        await self.gate.wait()
        taken: tuple[Taken, int] = self.take(charges, slots, now)
        return taken

    async def open(self) -> None:
        self.opened = True

    async def close(self) -> None:
        self.closed = True

    def condition(self, now: float) -> dict[str, Any]:
        return {"state": "local", "since": now, "replicas": 2, "errors": {"timeout": 3}}


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Far:
    store = Far()
    monkeypatch.setattr("guard.installation.store_of", lambda state: store)
    monkeypatch.setenv("GUARD_KEY", "a key of this test's own")
    return store


def installed() -> Installation:
    return Installation(load(POLICY), ManualClock(T0))


def exchange() -> Exchange:
    return town.exchange(town.account("somebody"), "a question")


@pytest.mark.anyio
async def test_each_exchange_asks_the_store_once_whatever_the_number_of_limits(far: Far) -> None:
    """Both limits and both units go in one question; the fourth request finds no room, as with a store in this process."""
    far.gate.set()
    installation = installed()
    actions = []
    for _ in range(4):
        receipt, entry = await installation.reach(exchange(), installation.guard.compiled, b"")
        installation.settle(receipt, USAGE, entry)
        actions.append(receipt.decision.action)
    assert actions == ["allow", "allow", "allow", "limit"]
    assert far.asked == 4


@pytest.mark.anyio
async def test_one_that_waits_holds_up_nobody_and_leaves_nothing_when_it_is_given_up(far: Far) -> None:
    """Cancelled while the store is asked, an exchange is neither counted nor noted."""
    installation = installed()
    waiting = asyncio.ensure_future(installation.reach(exchange(), installation.guard.compiled, b""))
    await asyncio.sleep(0)
    assert far.asked == 1
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert installation.metrics.counts() == {"in_flight": 0}
    far.gate.set()
    receipt, _ = await installation.reach(exchange(), installation.guard.compiled, b"")
    assert receipt.decision.action == "allow"
    assert not installation.guard.faults


@pytest.mark.anyio
async def test_a_store_that_raises_lets_nobody_through(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    """No store should; one that does is a fault of guard's own: counted, and answered with 503, not with a traceback."""

    async def broken(charges: object, slots: object, now: float) -> None:
        raise ValueError("no amount")

    monkeypatch.setattr(far, "reserve", broken)
    installation = installed()
    receipt, _ = await installation.reach(exchange(), installation.guard.compiled, b"")
    assert (receipt.decision.action, receipt.decision.status) == ("refuse", 503)
    assert installation.guard.faults == {"policy or limits": 1}


def test_a_store_that_replicas_share_needs_a_key_that_they_share(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a key made by chance every replica would know an account by another name."""
    monkeypatch.delenv("GUARD_KEY")
    with pytest.raises(StateError, match="GUARD_KEY"):
        installed()


def test_its_condition_is_shown(far: Far) -> None:
    """In status and in metrics: what this replica goes on by is no secret of the log."""
    installation = installed()
    status = installation.control.call("status", {}, by="test", now=T0)
    assert status["store"]["errors"] == {"timeout": 3}
    assert status["health"] == "degraded"
    assert "by what it last saw" in status["because"][0]
    text = installation.metrics.text().decode()
    assert "guard_store_up 0.0" in text
    assert "guard_store_replicas 2.0" in text
    assert 'guard_store_errors_total{kind="timeout"} 3.0' in text
