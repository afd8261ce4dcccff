"""Numbers that several group signals need: mixtures of likelihoods, what begins a conversation, who shares what.

A mixture over fixed alternatives keeps a likelihood ratio close to an e-value: its mean under the honest model stays near 1
however often one looks (Ville's inequality), which a ratio at fitted parameters does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, lgamma, log

import numpy as np
from numpy.typing import NDArray

from guard.samples import Sample

FIRST_TURNS = 2
"""Exchanges with at most so many messages begin a conversation; later ones follow from what an account began."""
_FEWEST_BEGINNINGS = 16


def log_mean(nats: Sequence[float]) -> float:
    """The log of the mean of the likelihoods whose logs these are."""
    top = max(nats)
    return top + log(sum([exp(one - top) for one in nats]) / len(nats))


def beta_binomial(k: int, n: int, a: float, b: float) -> float:
    """The log-likelihood of k of n, but for the binomial coefficient, where shares are spread as Beta(a, b)."""
    return lgamma(k + a) + lgamma(n - k + b) - lgamma(n + a + b) - lgamma(a) - lgamma(b) + lgamma(a + b)


def beginnings(sample: Sample) -> NDArray[np.int64] | None:
    """The places of the exchanges that begin a conversation; None: count all of them.

    All count where few begin one: else whoever puts a made-up conversation before each request would not be looked at.
    """
    early = sample.turns <= FIRST_TURNS
    count = int(np.count_nonzero(early))
    if count == len(early) or count < max(_FEWEST_BEGINNINGS, len(early) // 8):
        return None
    return np.flatnonzero(early)


def holders(values: NDArray[np.uint64]) -> NDArray[np.int64]:
    """How many accounts hold each of the values that are stated (not 0), in no order that means anything."""
    stated = np.sort(values[values != 0])
    if len(stated) == 0:
        return np.zeros(0, np.int64)
    edges = np.flatnonzero(np.concatenate((stated[1:] != stated[:-1], np.ones(1, np.bool_))))
    return np.diff(edges, prepend=-1)
