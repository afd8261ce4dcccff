"""What others do, second: a test on windows of one account's prompts.

Maximum mean discrepancy between the last prompts of an account and ordinary history, as Liu, Guo and Dong propose for model
extraction (arXiv 2606.05725), its threshold from ordinary windows against ordinary history alone. Here a prompt is a bag of
hashed words of length one under a Gaussian kernel, approximated by random Fourier features (Rahimi and Recht 2007). The
paper's windows hold 1,500 prompts; accounts of 6 to 22 exchanges a day fill one of 20 within the log at all. History is the
traffic of half of the ordinary accounts, told by their labels: the test is treated kindly.
"""

from __future__ import annotations

import zlib

import numpy as np
from detection_ledger import Ledger
from detection_words import BUCKETS, FALSE_POSITIVES, Codes
from numpy.typing import NDArray

WINDOW = 20
FEATURES = 128


class Features:
    """Random Fourier features. Two texts without a common word are at distance √2; a width of 1 is close to the median."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self._waves = rng.standard_normal((BUCKETS, FEATURES)).astype(np.float32)
        self._phases = rng.uniform(0, 2 * np.pi, FEATURES).astype(np.float32)

    def of(self, row: Codes) -> NDArray[np.float32]:
        """``FEATURES`` numbers; the product of two such vectors is close to the kernel of their texts."""
        angle = self._waves[row].sum(0) / np.float32(np.sqrt(max(1, len(row)))) + self._phases
        features: NDArray[np.float32] = np.sqrt(np.float32(2 / FEATURES)) * np.cos(angle)
        return features


def flagged(ledger: Ledger, points: NDArray[np.float32], window: int = WINDOW) -> NDArray[np.bool_]:
    """Which exchanges stand at the end of a full window of their account that is further from history than ordinary ones are.

    ``points``: the features of every exchange, in the log's order.
    """
    half = np.array([zlib.crc32(name.encode()) % 2 == 0 for name in ledger.accounts], np.bool_)
    history = ledger.ordinary & half[ledger.account]
    out = np.zeros(len(points), np.bool_)
    if not history.any():
        return out
    center = points[history].mean(0, dtype=np.float64)
    order = np.argsort(ledger.account, kind="stable")
    sums = np.cumsum(points[order], 0, dtype=np.float64)
    before = np.vstack([np.zeros((1, points.shape[1])), sums[:-1]])
    ends = np.arange(window - 1, len(order))
    whole = ledger.account[order[ends]] == ledger.account[order[ends - window + 1]]
    ends = ends[whole]
    means = (sums[ends] - before[ends - window + 1]) / window
    distance = ((means - center) ** 2).sum(1)
    places = order[ends]
    usual = history[places]
    if usual.any():
        out[places] = distance > _threshold(distance[usual], ledger.account[places[usual]])
    return out


def _threshold(distances: NDArray[np.float64], accounts: NDArray[np.int32]) -> float:
    """The distance that 0.3 % of ordinary windows exceed when each account weighs the same, however much it sends: otherwise
    the few that send most, nightly jobs above all, would set it so high that nothing is ever found."""
    weights = 1 / np.bincount(accounts)[accounts]
    order = np.argsort(distances)
    reached = np.cumsum(weights[order]) >= (1 - FALSE_POSITIVES) * weights.sum()
    return float(distances[order][np.argmax(reached)])
