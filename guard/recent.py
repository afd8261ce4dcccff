"""A bounded memory of what was used lately: two halves, and the older half is forgotten as a whole.

Get and put are a dictionary look-up or two, with no list to keep in order and no scan for a victim. What was used since the
last turn is never forgotten by the next one, so whoever floods it with new keys costs the idle ones their place first.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """At most ``most`` entries (at least 2). Values are never ``None``: that stands for "not there"."""

    __slots__ = ("_half", "_new", "_old")

    def __init__(self, most: int) -> None:
        self._half = max(1, most // 2)
        self._new: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """The value, which counts as a use; None: not there."""
        value = self._new.get(key)
        if value is None:
            value = self._old.get(key)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: K, value: V) -> None:
        if len(self._new) >= self._half and key not in self._new:
            self._old = self._new
            self._new = {}
        self._new[key] = value

    def drop(self, key: K) -> None:
        self._new.pop(key, None)
        self._old.pop(key, None)

    def __contains__(self, key: K) -> bool:
        return key in self._new or key in self._old

    def __iter__(self) -> Iterator[K]:
        """The keys, least lately used half first."""
        yield from (key for key in self._old if key not in self._new)
        yield from self._new

    def __len__(self) -> int:
        return sum(1 for _ in self)
