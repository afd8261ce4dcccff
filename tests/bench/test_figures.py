from __future__ import annotations

from math import inf

import pytest

from guard.bench.figures import Cell, quantile


@pytest.mark.parametrize(
    ("count", "q", "expected"),
    [(100, 0.5, 50), (100, 0.9, 90), (100, 0.99, 99), (100, 1.0, 100), (1, 0.99, 1), (3, 0.5, 2), (10, 0.99, 10)],
)
def test_quantiles_are_nearest_rank(count: int, q: float, expected: float) -> None:
    """Of 1 … n the value at rank ⌈q n⌉: a value that was seen, never one between two."""
    assert quantile([float(n) for n in range(1, count + 1)], q) == expected


def test_what_was_lost_took_for_ever() -> None:
    """98 answers and 2 lost: p90 is an answer, p99 is none."""
    took = [float(n) for n in range(1, 99)]
    assert quantile(took, 0.9, lost=2) == 90.0
    assert quantile(took, 0.99, lost=2) == inf
    assert quantile([], 0.5, lost=1) == inf
    assert quantile([], 0.5) == 0.0


def test_offered_is_what_became_of_it() -> None:
    """Offered = answered + lost + open; refusals are answers, and their times are kept apart from full answers'."""
    cell = Cell()
    cell.offered = 6
    cell.answer(200, 0.3, 0.1, stream=True)
    cell.answer(200, 0.2, 0.2, stream=False)
    cell.answer(429, 0.001, 0.001, stream=False)
    cell.failed["ReadError"] += 1
    cell.dropped += 1
    assert (cell.answered, cell.lost, cell.open) == (3, 2, 1)
    assert list(cell.took_s) == [0.3, 0.2]
    assert list(cell.first_s) == [0.1]
    assert list(cell.refused_s) == [0.001]
