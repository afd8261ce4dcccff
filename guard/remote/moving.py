"""Accounts that had another name under the hashing key before: their records are carried over at their first call.

The former record is read, its meters are added to the new one (``lua/adopt.lua``, each former record once), and then it goes. The
two may lie in different slots of a cluster, so it is no single step; what is cut short is done again by the next call, and a
former record that comes back (a replica that still runs under the key before) is another one and is carried over as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from hashlib import blake2b

from guard.recent import Recent
from guard.remote import names
from guard.remote.link import Link, Trouble

_MARK_AT = 48
"""Where a header holds its record's mark."""


class Moving:
    """``clock`` is what the scripts are told of the time; ``failed`` is told of trouble. Bounded: of more accounts than ``most`` that wait
    to be carried over at once the oldest go on with nothing."""

    def __init__(self, link: Link, clock: Callable[[], bytes], failed: Callable[[Trouble], None], most: int) -> None:
        self._link, self._clock, self._failed = link, clock, failed
        self._former: Recent[str, str] = Recent(most)
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self.any = False
        """Whether anybody was ever to be carried over."""

    def want(self, former: str, name: str) -> None:
        """From the next call on, what was used under ``former`` is used under ``name``."""
        self._former.put(name, former)
        self.any = True

    def due(self, name: str) -> bool:
        """Whether that account has to be waited for."""
        return name in self._former

    async def done(self, name: str) -> None:
        """Carries an account over. However often it is asked for at once, it is done once; it fails quietly, and is tried again."""
        task = self._under_way.get(name)
        if task is None:
            task = self._under_way[name] = asyncio.ensure_future(self._move(name))
            task.add_done_callback(lambda _: self._under_way.pop(name, None))
        await asyncio.shield(task)

    async def _move(self, name: str) -> None:
        former = self._former.peek(name)
        if former is None:
            return
        source = names.key(former)
        try:
            fields = await self._link.call("HGETALL", source, key=source)
            flat = _flat(fields)
            if flat:
                await self._link.script("adopt", [names.key(name)], [self._clock(), _mark(flat), *flat])
                await self._link.call("UNLINK", source, key=source)
        except Trouble as trouble:
            if trouble.kind != "wrongtype":
                self._failed(trouble)
                return
        self._former.drop(name)


def _flat(fields: object) -> list[bytes]:
    """What ``HGETALL`` says, as a list of names and values, in the old protocol and the new."""
    if isinstance(fields, dict):
        return [part for pair in fields.items() for part in pair]
    return list(fields) if isinstance(fields, list) else []


def _mark(flat: list[bytes]) -> bytes:
    """What tells this record from any other that ever stood under its name."""
    header = next((flat[at + 1] for at in range(0, len(flat) - 1, 2) if flat[at] == b"h"), b"")
    return blake2b(header[_MARK_AT:], digest_size=8, person=b"guard carried").digest()


__all__ = ["Moving"]
