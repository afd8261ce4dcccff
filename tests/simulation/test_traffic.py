"""A simulated population as a whole: in order, repeatable, readable, in the shapes it claims."""

from __future__ import annotations

import tracemalloc
from collections import Counter, defaultdict
from itertools import islice
from typing import Any

import pytest

from guard.config import load
from guard.replay import ExchangeLog, Replay
from guard.simulation.campaigns import BEGINS_DAY, SHAPES
from guard.simulation.owners import DAY_S
from guard.simulation.traffic import START, Chosen, Population

SMALL = Population(2.0, 60, 1, (Chosen(SHAPES["hydra"], 8),))


def alone(shape: str, accounts: int, days: float = 3.0) -> list[dict[str, Any]]:
    """What one campaign sends."""
    population = Population(days, 10, 1, (Chosen(SHAPES[shape], accounts),))
    return [record for record in population.exchanges() if record["label"]["campaign"] is not None]


def test_every_line_can_be_replayed() -> None:
    """In order of time, on protected paths, with bodies that guard reads, and with labels on both sides."""
    reader, replay = ExchangeLog(), Replay(load("standard"))
    count: Counter[bool] = Counter()
    for line, record in zip(SMALL.lines(), SMALL.exchanges(), strict=True):
        exchange = replay.exchange(reader.read(line))
        assert exchange is not None
        assert exchange.fault is None
        assert record["label"]["extraction"] == (record["label"]["campaign"] is not None)
        count[record["label"]["extraction"]] += 1
    assert count[False] > 200 < count[True]


def test_the_same_seed_gives_the_same_log() -> None:
    """Byte for byte; another seed gives another."""
    assert list(SMALL.lines()) == list(SMALL.lines())
    assert list(SMALL.lines()) != list(SMALL._replace(seed=2).lines())


def test_a_campaign_changes_nothing_of_what_is_beside_it() -> None:
    """So that two populations which differ in their campaign can be compared."""
    ordinary = [record for record in SMALL.exchanges() if record["label"]["campaign"] is None]
    assert ordinary == list(SMALL.ordinary())


def test_a_year_takes_no_more_memory_than_a_day() -> None:
    """It is drawn while it is read: after thousands of exchanges nothing more is held than before."""
    exchanges = Population(400.0, 60, 1, (Chosen(SHAPES["slow"], 20),)).exchanges()
    held = []
    tracemalloc.start()
    try:
        for _ in range(3):
            assert sum(1 for _ in islice(exchanges, 2_000)) == 2_000
            held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert held[2] < held[0] + 300_000


@pytest.mark.parametrize("shape", ["hydra", "slow", "relay", "burst"])
def test_each_account_of_a_campaign_asks_as_much_as_its_shape_says(shape: str) -> None:
    """Within a tenth, beginning a day after the traffic."""
    records, expected = alone(shape, 20), SHAPES[shape]
    days = expected.lasts_days or 2.0
    assert len(records) == pytest.approx(20 * expected.per_day * days, rel=0.12)
    assert records[0]["at"] >= START + BEGINS_DAY * DAY_S


def test_camouflage_covers_itself_and_replaces_its_accounts() -> None:
    """Half of it are ordinary questions; after two days nobody is left of the first accounts; addresses don't stay."""
    records = alone("camouflaged", 10, days=4.0)
    cover = sum(not record["label"]["extraction"] for record in records)
    assert 0.4 < cover / len(records) < 0.6
    turn = START + (BEGINS_DAY + 2.0) * DAY_S
    first = {record["account"]["id"] for record in records if record["at"] < turn}
    later = {record["account"]["id"] for record in records if record["at"] >= turn}
    assert len(first) == len(later) == 10
    assert not first & later
    assert len({record["peer"]["ip"] for record in records}) > 0.9 * len(records)


def test_a_relayed_conversation_goes_on_under_another_account() -> None:
    """What continues an answer carries it, and often it was somebody else's."""
    said: dict[str, str] = {}
    hops = stays = 0
    for record in alone("relay", 12):
        messages, account = record["request"]["body"]["messages"], record["account"]["id"]
        if len(messages) > 1:
            opening = messages[0]["content"]
            assert messages[-2]["role"] == "assistant"
            hops += said[opening] != account
            stays += said[opening] == account
        said[messages[0]["content"]] = account
    assert hops > 30 < stays


def test_a_class_repeats_itself_and_a_queue_does_not() -> None:
    """What tells them apart: the same exercises come from many, no task comes twice."""
    asked: defaultdict[str, list[str]] = defaultdict(list)
    for record in Population(2.0, 600, 1, (Chosen(SHAPES["hydra"], 30),)).exchanges():
        asked[record["label"]["segment"]].append(record["request"]["body"]["messages"][-1]["content"])
    assert len(set(asked["course"])) < 0.5 * len(asked["course"])
    assert len(set(asked["hydra"])) == len(asked["hydra"])
