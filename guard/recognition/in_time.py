"""Which accounts of a queue keep its clock.

The group signal (``signals/shared_clock.py``) says whether a group runs by one clock, by where each exchange lies between the
neighbouring ones of other accounts: of independent owners' anywhere, of what one scheduler paces in the middle, of its bursts at the ends.
Here the same is asked of each account alone, under the shape that suits the whole group best.

Timers of many owners keep their places to each other for ever, some of them in the middle, and whoever knows when somebody's timer comes
can send his own around it. So for ``timing`` and ``beside`` nothing counts that comes by a clock of its account's own: after as long as the
last time, or after so many times five minutes.

Cost: O(exchanges · log exchanges) in numpy, about a millisecond for four thousand.
"""

from __future__ import annotations

from math import lgamma
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from guard.likelihoods import log_mean

_PACED = (4.0, 2.0)
_SHAPES = (4.0, 2.0, 0.5, 0.3)
_LONGEST_S = 7_200.0
_SHORTEST_S = 0.004
_STEP_S = 300.0
_NEAR_STEP_S = 15.0
_AS_LONG = 0.02
_EDGE = 0.02
"""No place counts as nearer to an end: a few freak coincidences must not carry the whole."""


def in_time(at: NDArray[np.float64], numbers: NDArray[np.int64]) -> dict[int, float]:
    """By account's number: nats for "keeps the clock" against "comes at any time". Who never came between two others is left out.
    ``at``: the exchanges' moments in order; ``numbers``: whose they are."""
    known, whose = np.unique(numbers, return_inverse=True)
    before, around = at[1:-1] - at[:-2], at[2:] - at[:-2]
    apart = (whose[1:-1] != whose[:-2]) & (whose[1:-1] != whose[2:])
    usable = np.flatnonzero(apart & (around >= _SHORTEST_S) & (around <= _LONGEST_S))
    spread = _spread(before[usable], around[usable])
    total = float(spread.sum())
    shape = max(_SHAPES, key=lambda k: _constant(k) * len(usable) + (k - 1.0) * total)
    return _each(known, whose[1:-1][usable], spread, shape)


class Timing(NamedTuple):
    """How evenly exchanges of several accounts come: nats for one pace, over so many gaps; the shape that suits them best; and what it
    says of each account."""

    nats: float
    gaps: int
    shape: float
    each: dict[int, float]


def timing(at: NDArray[np.float64], numbers: NDArray[np.int64]) -> Timing:
    """Whether they go by one pace. ``nats`` is a mean over shapes that are fixed beforehand: e to it has a mean of 1 for owners."""
    known, whose = np.unique(numbers, return_inverse=True)
    before, around = at[1:-1] - at[:-2], at[2:] - at[:-2]
    left, own, right = whose[:-2], whose[1:-1], whose[2:]
    free = (own != left) & (own != right) & ~_by_its_own_clock(at, whose)[1:-1]
    usable = np.flatnonzero(free & (around >= _SHORTEST_S) & (around <= _LONGEST_S))
    spread = _spread(before[usable], around[usable])
    total = float(spread.sum())
    nats = [_constant(shape) * len(usable) + (shape - 1.0) * total for shape in _PACED]
    shape = _PACED[nats.index(max(nats))]
    return Timing(log_mean(nats), len(usable), shape, _each(known, own[usable], spread, shape))


def beside(
    at: NDArray[np.float64], numbers: NDArray[np.int64], times: NDArray[np.float64], shape: float
) -> dict[int, float]:
    """What the pace of some accounts (``times``: when they came, in order) says of others, each alone: by number, nats for "it keeps the
    pace" under that shape. ``at``: these others' moments in order; ``numbers``: whose they are."""
    if len(times) < 2 or not len(at):
        return {}
    after = np.searchsorted(times, at, side="right")
    # One of what an account did between the same two exchanges.
    known, own = np.unique(numbers, return_inverse=True)
    inside = np.flatnonzero((after > 0) & (after < len(times)) & ~_by_its_own_clock(at, own))
    inside = inside[np.unique(own[inside] * np.int64(len(times)) + after[inside], return_index=True)[1]]
    left, right = times[after[inside] - 1], times[after[inside]]
    usable = (right - left >= _SHORTEST_S) & (right - left <= _LONGEST_S)
    spread = _spread((at[inside] - left)[usable], (right - left)[usable])
    return _each(known, own[inside][usable], spread, shape)


def _by_its_own_clock(at: NDArray[np.float64], whose: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which exchanges come as long after their account's last one as that after the one before, or so many times five minutes."""
    order = np.argsort(whose, kind="stable")
    who, there = whose[order], at[order]
    gap = np.where(who[1:] == who[:-1], there[1:] - there[:-1], np.nan)
    known = np.zeros(len(at), np.bool_)
    off = np.mod(gap + _NEAR_STEP_S, _STEP_S)
    known[1:] = (gap >= _STEP_S / 2) & (off < 2 * _NEAR_STEP_S)
    known[2:] |= np.abs(gap[1:] - gap[:-1]) < np.maximum(_NEAR_STEP_S, _AS_LONG * gap[1:])
    found = np.zeros(len(at), np.bool_)
    found[order] = known
    return found


def _constant(shape: float) -> float:
    return lgamma(2 * shape) - 2 * lgamma(shape)


def _spread(before: NDArray[np.float64], around: NDArray[np.float64]) -> NDArray[np.float64]:
    place = np.clip(before / around, _EDGE, 1.0 - _EDGE)
    spread: NDArray[np.float64] = np.log(place * (1.0 - place))
    return spread


def _each(
    known: NDArray[np.int64], own: NDArray[np.int64], spread: NDArray[np.float64], shape: float
) -> dict[int, float]:
    """By number: what that shape says of each account that ``own`` (places in ``known``) names."""
    said = np.bincount(own, _constant(shape) + (shape - 1.0) * spread, minlength=len(known))
    there = np.unique(own)
    return dict(zip(known[there].tolist(), said[there].tolist(), strict=True))
