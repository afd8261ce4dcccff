"""Requests of one moment share a call; nobody waits longer than the deadline, and nothing that was got is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from guard.remote.batch import LATE, Answer, Batch, Call
from guard.remote.link import Trouble
from guard.remote.wire import told

pytestmark = pytest.mark.anyio


def answer(call: Call) -> Answer:
    return told(-1, 0.0, (float(call.count),), ()), 1.0


class Server:
    """Answers when it is told to."""

    def __init__(self, *, held: bool = False) -> None:
        self.calls: list[Sequence[Call]] = []
        self.go = asyncio.Event()
        if not held:
            self.go.set()

    async def send(self, calls: Sequence[Call]) -> Sequence[Answer]:
        self.calls.append(calls)
        await self.go.wait()
        return [answer(call) for call in calls]


def calls(many: int) -> list[Call]:
    return [Call(f"k{number}", b"", number) for number in range(many)]


async def test_who_asks_in_one_turn_shares_a_call() -> None:
    """And each gets its own answer."""
    server = Server()
    batch = Batch(server.send, 5.0, most=64)
    asked = calls(100)
    told = await asyncio.gather(*[batch.put(call) for call in asked])

    assert [len(sent) for sent in server.calls] == [64, 36]
    assert [each[0].levels for each in told] == [(float(n),) for n in range(100)]  # type: ignore[union-attr,index]


async def test_others_gather_while_enough_are_under_way() -> None:
    """Four hang; what comes then waits together, and goes as one when there is a place."""
    server = Server(held=True)
    batch = Batch(server.send, 5.0, at_once=4)
    first = []
    for call in calls(4):
        first.append(batch.put(call))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    rest = [batch.put(call) for call in calls(9)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert [len(sent) for sent in server.calls] == [1] * 4

    server.go.set()
    await asyncio.gather(*first, *rest)
    assert [len(sent) for sent in server.calls] == [1] * 4 + [9]


async def test_nobody_waits_longer_than_the_deadline() -> None:
    """The store hangs: everybody is told, and the batch hears how many; what comes late is told to who listens."""
    server = Server(held=True)
    late: list[int] = []
    batch = Batch(server.send, 0.02, late=late.append)
    asked = calls(3)
    told = await asyncio.gather(*[batch.put(call) for call in asked])
    heard: list[Any] = []
    for call in asked:
        call.after(heard.append)
    server.go.set()
    await batch.drain()

    assert told == ["late"] * 3
    assert sum(late) == 3
    assert heard == [answer(call) for call in asked]


async def test_what_is_hung_holds_up_nobody_after_it() -> None:
    """Calls past their deadline don't count as under way."""
    server = Server(held=True)
    batch = Batch(server.send, 0.01, at_once=1)
    assert await batch.put(Call("a", b"", 0)) == "late"
    second = batch.put(Call("b", b"", 0))
    for _ in range(3):
        await asyncio.sleep(0)

    assert len(server.calls) == 2
    server.go.set()
    assert await second == answer(Call("b", b"", 0))
    await batch.drain()


async def test_who_gives_up_before_it_was_sent_sends_nothing() -> None:
    server = Server()
    batch = Batch(server.send, 5.0)
    one, other = calls(2)
    batch.put(one).cancel()
    await batch.put(other)

    assert [list(sent) for sent in server.calls] == [[other]]


async def test_who_gives_up_later_is_told_what_he_has_got() -> None:
    """Even where the answer comes between giving up and saying so."""
    server = Server(held=True)
    batch = Batch(server.send, 5.0)
    one, other = calls(2)
    waits = [batch.put(one), batch.put(other)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    heard: list[Any] = []
    one.after(heard.append)
    for wait in waits:
        wait.cancel()
    server.go.set()
    await batch.drain()
    other.after(heard.append)

    assert heard == [answer(one), answer(other)]


async def test_all_are_released_when_the_store_is_known_to_be_gone() -> None:
    server = Server(held=True)
    batch = Batch(server.send, 5.0)
    waits = [batch.put(call) for call in calls(3)]
    await asyncio.sleep(0)
    batch.give_up()

    assert await asyncio.gather(*waits) == ["late"] * 3
    server.go.set()
    await batch.drain()


async def test_trouble_is_an_answer() -> None:
    async def send(calls: Sequence[Call]) -> Sequence[Answer]:
        return [Trouble("lost")] * len(calls)

    told = await Batch(send, 5.0).put(Call("a", b"", 0))
    assert isinstance(told, Trouble)


@pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": use}) for use in (False, True)], ids=str)
async def test_an_answer_that_lay_there_while_the_loop_stood_still_is_no_late_one() -> None:
    """The deadline has passed for want of anybody who reads it. One that still isn't there then is late after all."""
    loop = asyncio.get_running_loop()
    for comes in (True, False):
        server = Server(held=True)
        late: list[int] = []
        waiting = Batch(server.send, 0.02, late=late.append).put(calls(1)[0])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        stood = loop.time() + 0.1
        if comes:
            loop.call_soon(server.go.set)
        while loop.time() < stood:
            pass
        assert (await waiting == LATE) is not comes
        assert late == [1] * (not comes)
        server.go.set()
