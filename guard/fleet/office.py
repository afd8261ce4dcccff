"""Who leads: the lease, taken where it lies and renewed while this process leads.

Replicas wait a moment before they stand for it, workers do not; a replica that leads hands over to a worker that comes.
"""

from __future__ import annotations

from guard.fleet.duty import Duty
from guard.fleet.post import Post
from guard.fleet.roster import Roster
from guard.pipeline import Guard

STAND_S = 0.5
PATIENCE_S = 1.0
"""How long a replica lets the lease lie before it stands."""
_HOLD_BACK_S = 0.3


class Office:
    """``serves``: requests come to this process. ``by_store_time``: see ``Fleet``. ``before``: where replicas under the key before this
    one leave things; None: there was none."""

    def __init__(
        self, guard: Guard, post: Post, roster: Roster, *, serves: bool, by_store_time: bool, before: Post | None
    ) -> None:
        self._guard, self._post, self._roster, self._before = guard, post, roster, before
        self._serves, self._by_store_time = serves, by_store_time
        self.duty: Duty | None = None
        """What this process does as whoever leads; None: it does not lead."""
        self.leader = ""
        """Who leads, as far as is known."""
        self._stood_at = -1e18
        self._free_since: float | None = None

    async def work(self, now: float) -> None:
        """Stands, and leads where it leads. Raises ``Trouble``."""
        await self._stand(now)
        if self.duty is not None and not await self.duty.round(now):
            self.duty = None

    async def leave(self, now: float) -> None:
        """Leaves in good order what the next one needs, and the lease. Raises ``Trouble``."""
        duty, self.duty = self.duty, None
        if duty is not None:
            duty.rewrite()
            await duty.round(now)
            await self._post.leave(duty.token)

    async def _stand(self, now: float) -> None:
        """Renews the lease, or takes it where it lies."""
        duty = self.duty
        worker = self._roster.workers > 0
        if duty is not None and worker and self._serves:
            await self.leave(now)
            return
        if now - self._stood_at < STAND_S:
            return
        self._stood_at = now
        waited = self._free_since is not None and now - self._free_since >= PATIENCE_S
        free = not self._serves or (waited and not worker)
        token = duty.token if duty is not None else 0
        self.leader, held = await self._post.stand(token, free=free)
        if not self.leader:
            self._free_since = now if self._free_since is None else self._free_since
            return
        self._free_since = None
        if self.leader != self._post.replica:
            self.duty = None
        elif duty is None or held != token:
            await self._take(held, now)

    async def _take(self, token: int, now: float) -> None:
        """The lease is this one's. Whoever led before and lost only the store goes on with what it knows, unless another led meanwhile."""
        before, beat = self.duty, self._roster.beat
        if before is not None and (beat is None or beat.base_token in {0, before.token}):
            before.renew(token)
            return
        self.duty = None
        duty = Duty(
            self._guard,
            self._post,
            token,
            alone=not self._serves,
            hold_back_s=_HOLD_BACK_S if self._by_store_time else 0.0,
        )
        await duty.take_over(now, self._before)
        if self._by_store_time and beat is not None:
            duty.know_time(beat, self._roster.heard_at)
        self.duty = duty
