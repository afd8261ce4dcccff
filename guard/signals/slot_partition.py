"""Whether different accounts ask the same questions.

What it sees: a class has the same homework, a benchmark is run by many, a public prompt is tried by all: accounts repeat each
other, and each such question is asked by a good part of them. A queue is partitioned, for whoever pays for an answer doesn't
pay twice. So repeats across accounts exonerate, in full at two fifths of all exchanges. That no question comes again proves
little: other people's don't either.

A queue that wants several samples of each question repeats itself too: many questions, each asked by few of the accounts, and
by about equally many. So a repeat counts by how large a part of the accounts asks that question, one question counts for at
most a tenth of all, and questions asked by more equally many than chance would have it, over accounts of which none has seen more
than a few of them, convict. Follow-ups in long conversations ("thanks", "shorter, please") are repeats that mean nothing and are left out.

Who repeats questions on purpose to look like a class pays two fifths of his accounts' exchanges for it. Repeats by the same
account hours later (monitors, nightly checks) exonerate a little.

Costly to plant on a victim: one can't make others' questions differ. (A flood of equal questions exonerates whom one meant
to frame.)

Cost: about 150 µs for 2,048 exchanges. Source: the birthday problem; index of dispersion (Fisher 1950).
"""

from __future__ import annotations

from math import lgamma, log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guard.likelihoods import beginnings
from guard.samples import NOTHING, Sample, Weighed

_MOST_EXONERATING = 6.0
_FREE = 0.06
"""The share of repeats that any traffic has: retries, chain letters."""
_FULL = 0.40
_ONE_QUESTION = 0.1
_MOST_ASKERS = 16
_CHOSEN = 0.1
_ROUNDS = 60
_LATER_S = 3 * 3600.0
_FEWEST = 16


class SlotPartition:
    name = "slot_partition"
    group = "coordination"
    costly = True

    def weigh(self, sample: Sample) -> Weighed:
        known = sample.slot != 0
        begun = beginnings(sample)
        if begun is not None:
            early = np.zeros(len(known), np.bool_)
            early[begun] = True
            known &= early
        m = int(np.count_nonzero(known))
        if m < _FEWEST or m < len(known) // 4:
            return NOTHING
        if m == len(known):
            slot, account, at = sample.slot, sample.account, sample.at
        else:
            slot, account, at = sample.slot[known], sample.account[known], sample.at[known]
        # In order of question, and in order of time within a question.
        order = np.argsort(slot, kind="stable")
        value, who, when = slot[order], account[order], at[order]
        again = value[1:] == value[:-1]
        if not again.any():
            return NOTHING
        first = np.concatenate(((0,), (~again).nonzero()[0] + 1))
        times = np.concatenate((first[1:], (m,))) - first
        question = np.repeat(np.arange(len(first)), times)
        # Distinct accounts of each question.
        pairs = np.unique(question * np.int64(sample.accounts) + who)
        askers = np.bincount(pairs // sample.accounts, minlength=len(first))
        active = len(np.unique(account))
        others = np.bincount(question, who != who[first][question], minlength=len(first))
        exonerating, across = _shared(others, askers, m, active)
        equal = _equal_shares(askers, active) if across > _FREE else 0.0
        if equal > 0.0:
            return Weighed(equal, f"{len(times)} questions, each asked equally often over the accounts")
        later = again & (who[1:] == who[:-1]) & (when[1:] - when[:-1] > _LATER_S)
        own = int(np.count_nonzero(later)) / m
        nats = -_MOST_EXONERATING * exonerating - 2.0 * _ramp(own, 0.1, 0.5)
        return Weighed(nats, f"{across:.0%} asked by others before" if nats < 0 else "")


def _shared(repeats: NDArray[Any], askers: NDArray[Any], m: int, active: int) -> tuple[float, float]:
    """How far repeats across accounts exonerate, 0 to 1, and their share of all exchanges. Both arrays: by question."""
    across = float(repeats.sum()) / m
    if across <= 0.0 or active < 3:
        return 0.0, across
    counted = np.minimum(repeats, _ONE_QUESTION * m)
    # What a class asks is asked by a good part of it; what a queue samples several times, by a few of its accounts.
    popularity = float(np.dot(counted, askers)) / (max(1.0, float(counted.sum())) * active)
    share = float(counted.sum()) / m
    sure = share - sqrt(share / m)
    # Where nearly all is repeated, it doesn't matter by how many questions: nothing is taken.
    nearly_all = _ramp(across - sqrt(across / m) / 2, 0.5, 0.75)
    return max(_ramp(sure, _FREE, _FULL), nearly_all) * _ramp(popularity, 0.03, 0.12), across


def _equal_shares(askers: NDArray[np.int64], active: int) -> float:
    """Nats for questions that are each asked by equally many accounts, though no account asks many of them; else 0.

    People who choose what to ask by themselves make a mixture of Poisson distributions of the askers of each question, however
    unequally liked the questions are. So the counts are held against the mixture that fits them best (Simar 1976), and only what
    is less spread than any is told. A margin for each question allows for how those were chosen whose questions these are.
    """
    questions = len(askers)
    if questions < 10 or float(askers.mean()) <= 1.5 or float(askers.mean()) > 0.3 * active:
        return 0.0
    counts = np.bincount(np.minimum(askers, _MOST_ASKERS), minlength=_MOST_ASKERS + 1)[1:]
    found = counts[counts > 0] / questions
    spread = float(np.dot(found, np.log(found / _best_mixture(counts)[counts > 0])))
    return max(0.0, questions * (spread - _CHOSEN) - 0.5 * len(found) * log(questions))


def _best_mixture(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The shares of 1, 2, … ``_MOST_ASKERS`` or more under the likeliest mixture of Poissons without zeros (by EM)."""
    shares = counts / counts.sum()
    weight = np.full(len(_POISSONS), 1.0 / len(_POISSONS))
    for _ in range(_ROUNDS):
        weight *= (_POISSONS / np.maximum(weight @ _POISSONS, 1e-12)) @ shares
    return np.maximum(weight @ _POISSONS, 1e-12)


def _poissons() -> NDArray[np.float64]:
    """(means, counts): Poisson distributions without zeros, the last column for all that is more."""
    mean = np.geomspace(0.05, 16.0, 24)[:, None]
    count = np.arange(1, _MOST_ASKERS)
    least = np.exp(count * np.log(mean) - mean - np.array([lgamma(k + 1.0) for k in count])) / -np.expm1(-mean)
    return np.hstack((least, np.maximum(1.0 - least.sum(1, keepdims=True), 1e-12)))


def _ramp(x: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (x - low) / (high - low)))


_POISSONS = _poissons()
PLUGIN = SlotPartition
