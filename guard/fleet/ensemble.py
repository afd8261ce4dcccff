"""Several replicas in one process, by one clock: what a replay or a test of a fleet runs on.

What is due is sent, led, published and adopted before anything else happens, through the same forms as between processes. ``carry``
takes the bytes from one side to the other; a real store can stand there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from guard.fleet.following import Follower
from guard.fleet.gathering import Gatherer, everything
from guard.fleet.leading import Head
from guard.hashing import HashKey
from guard.recognition.recognition import Recognition
from guard.recognition.ring import BATCH_S


def _as_it_is(kind: str, content: bytes) -> bytes:
    return content


class Ensemble:
    """``recognitions``: one a replica, all under one ``key``."""

    def __init__(
        self,
        recognitions: Sequence[Recognition],
        key: HashKey,
        carry: Callable[[str, bytes], bytes] = _as_it_is,
        every_s: float = BATCH_S,
    ) -> None:
        self._recognitions = tuple(recognitions)
        self._gatherers = [
            Gatherer(recognition, key, number.to_bytes(8)) for number, recognition in enumerate(self._recognitions, 1)
        ]
        self.followers = [Follower(recognition) for recognition in self._recognitions]
        self.head = Head(self._recognitions[0], 1)
        self._carry, self._every_s = carry, every_s
        for follower in self.followers:
            self._begin(follower, 0.0)

    def _begin(self, follower: Follower, now: float) -> None:
        follower.begin_whole()
        for frame in filter(None, self.head.whole(now)):
            for _ in follower.adopt(frame, now):
                pass

    def due(self, now: float) -> None:
        """Does what is due at or before ``now``, in order."""
        waits = [gatherer.due_at for gatherer in self._gatherers if gatherer.due_at]
        if (not waits or min(waits) + self._every_s > now) and self.head.recognition.ring.due_at > now:
            return
        for gatherer in self._gatherers:
            for batch in everything(gatherer, now):
                self.head.lead(self._carry("rows", batch))
        for recognition in self._recognitions:
            recognition.leave_waiting()
        for _ in self.head.work(now):
            pass
        frame = self._carry("news", self.head.publish(now))
        for follower in self.followers:
            if follower.wants(frame):
                for _ in follower.adopt(frame, now):
                    pass

    def state(self) -> dict[str, Any]:
        """In numbers, for a test."""
        return {"led": self.head.led, "clusters": len(self.head.recognition.clusters)}
