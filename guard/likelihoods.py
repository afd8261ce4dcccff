"""Numbers that several group signals need: mixtures of likelihoods, what begins a conversation, who shares what.

A mixture over fixed alternatives keeps a likelihood ratio close to an e-value: its mean under the honest model stays near 1
however often one looks (Ville's inequality), which a ratio at fitted parameters does not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import exp, lgamma, log

import numpy as np
from numpy.typing import NDArray

from guard.samples import FIRST_TURNS as FIRST_TURNS  # noqa: PLC0414 - what begins a conversation is part of this vocabulary
from guard.samples import Sample

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
    begun = sample.begun
    if len(begun) == len(sample.turns) or len(begun) < max(_FEWEST_BEGINNINGS, len(sample.turns) // 8):
        return None
    return begun


def with_content(gist: NDArray[np.int8]) -> NDArray[np.int64]:
    """The places of the content projections that are known (not all zeros). ``gist``: (n, GIST), rows that lie one after the other."""
    some: NDArray[np.uint64] = np.bitwise_or.reduce(gist.view(np.uint64), 1)
    return some.nonzero()[0]


def holders(values: NDArray[np.uint64]) -> list[int]:
    """How many accounts hold each of the values that are stated (not 0), in no order that means anything."""
    counts = Counter(values.tolist())
    counts.pop(0, 0)
    return list(counts.values())
