"""Which accounts of a queue keep its clock.

The group signal (``signals/shared_clock.py``) says whether a group runs by one clock, by where each exchange lies between the
neighbouring ones of other accounts: of independent owners' anywhere, of what one scheduler paces in the middle, of its bursts at the ends.
Here the same is asked of each account alone, under the shape that suits the whole group best.

Timers of many owners keep their places to each other for ever, some of them in the middle, and whoever knows when somebody's timer comes
can send his own around it. So for ``timing`` and ``beside`` nothing counts that comes by a clock of its account's own
(``off_own_clocks``).

Cost: O(exchanges · log exchanges) in numpy, about a millisecond for four thousand.
"""

from __future__ import annotations

from collections.abc import Set
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
_NEARLY = 0.15
_TIMERS, _FEWEST_PAUSES = 0.5, 6
_MOST_EACH = 8.0
_TIMED = 8_192
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


class Line(NamedTuple):
    """Exchanges in order of time: (N,) when, and whose."""

    at: NDArray[np.float64]
    numbers: NDArray[np.int64]

    def of(self, chosen: Set[int]) -> Line:
        """The latest ``_TIMED`` of these accounts."""
        places = np.flatnonzero(np.isin(self.numbers, np.fromiter(chosen, np.int64, len(chosen))))[-_TIMED:]
        return Line(self.at[places], self.numbers[places])

    def till(self, until: float) -> Line:
        """Those that came until then."""
        end = int(np.searchsorted(self.at, until, side="right"))
        return Line(self.at[:end], self.numbers[:end])


class Timing(NamedTuple):
    """How evenly exchanges of several accounts come: nats for one pace, over so many gaps; the shape that suits them best; and what it
    says of each account."""

    nats: float
    gaps: int
    shape: float
    each: dict[int, float]


def timing(at: NDArray[np.float64], numbers: NDArray[np.int64], free: NDArray[np.bool_]) -> Timing:
    """Whether they go by one pace. ``free``: which of them count (``off_own_clocks``).

    ``nats`` is a mean over shapes that are fixed beforehand. Neighbouring gaps overlap: odd and even ones are two looks, and the mean of
    both is taken. An account's gaps count for ``_MOST_EACH`` at most: two that alternate for a while keep their phase.
    """
    known, whose = np.unique(numbers, return_inverse=True)
    before, around = at[1:-1] - at[:-2], at[2:] - at[:-2]
    left, own, right = whose[:-2], whose[1:-1], whose[2:]
    counts = (own != left) & (own != right) & free[1:-1]
    usable = np.flatnonzero(counts & (around >= _SHORTEST_S) & (around <= _LONGEST_S))
    spread, own = _spread(before[usable], around[usable]), own[usable]
    total = float(spread.sum())
    best = [_constant(shape) * len(usable) + (shape - 1.0) * total for shape in _PACED]
    shape = _PACED[best.index(max(best))]
    looks = [_looked(spread[usable & 1 == side], own[usable & 1 == side]) for side in (0, 1)]
    return Timing(
        log_mean([nats for look in looks for nats in look]), len(usable), shape, _each(known, own, spread, shape)
    )


def _looked(spread: NDArray[np.float64], own: NDArray[np.int64]) -> list[float]:
    """Nats under each shape, of gaps that don't overlap."""
    weight = np.minimum(1.0, _MOST_EACH / np.bincount(own)[own]) if len(own) else spread
    total, lean = float(weight.sum()), float(np.dot(weight, spread))
    return [_constant(shape) * total + (shape - 1.0) * lean for shape in _PACED]


def beside(
    at: NDArray[np.float64],
    numbers: NDArray[np.int64],
    free: NDArray[np.bool_],
    times: NDArray[np.float64],
    shape: float,
) -> dict[int, float]:
    """What the pace of some accounts (``times``: when they came, in order) says of others, each alone: by number, nats for "it keeps the
    pace" under that shape. ``at``: these others' moments in order; ``numbers``: whose they are; ``free``: which of them count."""
    if len(times) < 2 or not len(at):
        return {}
    after = np.searchsorted(times, at, side="right")
    # One of what an account did between the same two exchanges.
    known, own = np.unique(numbers, return_inverse=True)
    inside = np.flatnonzero((after > 0) & (after < len(times)) & free)
    inside = inside[np.unique(own[inside] * np.int64(len(times)) + after[inside], return_index=True)[1]]
    left, right = times[after[inside] - 1], times[after[inside]]
    usable = (right - left >= _SHORTEST_S) & (right - left <= _LONGEST_S)
    spread = _spread((at[inside] - left)[usable], (right - left)[usable])
    return _each(known, own[inside][usable], spread, shape)


def off_own_clocks(at: NDArray[np.float64], numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which exchanges don't come by a clock of their account's own: as long after its last one as that after the one before, or so many
    times five minutes; none of an account most of whose pauses are nearly as long as its middling one."""
    known, whose = np.unique(numbers, return_inverse=True)
    order = np.argsort(whose, kind="stable")
    who, there = whose[order], at[order]
    gap = there[1:] - there[:-1]
    same = np.flatnonzero(who[1:] == who[:-1])
    pause, owner = gap[same], who[1:][same]
    ranked = np.lexsort((pause, owner))
    starts = np.searchsorted(owner[ranked], np.arange(len(known)))
    counts = np.bincount(owner, minlength=len(known))
    if not len(pause):
        return np.ones(len(at), np.bool_)
    middling = pause[ranked][np.minimum(starts + counts // 2, len(pause) - 1)]
    alike = np.abs(pause - middling[owner]) < _NEARLY * middling[owner]
    timers = np.bincount(owner, alike, minlength=len(known)) > _TIMERS * np.maximum(counts, _FEWEST_PAUSES)
    gaps = np.where(who[1:] == who[:-1], gap, np.nan)
    own = np.zeros(len(at), np.bool_)
    own[1:] = (gaps >= _STEP_S / 2) & (np.mod(gaps + _NEAR_STEP_S, _STEP_S) < 2 * _NEAR_STEP_S)
    own[2:] |= np.abs(gaps[1:] - gaps[:-1]) < np.maximum(_NEAR_STEP_S, _AS_LONG * gaps[1:])
    free = np.ones(len(at), np.bool_)
    free[order] = ~(own | timers[who])
    return free


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
