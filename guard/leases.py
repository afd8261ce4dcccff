"""What is reserved by the exchanges under way, and the concurrency slots that they hold.

A lease ends by itself: a slot whose exchange was lost comes back when its time is over, exactly then. Ends that mean nothing
any more, because the exchange has been settled, are thrown away every now and then, so that what is kept follows the
exchanges under way and not how many there have been within the longest time a lease may last.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from math import inf
from typing import Any

Slot = tuple[str, ...]
Lease = tuple[float, float, list[Slot], list[Any]]
"""Ends at, began at, slots held, what was booked where."""
_SWEEP_EVERY = 1_024


class Leases:
    """Leases by number, from 1 on."""

    __slots__ = ("_ends", "_last", "_sweep_at", "in_use", "next_end", "under_way")

    def __init__(self) -> None:
        self.under_way: dict[int, Lease] = {}
        self.in_use: dict[Slot, int] = {}
        """Slots in use; what is not named has none."""
        self.next_end = inf
        """No slot comes back by itself before that."""
        self._ends: list[tuple[float, int]] = []
        self._last = 0
        self._sweep_at = _SWEEP_EVERY

    def open(self, ends_at: float, now: float, slots: list[Slot], booked: list[Any]) -> int:
        """A new lease on free slots."""
        lease = self._last = self._last + 1
        self.under_way[lease] = (ends_at, now, slots, booked)
        if slots:
            in_use = self.in_use
            for slot in slots:
                in_use[slot] = in_use.get(slot, 0) + 1
            heappush(self._ends, (ends_at, lease))
            if ends_at < self.next_end:
                self.next_end = ends_at
        if lease >= self._sweep_at:
            self._sweep(now)
        return lease

    def close(self, lease: int) -> Lease | None:
        """Ends a lease and gives back its slots; None where there is none of that number any more."""
        held = self.under_way.pop(lease, None)
        if held is not None and held[2]:
            self._release(held[2])
        return held

    def hold(self, lease: int, ends_at: float) -> None:
        """Lengthens a lease; never shortens one."""
        held = self.under_way.get(lease)
        if held is not None and ends_at > held[0]:
            self.under_way[lease] = (ends_at, *held[1:])

    def expire(self, now: float) -> None:
        """Ends the leases on slots whose time is over."""
        ends = self._ends
        while ends and ends[0][0] <= now:
            _, lease = heappop(ends)
            held = self.under_way.get(lease)
            if held is None:
                continue
            if held[0] > now:
                heappush(ends, (held[0], lease))
            else:
                del self.under_way[lease]
                self._release(held[2])
        self.next_end = ends[0][0] if ends else inf

    def _sweep(self, now: float) -> None:
        """Ends every lease whose time is over, also those without slots, and forgets ends that mean nothing any more."""
        self.expire(now)
        self.under_way = {lease: held for lease, held in self.under_way.items() if held[0] > now}
        self._ends = [(held[0], lease) for lease, held in self.under_way.items() if held[2]]
        heapify(self._ends)
        self.next_end = self._ends[0][0] if self._ends else inf
        self._sweep_at = self._last + 2 * len(self.under_way) + _SWEEP_EVERY

    def _release(self, slots: list[Slot]) -> None:
        for slot in slots:
            left = self.in_use[slot] - 1
            if left:
                self.in_use[slot] = left
            else:
                del self.in_use[slot]
