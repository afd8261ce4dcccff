"""The ring: exchanges that the hot path has left for recognition, and when they are to be looked at.

What a batch holds, and the moment as of which it is worked on, depend on the exchanges alone: however late the work is done, and
whatever came in meanwhile, it comes to the same. So a live run decides as the replay of its own record does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from math import inf

from guard.recognition.groups import Observed

BATCH = 512
BATCH_S = 0.25
MOST_WAITING = 65_536


class Ring:
    """At most ``MOST_WAITING``: then the oldest is lost, and counted."""

    __slots__ = ("_waiting", "lost")

    def __init__(self) -> None:
        self.lost = 0
        """Exchanges that were never looked at, because the work beside the requests was too far behind."""
        self._waiting: deque[Observed] = deque(maxlen=MOST_WAITING)

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Observed]:
        return iter(self._waiting)

    def add(self, observed: Observed) -> None:
        """Leaves one."""
        if len(self._waiting) == MOST_WAITING:
            self.lost += 1
        self._waiting.append(observed)

    def extend(self, observed: Iterable[Observed]) -> None:
        """Takes up what was kept over a restart."""
        self._waiting.extend(observed)

    def clear(self) -> None:
        """Forgets what waits: somebody else works on it."""
        self._waiting.clear()

    @property
    def due_at(self) -> float:
        """When the next batch is due: when it is full, at the latest a quarter of a second after its first; inf: none waits."""
        waiting = self._waiting
        if not waiting:
            return inf
        due_at = waiting[0].at + BATCH_S
        return due_at if len(waiting) < BATCH else min(due_at, waiting[BATCH - 1].at)

    def batch(self) -> Iterator[Observed]:
        """Takes the batch that is due, one by one; the rest of one that is given up is in the next."""
        waiting = self._waiting
        end = waiting[0].at + BATCH_S
        for _ in range(BATCH):
            if not waiting or waiting[0].at >= end:
                return
            yield waiting.popleft()
