from __future__ import annotations

import pytest

from guard.bench.schedule import EXTRACTOR, ORDINARY, Schedule


@pytest.mark.parametrize("rate", [0.5, 3.0, 20.0, 1000.0])
def test_the_rate_is_constant(rate: float) -> None:
    """Arrivals are equally far apart from the first to the last, and there are as many as the rate says."""
    due = [arrival.at_s for arrival in Schedule(rate, 30.0, 1, 0.3)]
    assert due[0] == 0.0
    assert len(due) == rate * 30.0
    assert due == pytest.approx([n / rate for n in range(len(due))])


def test_endpoints_are_dealt_alternately_and_asked_the_same() -> None:
    """Each turn asks every endpoint once, with one kind of traffic, and turns begin with either endpoint in turn."""
    arrivals = list(Schedule(10.0, 2.0, 2, 0.25))
    turns = [arrivals[n : n + 2] for n in range(0, len(arrivals), 2)]
    assert [{arrival.endpoint for arrival in turn} for turn in turns] == [{0, 1}] * 10
    assert [turn[0].endpoint for turn in turns] == [0, 1] * 5
    assert all(first.kind == second.kind and first.turn == second.turn for first, second in turns)


def test_the_extractor_has_its_share_evenly() -> None:
    """A quarter is every fourth turn, not a quarter of the time."""
    kinds = [arrival.kind for arrival in Schedule(10.0, 2.0, 1, 0.25)]
    assert kinds == [ORDINARY, ORDINARY, ORDINARY, EXTRACTOR] * 5
    assert {arrival.kind for arrival in Schedule(10.0, 1.0, 1, 0.0)} == {ORDINARY}
    assert {arrival.kind for arrival in Schedule(10.0, 1.0, 1, 1.0)} == {EXTRACTOR}


def test_every_endpoint_is_asked_once_at_least() -> None:
    """However short the run."""
    assert len(list(Schedule(0.1, 1.0, 2, 0.3))) == 2
