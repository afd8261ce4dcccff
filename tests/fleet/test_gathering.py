"""What a replica notes of its exchanges: everything that recognition looks at, bounded; what says least goes first."""

from __future__ import annotations

from guard.config import load
from guard.fleet import rows
from guard.fleet.gathering import MOST_NOTED, Backlog, Gatherer, everything
from guard.fleet.rows import LOOK, Row
from guard.pipeline import Guard
from guard.types import Account, Exchange, Facet, Features, Peer, Usage
from tests.fleet.conftest import KEY


def exchange(number: int, *traits: int, status: str = "accepted") -> Exchange:
    """One of an account's, that shows those traits."""
    facets = tuple([Facet("shingle", trait) for trait in traits])
    features = Features(2, "json", "m", False, facets, (), 10, None, slot=number + 1)
    return Exchange(Account(f"{number:032x}", status=status), Peer(), "/", features)  # type: ignore[arg-type]


def row(number: int, *traits: int) -> bytes:
    return rows.packed(Row(LOOK, float(number), exchange(number, *traits)), 0, 0)


def numbers(found: list[bytes]) -> list[int]:
    return [int(rows.account(one).hex(), 16) for one in found]


def test_without_room_what_says_least_goes_first() -> None:
    """First what shows nothing, then what shows only what all show, then the oldest; all of it counted."""
    backlog = Backlog(100)
    for number in range(80):
        backlog.add(float(number), row(number, 7))
    for number in range(80, 90):
        backlog.add(float(number), row(number, 7, number << 20 | number))
    for number in range(90, 100):
        backlog.add(float(number), row(number))
    for number in range(100, 130):
        backlog.add(float(number), row(number, 7, number << 20 | number))
    kept = numbers(backlog.take(1_000))
    assert backlog.lost == 30
    assert set(range(80, 90)) | set(range(100, 130)) <= set(kept)
    assert not set(range(90, 100)) & set(kept)
    assert kept == sorted(kept)
    assert not set(range(64, 80)) & set(kept), "by then all showed it"
    assert set(range(80)) & set(kept) == set(range(4, 64)), "and of what was rare when it came the oldest"


def test_rows_come_out_in_order_of_time() -> None:
    """Whatever they say, and only as many as are asked for."""
    backlog = Backlog()
    for number in range(10):
        backlog.add(float(number), row(number, number) if number % 2 else row(number))
    assert numbers(backlog.take(4)) == [0, 1, 2, 3]
    assert numbers(backlog.take(100)) == [4, 5, 6, 7, 8, 9]
    assert len(backlog) == 0


def test_everything_that_recognition_looks_at_is_noted() -> None:
    """An exchange, that ceilings let it pass, that it failed, what a cluster's came to; nothing of provisional accounts."""
    guard = Guard(load("standard"), key=KEY)
    gatherer = Gatherer(guard.recognition, KEY, b"replica!")
    one = exchange(1, 5)
    guard.recognition.look(one, 1.0)
    guard.recognition.over(one, 1.0, enforced=True)
    guard.recognition.failed(one, 2.0)
    guard.recognition.look(exchange(2, 5, status="provisional"), 3.0)
    guard.recognition.clusters.book("c1-beef00", Usage(200, 10, 20, reported=True, complete=True))
    (batch,) = everything(gatherer, 4.0)
    read = rows.read(batch)
    assert [(found.kind, found.booked, found.at) for found in read.rows] == [
        (LOOK, True, 1.0),
        (rows.FAILED, False, 2.0),
    ]
    assert read.came_to == [rows.CameTo("c1-beef00", 1, 10, 20)]
    assert gatherer.waiting == 0


def test_ceilings_that_let_pass_what_was_told_before_are_told_later() -> None:
    """A request may wait for the store between the two."""
    guard = Guard(load("standard"), key=KEY)
    gatherer = Gatherer(guard.recognition, KEY, b"replica!")
    one = exchange(1, 5)
    guard.recognition.look(one, 1.0)
    everything(gatherer, 1.1)
    guard.recognition.over(one, 1.2, enforced=True)
    (batch,) = everything(gatherer, 1.3)
    assert [(found.kind, found.booked) for found in rows.read(batch).rows] == [(rows.BOOKED, True)]


def test_what_nobody_packs_is_bounded_and_counted() -> None:
    """Memory does not grow with a task that has died."""
    guard = Guard(load("standard"), key=KEY)
    gatherer = Gatherer(guard.recognition, KEY, b"replica!")
    one = exchange(1, 5)
    for at in range(MOST_NOTED + 10):
        guard.recognition.look(one, float(at))
    assert gatherer.waiting == MOST_NOTED
    assert gatherer.lost == 10


def test_an_account_that_is_erased_is_told_of_no_more() -> None:
    """Neither what is noted nor what waits to be sent."""
    guard = Guard(load("standard"), key=KEY)
    gatherer = Gatherer(guard.recognition, KEY, b"replica!")
    guard.recognition.look(exchange(1, 5), 1.0)
    for _ in gatherer.packing():
        pass
    guard.recognition.look(exchange(1, 5), 2.0)
    guard.recognition.look(exchange(2, 5), 3.0)
    gatherer.forget(f"{1:032x}")
    (batch,) = everything(gatherer, 4.0)
    assert [found.exchange.account.key for found in rows.read(batch).rows] == [f"{2:032x}"]
