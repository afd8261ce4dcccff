"""What one leader leaves to the next."""

from __future__ import annotations

import pytest

from guard.config import load
from guard.errors import StateError
from guard.fleet import rows
from guard.fleet.duty import opened, sealed
from guard.fleet.ensemble import Ensemble
from guard.fleet.leading import Head
from guard.fleet.rows import Row
from guard.pipeline import Guard
from guard.replay import ExchangeLog, Replay
from guard.types import Account, Exchange, Features, Peer
from tests.fleet.conftest import KEY
from tests.populations import hydra, log, people


def test_pieces_come_out_as_they_went_in() -> None:
    """Some hundred kilobytes together, however many there are."""
    pieces = [{"kind": "x", "number": number, "text": "y" * 1_000} for number in range(1_000)]
    packed = [piece for piece in sealed(pieces) if piece]
    assert 2 <= len(packed) <= 8
    assert [one for piece in packed for one in opened(piece)] == pieces


@pytest.mark.parametrize("content", [b"", b"fd", b"fdxxxx", b"gf\x01"])
def test_a_piece_that_is_gone_or_torn_is_said_to_be(content: bytes) -> None:
    """Nothing of what it belonged to is relied on."""
    with pytest.raises(StateError):
        opened(content)


def test_the_next_leader_finds_what_the_one_before_would_have_found() -> None:
    """Half of a campaign was led by one, the other half by the next: same cluster, same members, same numbers."""
    lines = log(people(), hydra())
    guard = Guard(load("standard"), key=KEY)
    ensemble = Ensemble([guard.recognition], KEY)
    replay, reader = Replay(load("standard"), guard=guard, due=ensemble.due), ExchangeLog()
    batches: list[bytes] = []
    second: Head | None = None
    lead = ensemble.head.lead
    ensemble.head.lead = lambda content, received_at=None: (batches.append(content), lead(content))[1]  # type: ignore[method-assign]
    for count, line in enumerate(lines):
        if count == 200:
            second = Head(guard.recognition, 2)
            for _ in second.resume(opened_all(ensemble.head), 1e9):
                pass
            batches.clear()
        replay.decide(reader.read(line))
    ensemble.due(1e12)
    assert second is not None
    for batch in batches:
        second.lead(batch)
    for _ in second.work(1e12):
        pass
    one, other = ensemble.head.recognition, second.recognition
    assert other.clusters.traits == one.clusters.traits
    assert {known.key: (known.number, known.cluster, known.count) for known in other.accounts} == {
        known.key: (known.number, known.cluster, known.count) for known in one.accounts
    }


def opened_all(head: Head) -> list[dict[str, object]]:
    return [one for piece in sealed(head.findings()) if piece for one in opened(piece)]


def test_a_batch_that_arrives_twice_counts_once() -> None:
    """A replica that heard no answer sends it again."""
    guard = Guard(load("standard"), key=KEY)
    ensemble = Ensemble([guard.recognition], KEY)
    batches: list[bytes] = []
    lead = ensemble.head.lead
    ensemble.head.lead = lambda content, received_at=None: (batches.append(content), lead(content))[1]  # type: ignore[method-assign]
    replay, reader = Replay(load("standard"), guard=guard, due=ensemble.due), ExchangeLog()
    for line in log(people())[:20]:
        replay.decide(reader.read(line))
    ensemble.due(1e12)
    led = ensemble.head.led
    for batch in batches:
        lead(batch)
    for _ in ensemble.head.work(1e12):
        pass
    assert ensemble.head.led == led == 20
    assert ensemble.head.twice == len(batches)


@pytest.mark.parametrize(("off_s", "expected"), [(0.5, 1_000.0), (3_600.0, 4_600.0), (-600.0, 400.0)])
def test_a_clock_that_is_far_off_is_corrected(off_s: float, expected: float) -> None:
    """By when the store got the batch; one that is nearly right is left as it is."""
    exchange = Exchange(Account("ab" * 16), Peer(), "/", Features(2, "json", "m", False, (), (), 10, None, slot=1))
    row = rows.packed(Row(rows.LOOK, 1_000.0, exchange), 0, 0)
    head = Head(Guard(load("standard"), key=KEY).recognition, 1)
    head.lead(rows.batch(b"replica!", 1, 1_000.2, [row]), 1_000.3 + off_s)
    for _ in head.work(1e5):
        pass
    (known,) = head.recognition.accounts
    assert known.last_at == pytest.approx(expected, abs=0.2)


def test_who_is_linked_by_how_conversations_moved_is_told_too() -> None:
    """No exchange of its own and no family says so: what recognition changes by itself comes to all with the next frame."""
    guard = Guard(load("standard"), key=KEY)
    ensemble = Ensemble([guard.recognition], KEY)
    replay, reader = Replay(load("standard"), guard=guard, due=ensemble.due), ExchangeLog()
    for line in log(people())[:20]:
        replay.decide(reader.read(line))
    ensemble.due(1e12)
    head = ensemble.head
    known = next(iter(head.recognition.accounts))
    cluster = head.recognition.clusters.whose([known], 1, 1e12)
    known.cluster = cluster.number
    assert head.has_news
    head.publish(1e12)
    known.cluster = 0
    assert not head.has_news
    for _ in head.work(1e12):
        pass
    assert head.has_news
