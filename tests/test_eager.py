from __future__ import annotations

import asyncio

import pytest

from guard.eager import Waiting, first_step, rest

pytestmark = pytest.mark.anyio


async def test_what_is_there_is_returned_at_once() -> None:
    """A coroutine that waits for nothing gives its result without the event loop."""

    async def ready() -> int:
        return 7

    assert first_step(ready()) == 7


async def test_what_waits_goes_on_in_the_same_task() -> None:
    """A coroutine that waits several times is taken to its end, in the task that began it."""

    async def waits() -> object:
        task = asyncio.current_task()
        await asyncio.sleep(0)
        event = asyncio.Event()
        asyncio.get_running_loop().call_soon(event.set)
        await event.wait()
        assert asyncio.current_task() is task
        return task

    waiting = first_step(waits())

    assert isinstance(waiting, Waiting)
    assert await rest(waiting) is asyncio.current_task()


async def test_errors_come_from_the_step_they_happen_in() -> None:
    """What the first step raises is raised at once, what a later one raises when it is awaited."""

    async def at_once() -> None:
        raise LookupError

    async def later() -> None:
        await asyncio.sleep(0)
        raise LookupError

    with pytest.raises(LookupError):
        first_step(at_once())
    waiting = first_step(later())
    assert isinstance(waiting, Waiting)
    with pytest.raises(LookupError):
        await rest(waiting)


async def test_a_timeout_reaches_the_coroutine_that_waits() -> None:
    """A cancellation while it waits runs its clean-up; one that it swallows lets it go on."""
    cleaned: list[str] = []

    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append("up")
        return "never"

    waiting = first_step(stubborn())
    assert isinstance(waiting, Waiting)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await rest(waiting)

    assert cleaned == ["up"]


async def test_other_awaitables_are_left_as_they_are() -> None:
    """A future can't be stepped; it is awaited."""
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    future.set_result(3)
    waiting = first_step(future)

    assert isinstance(waiting, Waiting)
    assert await rest(waiting) == 3
