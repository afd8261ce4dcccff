from __future__ import annotations

import gzip
import json
import zlib
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.degrading import Wanted, Watch
from guard.reductions.openai_chat import PLUGIN
from guard.reductions.openai_responses import PLUGIN as Responses
from guard.rewriting import AnswerRewriter, Irreducible, for_another_body, readable, rewrite_request
from guard.types import Route

ROUTE = Route("/v1/*", "openai_chat")
BOTH = Watch(True, True)
NOTICE = {"reference": "abc"}


def event(**delta: Any) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"


PLAIN = event(content="Hi") + b": a comment\n\n" + event(content="!") + b"data: [DONE]\n\n"
THOUGHTS = event(role="assistant") + event(reasoning_content="hm") + PLAIN


def rewriter(watch: Watch = BOTH, notice: Any = None, **more: Any) -> AnswerRewriter:
    return AnswerRewriter(PLUGIN(), watch, notice, **{"streamed": True, **more})


def passed(source: bytes, *cuts: int, **more: Any) -> bytes:
    """A stream as it comes out, cut into chunks at these places; comments that only keep it alive are left out."""
    rewriting = rewriter(**more)
    edges = [0, *sorted(cut for cut in cuts if cut < len(source)), len(source)]
    out = b"".join(rewriting.feed(source[start:end]) for start, end in pairwise(edges))
    return (out + rewriting.finish()).replace(b":\n", b"")


def test_a_request_that_needs_no_change_is_not_touched() -> None:
    """Not even its blanks."""
    plain = b'{ "model":"m", "messages": [], "max_tokens": 1e1 }'
    assert rewrite_request(plain, PLUGIN(), Wanted(logprobs=True), ROUTE)[0] is plain
    changed, watch = rewrite_request(
        b'{"model":"m","messages":[],"logprobs":true}', PLUGIN(), Wanted(logprobs=True), ROUTE
    )
    assert changed == b'{"model":"m","messages":[]}'
    assert watch.logprobs


def test_a_request_too_deep_to_be_written_is_irreducible() -> None:
    """A policy may allow depths that can be read and not written (SECURITY 51)."""
    deep = b'{"model":"m","messages":[],"logprobs":true,"x":' + b"[" * 300 + b"]" * 300 + b"}"
    with pytest.raises(Irreducible):
        rewrite_request(deep, PLUGIN(), Wanted(logprobs=True), ROUTE)


def test_headers_fit_the_other_body() -> None:
    """One true length; nothing of the old body's coding, and no seal on it."""
    headers = [
        (b"Content-Length", b"9"),
        (b"content-encoding", b"gzip"),
        (b"transfer-encoding", b"chunked"),
        (b"a", b"b"),
    ]
    headers += [(b"Content-Digest", b"sha-256=:x:"), (b"accept-encoding", b"br")]
    changed = for_another_body(headers, 4)
    assert changed == ((b"a", b"b"), (b"accept-encoding", b"br"), (b"content-length", b"4"))
    assert readable(changed)[-1] == (b"accept-encoding", b"identity")
    assert [name for name, _ in readable(changed)].count(b"accept-encoding") == 1


@given(st.lists(st.integers(0, len(THOUGHTS)), max_size=8))
def test_a_stream_comes_to_the_same_however_it_is_cut(cuts: list[int]) -> None:
    """Reasoning is gone; every event that had none is there byte for byte."""
    assert passed(THOUGHTS, *cuts) == event(role="assistant") + PLAIN


@pytest.mark.parametrize("end", [b"\r\n", b"\r"])
def test_any_line_end_is_understood(end: bytes) -> None:
    for cut in range(0, len(THOUGHTS), 7):
        assert passed(b"\xef\xbb\xbf" + THOUGHTS.replace(b"\n", end), cut) == event(role="assistant") + PLAIN


def test_what_is_left_out_keeps_the_connection_alive() -> None:
    """A chunk of which nothing is left becomes a comment line, which no parser takes for an event."""
    rewriting = rewriter()
    assert rewriting.feed(event(reasoning_content="hm")) == b":\n"
    assert rewriting.feed(event(content="x")[:9]) == b""


def test_a_last_event_without_its_blank_line_is_reduced_too() -> None:
    last = event(reasoning_content="hm", content="x").rstrip(b"\n")
    assert b"hm" not in passed(last)
    assert b'"x"' in passed(last)


def test_a_stream_without_anything_to_do_passes_chunk_for_chunk() -> None:
    """Once told, nothing is held back, not even half an event."""
    rewriting = rewriter(Watch(), NOTICE)
    first = rewriting.feed(event(content="x"))
    assert orjson.loads(first[6:])["guard"] == NOTICE
    assert rewriting.feed(event(content="y")[:10]) == event(content="y")[:10]


def test_an_api_without_words_is_told_in_a_comment() -> None:
    """Before the first event, on a line by itself."""
    rewriting = AnswerRewriter(None, Watch(), NOTICE, streamed=True)
    assert rewriting.feed(b'data: {"a":1}\n\n') == b': guard {"reference":"abc"}\ndata: {"a":1}\n\n'


def test_a_whole_answer() -> None:
    """It is held until its end; what can't be read is not let through, unless there was only something to tell."""
    rewriting = rewriter(notice=NOTICE, streamed=False)
    body = json.dumps({"choices": [{"message": {"content": "x", "reasoning": "hm"}, "logprobs": {}}]}).encode()
    assert rewriting.feed(body[:9]) + rewriting.feed(body[9:]) == b""
    assert orjson.loads(rewriting.finish()) == {
        "choices": [{"message": {"content": "x"}, "logprobs": None}],
        "guard": NOTICE,
    }
    for odd in (b"", b"[1]", b"{"):
        rewriting = rewriter(streamed=False)
        rewriting.feed(odd)
        with pytest.raises(Irreducible):
            rewriting.finish()
        telling = rewriter(Watch(), NOTICE, streamed=False)
        telling.feed(odd)
        assert telling.finish() == odd


@pytest.mark.parametrize(
    ("encoding", "pack"), [(b"gzip", gzip.compress), (b"deflate", zlib.compress), (b"x-gzip", gzip.compress)]
)
def test_compressed_answers_are_read(encoding: bytes, pack: Any) -> None:
    """Chunk by chunk."""
    assert passed(pack(THOUGHTS), 5, 11, 20, encoding=encoding) == event(role="assistant") + PLAIN


def test_what_cannot_be_read_is_irreducible() -> None:
    """Codings that guard can't undo, broken ones, cut ones, bombs, and events that are no JSON but that some client may read."""
    for encoding in (b"br", b"zstd", b"gzip,br"):
        with pytest.raises(Irreducible):
            rewriter(encoding=encoding)
    with pytest.raises(Irreducible):
        rewriter(encoding=b"gzip").feed(b"no gzip at all")
    cut = rewriter(encoding=b"gzip")
    cut.feed(gzip.compress(THOUGHTS)[:-9])
    with pytest.raises(Irreducible):
        cut.finish()
    with pytest.raises(Irreducible):
        rewriter(encoding=b"gzip", max_bytes=10_000).feed(gzip.compress(b"data: " + b"x" * 100_000))
    with pytest.raises(Irreducible):
        rewriter(max_bytes=1_000).feed(b"data: " + b"x" * 2_000)
    whole = rewriter(streamed=False, max_bytes=1_000)
    with pytest.raises(Irreducible):
        whole.feed(b"x" * 1_001)
    with pytest.raises(Irreducible):
        rewriter().feed(b'data: {"choices":[{"logprobs":{"content":[{"logprob":NaN}]}}]}\n\n')
    with pytest.raises(Irreducible):
        rewriter().feed(b'data: [{"choices":[{"logprobs":{"content":[]}}]}]\n\n')


def test_a_request_without_a_body_stays_without() -> None:
    """It asks for an answer that is kept; only that can be reduced."""
    route = Route("/v1/*", "openai_responses", (("path", "/v1/responses/{id}"), ("method", "GET")))
    wanted = Wanted(64, logprobs=True, reasoning=True, model="small", concise=True)
    assert rewrite_request(b"", Responses(), wanted, route) == (b"", BOTH)
