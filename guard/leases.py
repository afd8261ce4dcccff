"""What is reserved by the exchanges under way, and the concurrency slots that they hold.

A lease ends by itself: a slot whose exchange was lost comes back when its time is over, exactly then. Nearly all leases are
settled long before, so their ends are not kept in order as they are opened: they are sorted when the first of them comes, which
then is that of an exchange that was lost or runs on.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from math import inf
from typing import Any

Slot = tuple[str, ...]
Lease = tuple[float, float, list[Slot], list[Any]]
"""Ends at, began at, slots held, what was booked where."""


class Leases:
    """Leases by number, from 1 on."""

    __slots__ = ("_last", "_sorted", "_unsorted_end", "in_use", "next_end", "under_way")

    def __init__(self) -> None:
        self.under_way: dict[int, Lease] = {}
        self.in_use: dict[Slot, int] = {}
        """Slots in use; what is not named has none."""
        self.next_end = inf
        """No lease ends by itself before that."""
        self._sorted: list[tuple[float, int]] = []
        self._unsorted_end = inf
        self._last = 0

    def open(self, ends_at: float, now: float, slots: list[Slot], booked: list[Any]) -> int:
        """A new lease on free slots."""
        lease = self._last = self._last + 1
        self.under_way[lease] = (ends_at, now, slots, booked)
        if slots:
            in_use = self.in_use
            for slot in slots:
                in_use[slot] = in_use.get(slot, 0) + 1
        if ends_at < self._unsorted_end:
            self._unsorted_end = ends_at
            self.next_end = min(self.next_end, ends_at)
        return lease

    def close(self, lease: int) -> Lease | None:
        """Ends a lease and gives back its slots; None where there is none of that number any more."""
        held = self.under_way.pop(lease, None)
        if held is not None:
            in_use = self.in_use
            for slot in held[2]:
                left = in_use[slot] - 1
                if left:
                    in_use[slot] = left
                else:
                    del in_use[slot]
        return held

    def hold(self, lease: int, ends_at: float) -> None:
        """Lengthens a lease; never shortens one."""
        held = self.under_way.get(lease)
        if held is not None and ends_at > held[0]:
            self.under_way[lease] = (ends_at, *held[1:])

    def expire(self, now: float) -> None:
        """Ends the leases whose time is over."""
        if self._unsorted_end <= now:
            self._sorted = [(held[0], lease) for lease, held in self.under_way.items()]
            heapify(self._sorted)
            self._unsorted_end = inf
        ends = self._sorted
        while ends and ends[0][0] <= now:
            _, lease = heappop(ends)
            held = self.under_way.get(lease)
            if held is None:
                continue
            if held[0] > now:
                heappush(ends, (held[0], lease))
            else:
                self.close(lease)
        self.next_end = min(ends[0][0] if ends else inf, self._unsorted_end)
