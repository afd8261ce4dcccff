from __future__ import annotations

from dataclasses import replace

import pytest

from guard.samples import Moves
from guard.signals.relayed import PLUGIN
from tests.signals.groups_made_up import paced, queue, rng_of, sample_of

SIGNAL = PLUGIN()
SAMPLE = sample_of(queue(rng_of(1), paced(rng_of(1), 100, 1), 20, deal="round_robin"))


def nats(hops: int, stays: int, *, quick: float = 0.9, talks: int = 0, soon: float = 0.9) -> float:
    moves = Moves(hops, round(hops * quick), talks or hops, hops, stays, round(stays * soon))
    return SIGNAL.weigh(replace(SAMPLE, moves=moves)).nats


def test_a_relay_moves_turns_and_loses_no_time() -> None:
    """A third of the turns, a tenth, nearly all."""
    assert nats(20, 40) > 8
    assert nats(30, 270) > 8
    assert nats(20, 2) > 8


def test_people_who_paste_are_no_relay() -> None:
    """Few turns move, and those that do come late."""
    assert nats(10, 400, quick=0.1) < -8
    assert nats(3, 100, quick=0.3) < 0
    assert nats(30, 300, quick=0.1) < 0


def test_one_conversation_counts_once() -> None:
    """However often two friends pass it to and fro."""
    assert nats(60, 20, talks=1) < nats(20, 7, talks=20) / 4


@pytest.mark.parametrize("moves", [None, Moves(0, 0, 0, 0, 10, 5)])
def test_without_hops_it_says_nothing(moves: Moves | None) -> None:
    """Groups that a text has found are not looked at."""
    assert SIGNAL.weigh(replace(SAMPLE, moves=moves)).nats == 0.0
