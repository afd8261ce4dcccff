"""Exchanges travel as rows: what recognition looks at comes out as it went in, and nothing else can be made of what isn't one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.errors import StateError
from guard.fleet import rows
from guard.fleet.rows import BOOKED, FAILED, GAVE, LOOK, CameTo, Row
from guard.samples import GIST
from guard.talk import NO_TALK, Talk
from guard.types import Account, Exchange, Facet, Features, Peer

WORDS = st.integers(0, 2**64 - 1)
HEX = st.binary(min_size=16, max_size=16).map(bytes.hex)
TIMES = st.floats(0.0, 4e9)

ACCOUNTS = st.builds(
    Account,
    HEX,
    created=st.none() | TIMES,
    verified=st.none() | st.booleans(),
    payment=st.just("") | HEX,
    signup=st.just("") | HEX,
    org=st.just("") | HEX,
)
FEATURES = st.builds(
    lambda facets, reading, tokens, turns, slot, gist, talk, sealed: Features(
        2, "json", "m", False, tuple(facets), (("s", reading),) if reading else (), tokens, None, turns=turns, slot=slot, gist=gist,
        talk=talk, sealed=tuple(sealed),
    ),
    st.lists(st.builds(Facet, st.sampled_from(rows.KINDS), WORDS), max_size=20),
    st.floats(0.0, 1.0),
    st.integers(0, 2**32 - 1),
    st.integers(0, 255),
    WORDS,
    st.just(b"") | st.binary(min_size=GIST, max_size=GIST),
    st.just(NO_TALK) | st.builds(Talk, WORDS, WORDS, WORDS),
    st.lists(WORDS, max_size=4),
)  # fmt: skip
ROWS = st.builds(
    lambda at, account, features, granted, booked: Row(
        LOOK, at, Exchange(account, Peer(), "/", features), granted, booked
    ),
    TIMES,
    ACCOUNTS,
    FEATURES,
    st.booleans(),
    st.booleans(),
)


@given(st.lists(ROWS, max_size=5))
@settings(max_examples=60, deadline=None)
def test_what_recognition_looks_at_comes_out_as_it_went_in(sent: list[Row]) -> None:
    """Account, facts, traits, slot, gist, reading, conversation: all but names, which are hashes already."""
    came_to = [CameTo("c1-beef00", 3, 120, 2**40)]
    content = rows.batch(b"replica!", 7, 12.5, [rows.packed(row, 5, 9) for row in sent], came_to)
    read = rows.read(content)
    assert (read.replica, read.number, read.sent_at, read.came_to) == (b"replica!", 7, 12.5, came_to)
    for was, row in zip(sent, read.rows, strict=True):
        assert (row.kind, row.at, row.granted, row.booked) == (LOOK, was.at, was.granted, was.booked)
        theirs, ours = was.exchange.features, row.exchange.features
        for name in ("facets", "slot", "gist", "turns", "talk", "sealed", "input_tokens"):
            assert getattr(ours, name) == getattr(theirs, name), name
        assert [reading for _, reading in ours.readings] == [reading for _, reading in theirs.readings]
        account, before = row.exchange.account, was.exchange.account
        assert (account.key, account.created, account.verified) == (before.key, before.created, before.verified)
        for name in ("payment", "signup", "org"):
            stated = getattr(before, name)[:16]
            assert getattr(account, name) == ("" if stated == "0" * 16 else stated)
        assert row.exchange.peer.subnet == 9


def one(kind: int = LOOK, **more: object) -> bytes:
    features = Features(2, "json", "m", False, (Facet("system", 1), Facet("stack", 2)), (), 0, None, slot=3, **more)  # type: ignore[arg-type]
    exchange = Exchange(Account("ab" * 16), Peer(), "/", features)
    return rows.packed(Row(kind, 1.0, exchange), 0, 0)


@pytest.mark.parametrize("cut", [0, 1, 5, 20, 60, 100, -1])
def test_a_torn_batch_is_refused_as_a_whole(cut: int) -> None:
    """However much of it is missing."""
    content = rows.batch(b"replica!", 1, 0.0, [one()], [CameTo("c", 1, 1, 1)])
    with pytest.raises(StateError):
        rows.read(content[:cut])


@given(st.binary(max_size=400))
@settings(max_examples=100, deadline=None)
def test_nothing_else_is_read_as_a_batch(content: bytes) -> None:
    """Whatever stands there, it is read or refused; nothing else is raised."""
    for each in (content, b"gr\x01" + content):
        try:
            rows.read(each)
        except StateError:
            continue


def test_a_newer_guards_batch_is_refused_with_its_version() -> None:
    """So that the operator learns why."""
    content = bytearray(rows.batch(b"replica!", 1, 0.0, []))
    content[2] = rows.VERSION + 1
    with pytest.raises(StateError, match="version 2"):
        rows.read(bytes(content))


def test_a_row_tells_whose_it_is_and_what_its_text_shows_without_being_read() -> None:
    """For those that wait: traits of the client are no text."""
    assert rows.account(one()) == bytes.fromhex("ab" * 16)
    assert rows.text_traits(one()) == (1,)
    assert rows.text_traits(one(BOOKED)) == (1,)
    assert rows.text_traits(one(FAILED)) == rows.text_traits(one(GAVE)) == ()


def test_a_row_is_small() -> None:
    """A dozen traits and all facts: at most 300 bytes."""
    account = Account("ab" * 16, created=1.0, verified=True, payment="ab" * 16)
    facets = tuple([Facet("shingle", number) for number in range(12)])
    features = Features(
        2, "json", "m", False, facets, (("s", 0.5),), 9, None, slot=3, gist=bytes(GIST), talk=Talk(1, 2, 3)
    )
    assert len(rows.packed(Row(LOOK, 1.0, Exchange(account, Peer(), "/", features)), 0, 0)) <= 300
