from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.sse import Frames, Splitter


def split(*chunks: bytes, max_event_bytes: int = 1024) -> list[bytes]:
    splitter = Splitter(max_event_bytes)
    return [payload for chunk in chunks for payload in splitter.feed(chunk)]


@pytest.mark.parametrize(
    ("stream", "payloads"),
    [
        (b"", []),
        (b"data: a\n\n", [b"a"]),
        (b"data:a\n\ndata:  a\n\n", [b"a", b" a"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data\n\n", [b""]),
        (b"data:\ndata\n\n", [b"\n"]),
        (b"data: a\r\rdata: b\r\n\r\ndata: c\n\r\n", [b"a", b"b", b"c"]),
        (b": comment\nevent: x\nid: 1\ndata: a\nretry: 2\n\n", [b"a"]),
        (b"event: nothing\n\n: nothing\n\n\n\ndata: a\n\n", [b"a"]),
        (b"dataset: a\nDATA: a\n data: a\n\n", []),
        (b"data: unfinished", []),
        (b"data: unfinished\n", []),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
        (b"\xef\xbbdata: a\n\n", []),
        (b"data: a: b\n\n", [b"a: b"]),
    ],
)
def test_events_of_the_standard(stream: bytes, payloads: list[bytes]) -> None:
    """Each rule of the HTML standard's event stream, fed whole and byte by byte."""

    assert split(stream) == payloads
    assert split(*(stream[i : i + 1] for i in range(len(stream)))) == payloads


def test_line_end_split_between_chunks() -> None:
    """A CRLF that two chunks share is one line end, and the event goes out with the CR."""

    splitter = Splitter()

    assert splitter.feed(b"data: a\r\n\r") == [b"a"]
    assert splitter.feed(b"\ndata: b\r") == []
    assert splitter.feed(b"") == []
    assert splitter.feed(b"\n\r\n") == [b"b"]


def test_finish_gives_the_event_that_was_cut_off() -> None:
    """What the stream's end cut off is handed out once, for the count."""

    for cut in (b"data: a\n\ndata: b", b"data: a\n\ndata: b\n", b"data: a\r\rdata: b\r"):
        splitter = Splitter()

        assert splitter.feed(cut) == [b"a"]
        assert splitter.finish() == b"b"
        assert splitter.finish() == b""


@pytest.mark.parametrize("step", [1, 3, 7, 100, 10_000])
def test_an_event_beyond_the_bound_is_skipped_and_sized(step: int) -> None:
    """Of an event beyond the bound only the size is kept, whatever the chunks; its neighbours are whole."""

    large = b"data: " + b"x" * 50 + b"\ndata: " + b"y" * 600 + b"\ndata: z\n\n"
    stream = b"data: a\n\n" + large + b": " + b"c" * 900 + b"\n\ndata: b\n\n"
    splitter = Splitter(256)
    payloads = []
    for start in range(0, len(stream), step):
        payloads += splitter.feed(stream[start : start + step])
        assert len(splitter._rest) + sum(map(len, splitter._values)) <= 2 * 256 + 6

    assert payloads == [b"a", b"b"]
    assert splitter.skipped_bytes == 51 + 601 + 2


def test_the_bound_is_exact() -> None:
    """Data of exactly the bound (a line feed included) pass, one byte more does not."""

    for step in (1, 5, 64):
        for size, fits in ((31, True), (32, False)):
            stream = b"data: " + b"x" * size + b"\n\n"
            splitter = Splitter(32)
            payloads = [p for i in range(0, len(stream), step) for p in splitter.feed(stream[i : i + step])]

            assert (payloads == [b"x" * size]) is fits
            assert splitter.skipped_bytes == (0 if fits else size + 1)


def test_between_events() -> None:
    """True only where no event is open, also while an oversized one passes."""

    splitter = Splitter(8)
    seen = []
    for chunk in (b"", b"data: a", b"\n", b"\n", b": c\n", b"data: " + b"x" * 40, b"\n", b"\n"):
        splitter.feed(chunk)
        seen.append(splitter.between_events())

    assert seen == [True, False, False, True, True, False, False, True]


_LINES = st.sampled_from(
    [
        b"data: a",
        b"data:b",
        b"data",
        b"data: " + b"x" * 30,
        b": c",
        b"event: e",
        b"",
        b"",
        b"d",
        b"\xef\xbb\xbf",
        "data: é🙂".encode(),
    ]
)
_STREAMS = st.lists(st.tuples(_LINES, st.sampled_from([b"\n", b"\r", b"\r\n", b"\n\n"]))).map(
    lambda lines: b"".join(line + end for line, end in lines)
)


@given(_STREAMS | st.binary(), st.lists(st.integers(0, 400), max_size=20))
def test_any_split_gives_the_same_events(stream: bytes, cuts: list[int]) -> None:
    """Where the network cuts a stream changes neither events nor sizes."""

    whole = Splitter(20)
    expected = [*whole.feed(stream), whole.finish()]
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    parts = Splitter(20)
    actual = [p for start, end in pairwise(places) for p in parts.feed(stream[start:end])]

    assert [*actual, parts.finish()] == expected
    assert parts.skipped_bytes == whole.skipped_bytes


STREAM = b"event: a\ndata: 1\n\n: comment\n\ndata: 2\ndata: 3\n\ndata: [DONE]\n\n"


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_frames_are_the_events_with_all_their_bytes(end: bytes) -> None:
    """However the stream is cut; line ends become LF, a byte-order mark is left out, what has no end is kept."""
    source = b"\xef\xbb\xbf" + STREAM.replace(b"\n", end) + b"data: open"
    for size in (1, 2, 3, 7, len(source)):
        frames = Frames()
        found = [frame for at in range(0, len(source), size) for frame in frames.feed(source[at : at + size])]
        assert b"".join(found) == STREAM
        assert len(found) == 4
        assert frames.rest == b"data: open"
