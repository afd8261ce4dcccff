"""A bounded memory of what was used lately: two halves, and the older half is forgotten as a whole.

Get and put are a dictionary look-up or two, with no list to keep in order and no scan for a victim. What was used since the
last turn is never forgotten by the next one, so whoever floods it with new keys costs the idle ones their place first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar
from zlib import crc32

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
_MARKS = 1 << 20
_LOOKED_AT = 64


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

    def peek(self, key: K) -> V | None:
        """The value, without counting that as a use; None: not there."""
        return self._new[key] if key in self._new else self._old.get(key)

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


class Keys:
    """At most ``most`` keys (at least 1), one text of each: ``get`` returns the one that is held, however often an equal one was asked for, so
    that tables which take theirs from here share it. Where there is no room one goes that was not used lately.

    A queue with a second chance (Corbató 1968). Uses are marked from half its size on, in a table of 2²⁰ marks by a checksum of the
    key: two keys may share a mark, and then one is kept a round longer.
    """

    __slots__ = ("_held", "_most", "_queue", "_used", "get")

    get: Callable[[str], str | None]
    """The text that is held, which counts as a use; None: there is none. Another function after an ``add``: not to be kept."""

    def __init__(self, most: int) -> None:
        self._most = max(1, most)
        self._held: dict[str, str] = {}
        self._queue: deque[str] = deque()
        self._used = bytearray()
        self.get = self._held.get

    def add(self, key: str) -> None:
        """Holds a key, which counts as a use."""
        if self.get(key) is None:
            if len(self._held) >= self._most // 2 and not self._used:
                self._used = bytearray(_MARKS)
                self.get = self._marking
            if len(self._held) >= self._most:
                self._make_room()
            self._held[key] = key
            self._queue.append(key)

    def drop(self, key: str) -> None:
        """Forgets a key. O(all), for operators."""
        if self._held.pop(key, None) is not None:
            self._queue.remove(key)

    def _make_room(self) -> None:
        queue, used = self._queue, self._used
        for _ in range(_LOOKED_AT):
            key = queue.popleft()
            if not used[crc32(key.encode()) & _MARKS - 1]:
                break
            used[crc32(key.encode()) & _MARKS - 1] = 0
            queue.append(key)
        else:
            key = queue.popleft()
        del self._held[key]

    def _marking(self, key: str) -> str | None:
        held = self._held.get(key)
        if held is not None:
            self._used[crc32(held.encode()) & _MARKS - 1] = 1
        return held

    def __contains__(self, key: str) -> bool:
        return key in self._held

    def __iter__(self) -> Iterator[str]:
        """The keys, in the order in which they would go."""
        return iter(self._queue)

    def __len__(self) -> int:
        return len(self._held)
