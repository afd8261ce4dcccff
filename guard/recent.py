"""A bounded memory of what was used lately: two halves, and the older half is forgotten as a whole.

Get and put are a dictionary look-up or two, with no list to keep in order and no scan for a victim. What was used since the
last turn is never forgotten by the next one, so whoever floods it with new keys costs the idle ones their place first.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Half(dict[K, V]):
    """The newer half. What it lacks is asked of the older one, so that a hit costs no call of Python."""

    __slots__ = ("_older",)

    def __init__(self, older: Callable[[K], V | None]) -> None:
        super().__init__()
        self._older = older

    def __missing__(self, key: K) -> V | None:
        return self._older(key)


class Recent(Generic[K, V]):
    """At most ``most`` entries (at least 2). Values are never ``None``: that stands for "not there"."""

    __slots__ = ("_half", "_new", "_old", "get")

    get: Callable[[K], V | None]
    """The value, which counts as a use; None: not there. Another function after a ``put``: not to be kept."""

    def __init__(self, most: int) -> None:
        self._half = max(1, most // 2)
        self._old: dict[K, V] = {}
        self._turn()

    def put(self, key: K, value: V) -> None:
        if len(self._new) >= self._half and key not in self._new:
            self._old = self._new
            self._turn()
        self._new[key] = value

    def drop(self, key: K) -> None:
        self._new.pop(key, None)
        self._old.pop(key, None)

    def _turn(self) -> None:
        self._new: _Half[K, V] = _Half(self._promoted)
        self.get = self._new.__getitem__

    def _promoted(self, key: K) -> V | None:
        """The value of the older half, which goes over to the newer one."""
        value = self._old.get(key)
        if value is not None:
            self.put(key, value)
        return value

    def __contains__(self, key: K) -> bool:
        return key in self._new or key in self._old

    def __iter__(self) -> Iterator[K]:
        """The keys, least lately used half first."""
        yield from (key for key in self._old if key not in self._new)
        yield from self._new

    def __len__(self) -> int:
        return sum(1 for _ in self)
