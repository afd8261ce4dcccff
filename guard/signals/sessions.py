"""No account stays for a while.

What it sees: people and their programs ask several things in a row; a queue gives the next piece of work to anyone. Pairs of
exchanges of one account within a quarter of an hour are counted against what exchangeable accounts would have: about as many
for a queue, three to thirty times as many for people. How often two exchanges are one account's is taken from the whole sample,
and from the next four hours where that is more: accounts of a pool that is replaced daily meet themselves more often than the
whole sample says.

Conversations go on under the same account in a queue of conversations too. So they exonerate by a single nat; what exonerates
further are pairs of exchanges that each begin a conversation.

What honest traffic sets it off: tools that are asked one thing at a time, an extension for instance; the honest side therefore
includes owners without sessions, so that their absence says at most 1.1 nats. What hides from it: working through an account
in stretches, which costs nobody anything who has accounts enough.

Not costly: imitable, and one can't tell a patient user.

Cost: about 100 µs for 2,048 exchanges. Source: Poisson counts of close pairs, as in tests of space-time clusters (Knox 1964).
"""

from __future__ import annotations

from math import log

import numpy as np
from numpy.typing import NDArray

from guard.likelihoods import beginnings, log_mean
from guard.samples import NOTHING, Sample, Weighed

_NEAR_S = 900.0
_WIDE_S = 4 * 3600.0
_QUEUE = (1.0, 1.5)
_OWNERS = (1.0, 1.5, 2.0, 3.0, 10.0, 30.0)
_FEWEST = 12
_BY_TURNS = -1.0
_MOSTLY = 0.7
_WORTH = 3.0
"""What the whole sample says counts like so many own pairs of the next hours."""


class Sessions:
    name = "sessions"
    group = "rhythm"
    costly = False

    def weigh(self, sample: Sample) -> Weighed:
        if len(sample.at) < _FEWEST or sample.accounts < 3:
            return NOTHING
        nats, found, expected = _lift(sample.at, sample.account)
        begun = beginnings(sample)
        if begun is not None and nats < _BY_TURNS:
            fresh, found, expected = _lift(sample.at[begun], sample.account[begun])
            nats = min(fresh, _BY_TURNS)
        elif begun is not None and len(begun) < _MOSTLY * len(sample.at):
            # A conversation that goes from key to key has no lift either: that is a router's way as well as a queue's.
            nats = min(nats, 0.0)
        return Weighed(nats, f"{found:.0f} close pairs, {expected:.1f} expected")


def _lift(at: NDArray[np.float64], account: NDArray[np.int32]) -> tuple[float, float, float]:
    """(nats, close pairs of one account, as many as exchangeable accounts would have)."""
    n = len(at)
    counts = np.bincount(account).astype(np.float64)
    same = float(np.dot(counts, counts - 1.0)) / (n * (n - 1.0))
    if same <= 0.0:
        return 0.0, 0.0, 0.0
    close, wide = _pairs(at)
    # The same for each account by itself: accounts side by side on one line, further apart than all of time.
    apart = at[-1] - at[0] + 2 * _WIDE_S
    found, wider = _pairs(np.sort(at - at[0] + account * apart))
    nearby = (wider - found + _WORTH) / (wide - close + _WORTH / same)
    expected = max(close * max(same, nearby), 1e-3)
    queue = [found * log(lift) - expected * lift for lift in _QUEUE]
    owners = [found * log(lift) - expected * lift for lift in _OWNERS]
    return log_mean(queue) - log_mean(owners), found, expected


def _pairs(at: NDArray[np.float64]) -> tuple[float, float]:
    """How many pairs are within a quarter of an hour, and within four hours."""
    n = len(at)
    own = n * (n + 1) // 2
    return (
        float(at.searchsorted(at + _NEAR_S, side="right").sum() - own),
        float(at.searchsorted(at + _WIDE_S, side="right").sum() - own),
    )


PLUGIN = Sessions
