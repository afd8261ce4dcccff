"""Which accounts of a queue keep its clock.

The group signal (``signals/shared_clock.py``) says whether a group runs by one clock, by where each exchange lies between the
neighbouring ones of other accounts: of independent owners' anywhere, of what one scheduler paces in the middle, of its bursts at the ends.
Here the same is asked of each account alone, under the shape that suits the whole group best.

Cost: O(exchanges) in numpy, about a millisecond for four thousand.
"""

from __future__ import annotations

from math import lgamma

import numpy as np
from numpy.typing import NDArray

_SHAPES = (4.0, 2.0, 0.5, 0.3)
_LONGEST_S = 7_200.0
_SHORTEST_S = 0.004
_EDGE = 0.02
"""No place counts as nearer to an end: a few freak coincidences must not carry the whole."""


def in_time(at: NDArray[np.float64], numbers: NDArray[np.int64]) -> dict[int, float]:
    """By account's number: nats for "keeps the clock" against "comes at any time". Who never came between two others is left out.
    ``at``: the exchanges' moments in order; ``numbers``: whose they are."""
    known, whose = np.unique(numbers, return_inverse=True)
    before, around = at[1:-1] - at[:-2], at[2:] - at[:-2]
    apart = (whose[1:-1] != whose[:-2]) & (whose[1:-1] != whose[2:])
    usable = np.flatnonzero(apart & (around >= _SHORTEST_S) & (around <= _LONGEST_S))
    place = np.clip(before[usable] / around[usable], _EDGE, 1.0 - _EDGE)
    spread, own = np.log(place * (1.0 - place)), whose[1:-1][usable]
    constants = {shape: lgamma(2 * shape) - 2 * lgamma(shape) for shape in _SHAPES}
    total = float(spread.sum())
    shape = max(_SHAPES, key=lambda k: constants[k] * len(usable) + (k - 1.0) * total)
    said = np.bincount(own, constants[shape] + (shape - 1.0) * spread, minlength=len(known))
    there = np.unique(own)
    return dict(zip(known[there].tolist(), said[there].tolist(), strict=True))
