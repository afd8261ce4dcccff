"""Whether the store is asked at all: a few calls find out that it doesn't answer, the others are spared the wait.

A circuit breaker (Nygard, Release It!, 2007). Closed: every call goes out. Open: none does but a probe now and then. Half-open:
probes come back in time, and more of them are wanted before anybody relies on it. A store that comes and goes is wanted to
answer longer each time, so that a short up-phase isn't paid for by those who fall into its end; the most that is ever wanted
still lets it back within a second.
"""

from __future__ import annotations

from math import inf
from typing import Literal

from guard.types import JSONObject

State = Literal["closed", "open", "half-open"]

_OPENS_AT = 3.0
# A good call makes up for a quarter of a failed one: half of all calls failing opens it, one in a hundred doesn't.
_MADE_UP = 0.25
_PROBES = 2
_PROBES_MORE = 2
_PROBES_MOST = 6
# Opened again so soon after it closed, the store comes and goes.
_FLAPPING_S = 5.0
# Closed for so short a time, two failures are enough: one may be that of a connection which has to be made anew.
_TRIAL_S = 1.0
_TRIAL_OPENS_AT = 2.0


class Breaker:
    """``failed`` and ``succeeded`` are told of every call that went out, and of every probe. A reply after its deadline is a
    failure when the deadline passes, and nothing when it comes."""

    __slots__ = (
        "_closed_at",
        "_failures",
        "_good",
        "_next_probe",
        "_probe_s",
        "_probing",
        "_wanted",
        "opened",
        "since",
        "state",
    )

    def __init__(self, now: float = 0.0, *, closed: bool = True, probe_s: float = 0.09) -> None:
        """``closed=False``: nobody has reached the store yet. ``probe_s`` a little less than the caller's round."""
        self.state: State = "closed" if closed else "open"
        self.since = now
        """When it came to that state; half-open and open are one outage, and count from its beginning."""
        self.opened = 0 if closed else 1
        """How often it has opened."""
        self._probe_s = probe_s
        self._failures = 0.0
        self._closed_at = -inf
        self._next_probe = now
        self._probing = False
        self._good = 0
        self._wanted = 1 if not closed else _PROBES

    def allows(self, now: float) -> bool:
        """Whether a call may go out."""
        return self.state == "closed"

    def probe_due(self, now: float) -> bool:
        """Whether a probe is to go out now; True means that it does, and its end is told as any call's."""
        if self.state == "closed" or now < self._next_probe:
            return False
        self._next_probe = now + self._probe_s
        self._probing = True
        return True

    def succeeded(self, now: float) -> None:
        """A call came back in time. What went out before it opened says nothing about now."""
        if self.state == "closed":
            if self._failures:
                self._failures = max(0.0, self._failures - _MADE_UP)
            return
        if not self._probing:
            return
        self._probing = False
        self._good += 1
        if self._good < self._wanted:
            self.state = "half-open"
            return
        self.state = "closed"
        self.since = self._closed_at = now
        self._failures = 0.0

    def failed(self, now: float, lost: bool = False) -> None:
        """A call wasn't answered in time or was answered by a fault of the store. ``lost``: the connection is gone, and with
        it whatever else was asked on it."""
        if self.state != "closed":
            self.state = "open"
            self._good = 0
            self._probing = False
            return
        self._failures += 1.0
        if lost or self._failures >= (_TRIAL_OPENS_AT if now < self._closed_at + _TRIAL_S else _OPENS_AT):
            self._open(now)

    def _open(self, now: float) -> None:
        flapping = now < self._closed_at + _FLAPPING_S
        self._wanted = min(self._wanted + _PROBES_MORE, _PROBES_MOST) if flapping else _PROBES
        self.state = "open"
        self.since = now
        self.opened += 1
        self._good = 0
        self._probing = False
        self._next_probe = now + self._probe_s

    def condition(self) -> JSONObject:
        """For the operator."""
        return {"state": self.state, "since": self.since, "opened": self.opened}


__all__ = ["Breaker", "State"]
