"""Takes the first step of an awaitable at once, so that what is there already needs no timer round it."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from types import CoroutineType, coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Waiting:
    """An awaitable that did not end in its first step; ``await rest(waiting)`` goes on with it, in the same task."""

    __slots__ = ("awaitable", "begun", "pending")

    def __init__(self, awaitable: Awaitable[Any], *, begun: bool, pending: Any = None) -> None:
        self.awaitable = awaitable
        self.begun = begun
        self.pending = pending


def first_step(awaitable: Awaitable[T]) -> T | Waiting:
    """What ``awaitable`` returns if it does so without waiting, else a ``Waiting``. Raises what its first step raises.

    Only coroutines can be stepped; anything else is left for ``rest`` as it is.
    """
    if type(awaitable) is not CoroutineType:
        return Waiting(awaitable, begun=False)
    try:
        return Waiting(awaitable, begun=True, pending=awaitable.send(None))
    except StopIteration as end:
        result: T = end.value
        return result


async def rest(waiting: Waiting) -> Any:
    """The result of an awaitable whose first step has been taken."""
    if not waiting.begun:
        return await waiting.awaitable
    return await _resumed(waiting.awaitable, waiting.pending)


@coroutine
def _resumed(step: Any, pending: Any) -> Generator[Any, Any, Any]:
    """``yield from`` for a coroutine that has yielded once already: what it yielded goes to the event loop first."""
    while True:
        try:
            value = yield pending
        except BaseException as error:  # noqa: BLE001 - a cancellation has to reach the coroutine that waits
            try:
                pending = step.throw(error)
            except StopIteration as end:
                return end.value
        else:
            try:
                pending = step.send(value)
            except StopIteration as end:
                return end.value
