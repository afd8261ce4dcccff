"""The accounts ask by one clock.

What it sees: where owners are independent, an exchange of one lies anywhere between the neighbouring exchanges of the others:
its place, 0 to 1, is uniform, whatever each does by himself and however busy the hour is. One scheduler that paces its work
puts it in the middle (Beta(k, k) with k > 1); one that works in bursts puts it at the ends (k < 1). So the likelihood under a
few such k is weighed against the uniform.

An account's own exchanges in a row count as one. Only gaps of at most two hours count, within which the hour of the day changes
little. No account counts for more than three exchanges, so that a few machines on clocks of their own, which keep the same
place to each other, don't pass for many. Jobs by the wall clock are left out: where more come just after a round quarter of an
hour than should, those; and accounts whose gaps are mostly multiples of five minutes.

What honest traffic sets it off: an event that many owners' programs answer at once, again and again. One owner's keys behind
one balancer are one clock in truth: see ``one_owner``. A family that gets only each twentieth exchange of a queue looks
independent: thinning makes any clock Poisson.

Costly to plant on a victim: an outsider would have to time himself by exchanges of others that he doesn't see.

Cost: about 400 µs for 2,048 exchanges. Source: local variation of spike trains (Shinomoto, Shima, Tanji 2003), turned into
a likelihood and taken across accounts.
"""

from __future__ import annotations

from math import lgamma

import numpy as np
from numpy.typing import NDArray

from guard.likelihoods import beginnings, log_mean
from guard.samples import NOTHING, Sample, Weighed

_SHAPES = (4.0, 2.0, 0.5, 0.3)
_LONGEST_S = 7200.0
_EDGE = 0.02
"""No place counts as nearer to an end: a few freak coincidences must not carry the whole."""
_MOST_EACH = 3.0
_ROUND_S = 900.0
_JUST_AFTER_S = 60.0
_STEP_S = 300.0
_NEAR_STEP_S = 15.0
_FEWEST = 6


class SharedClock:
    name = "shared_clock"
    group = "coordination"
    costly = True

    def __init__(self) -> None:
        self._constants = tuple(lgamma(2 * k) - 2 * lgamma(k) for k in _SHAPES)

    def weigh(self, sample: Sample) -> Weighed:
        at, account = sample.at, sample.account
        # Later turns follow their conversation, whoever's key bears them: only its beginning tells who dealt it out.
        begun = beginnings(sample)
        if begun is not None:
            at, account = at[begun], account[begun]
        if len(at) < 8 or sample.accounts < 3:
            return NOTHING
        free = _off_the_wall_clock(at, account, sample.accounts)
        if free is not None:
            at, account = at[free], account[free]
            if len(at) < 8:
                return NOTHING
        # Runs of one account: where each starts and ends.
        starts = (account[1:] != account[:-1]).nonzero()[0] + 1
        if len(starts) < _FEWEST + 1:
            return NOTHING
        # Run i lies between the end of run i − 1 and the start of run i + 1; the first and the last have one neighbour only.
        begin, end = starts[:-1], starts[1:]
        left, right = at[begin - 1], at[end]
        resolution = 1.0 if at[0] == int(at[0]) and bool((at == np.floor(at)).all()) else 0.001
        gap = right - left
        usable = np.flatnonzero((gap <= _LONGEST_S) & (gap >= 4 * resolution))
        if len(usable) < _FEWEST:
            return NOTHING
        gap, left, begin, end = gap[usable], left[usable], begin[usable], end[usable]
        owner = account[begin]
        # One of the run, any: its middle would lie in the middle of the gap by itself.
        place = (at[begin + begin % (end - begin)] - left + 0.5 * resolution) / (gap + resolution)
        place = np.minimum(np.maximum(place, _EDGE), 1.0 - _EDGE)
        spread = np.log(place * (1.0 - place))
        # Neighbouring runs share a gap: odd and even ones are two independent looks, and the mean of both is taken.
        odd = usable & 1
        looks = []
        units = 0.0
        for side in (0, 1):
            chosen = (odd == side).nonzero()[0]
            if len(chosen) < _FEWEST // 2:
                continue
            whose = owner[chosen]
            times = np.bincount(whose, minlength=sample.accounts)
            weight = np.minimum(1.0, _MOST_EACH / times[whose])
            total = float(weight.sum())
            lean = float(np.dot(weight, spread[chosen]))
            units += total
            looks.append(
                log_mean([c * total + (k - 1.0) * lean for k, c in zip(_SHAPES, self._constants, strict=True)])
            )
        if not looks:
            return NOTHING
        nats = log_mean(looks)
        kind = "paced" if float(spread.mean()) > -2.0 else "in bursts"
        return Weighed(nats, f"{kind}, {units:.0f} gaps" if nats > 0 else "")


def _off_the_wall_clock(at: NDArray[np.float64], account: NDArray[np.int32], accounts: int) -> NDArray[np.int64] | None:
    """The places of the exchanges that no wall clock explains; None: all."""
    keep = None
    # The share of the quarter of an hour that counts as just after its start, plus what chance adds.
    after = np.mod(at + 5.0, _ROUND_S) < _JUST_AFTER_S + 5.0
    hits = int(np.count_nonzero(after))
    share = (_JUST_AFTER_S + 5.0) / _ROUND_S
    n = len(at)
    if hits > share * n + 3.0 * (share * n) ** 0.5 + 1.0:
        keep = ~after
    order = np.argsort(account, kind="stable")
    who = account[order]
    there = at[order]
    own = there[1:] - there[:-1]
    same = (who[1:] == who[:-1]) & (own > _STEP_S / 2)
    gaps = own[same]
    if len(gaps) >= 3:
        off = np.mod(gaps + _NEAR_STEP_S, _STEP_S) < 2 * _NEAR_STEP_S
        whose = who[1:][same]
        total = np.bincount(whose, minlength=accounts)
        near = np.bincount(whose[off], minlength=accounts)
        by_clock = (total >= 3) & (near > 0.6 * total)
        if by_clock.any():
            mask = ~by_clock[account]
            keep = mask if keep is None else keep & mask
    return None if keep is None else np.flatnonzero(keep)


PLUGIN = SharedClock
