from __future__ import annotations

from math import log

import numpy as np
import pytest

from guard.likelihoods import beginnings, holders, log_mean
from tests.signals.groups_made_up import made, poisson, rng_of, sample_of


def test_log_mean_is_of_likelihoods() -> None:
    """Also where they are too small, or too large, to be written out."""
    assert log_mean([log(1.0), log(3.0)]) == pytest.approx(log(2.0))
    assert log_mean([-2000.0, -2000.0]) == pytest.approx(-2000.0)
    assert log_mean([2000.0, -2000.0]) == pytest.approx(2000.0 - log(2.0))


def test_only_what_begins_a_conversation_counts_unless_hardly_anything_does() -> None:
    """A made-up conversation before each request doesn't hide a group."""
    rng = rng_of(1)
    at, who = poisson(rng, 100, 1), np.arange(100) % 10
    some = np.where(np.arange(100) < 60, 1, 5)
    few = np.where(np.arange(100) < 10, 1, 5)
    assert beginnings(sample_of(made(rng, at, who))) is None
    begun = beginnings(sample_of(made(rng, at, who, turns=some)))
    assert begun is not None
    assert begun.tolist() == list(range(60))
    assert beginnings(sample_of(made(rng, at, who, turns=few))) is None


def test_holders_counts_what_is_stated() -> None:
    """0 stands for nothing stated."""
    assert sorted(holders(np.array([5, 0, 7, 5, 0, 5], np.uint64))) == [1, 3]
    assert holders(np.zeros(3, np.uint64)) == []
