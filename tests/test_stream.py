from __future__ import annotations

import gzip
import json
import random
import tracemalloc
import zlib
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from guard.dialects.anthropic_messages import AnthropicMessages
from guard.dialects.openai_chat import OpenAIChat
from guard.registry import discover
from guard.stream import BATCH_BYTES, AnswerMeter, readable

STREAMS = Path(__file__).parent / "streams"
CASES = sorted(folder.name for folder in STREAMS.iterdir())
SSE = b"text/event-stream; charset=utf-8"


def meter_of(
    chunks: Iterable[bytes], content_type: bytes = SSE, encoding: bytes = b"", dialect: Any = None
) -> AnswerMeter:
    meter = AnswerMeter(dialect or OpenAIChat(), content_type, encoding)
    for chunk in chunks:
        meter.feed(chunk)
    return meter


def random_split(stream: bytes, seed: int) -> list[bytes]:
    cuts = random.Random(seed)
    places = sorted(cuts.randrange(len(stream)) for _ in range(cuts.choice((1, 5, 40))))
    return [stream[start:end] for start, end in zip([0, *places], [*places, len(stream)], strict=True)]


@pytest.mark.parametrize("case", CASES)
def test_recorded_streams(case: str) -> None:
    """Each stream of the folder, whole, byte by byte and cut at random places, gives the tally and usage it expects."""

    stream = (STREAMS / case / "stream.sse").read_bytes()
    expect = json.loads((STREAMS / case / "expect.json").read_text())
    dialect = discover("dialects")[expect["dialect"]]()
    splits = [
        [stream],
        [stream[i : i + 1] for i in range(len(stream))],
        *(random_split(stream, seed) for seed in range(8)),
    ]
    for chunks in splits:
        meter = meter_of(chunks, dialect=dialect)
        usage = meter.usage(200, expect["complete"], expect["input_estimate"])

        assert asdict(meter.finish()) == expect["tally"]
        assert {name: getattr(usage, name) for name in expect["usage"]} == expect["usage"]
        assert usage.status == 200
        assert usage.complete is expect["complete"]
        assert meter.passed_bytes == len(stream)


def test_an_event_of_ten_megabytes_is_sized_in_bounded_memory() -> None:
    """A 10 MB event is charged by its bytes; guard keeps no more of it than the bound and a batch."""

    meter = AnswerMeter(OpenAIChat(), SSE)
    chunk = b"x" * 1_000
    tracemalloc.start()
    meter.feed(b'data: {"choices":[{"delta":{"content":"')
    for _ in range(10_000):
        meter.feed(chunk)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    meter.feed(b'"}}]}\n\ndata: {"choices":[{"delta":{"content":"after"}}]}\n\n')
    usage = meter.usage(200, True, 0)

    assert peak_bytes < 4 * 1024 * 1024
    assert meter.tally.characters == len("after")
    assert usage.output_tokens == pytest.approx(10_000_000 / 4, rel=0.001)
    assert usage.output_tokens >= 10_000_000 / 4


def test_a_chunk_is_only_laid_aside() -> None:
    """Nothing is parsed before a batch is full, and then all of it."""

    event = b'data: {"choices":[{"delta":{"content":"abcd"}}]}\n\n'
    meter = meter_of([event])

    assert meter.tally.characters == 0

    for _ in range(BATCH_BYTES // len(event)):
        meter.feed(event)

    assert meter.tally.characters == 4 * (BATCH_BYTES // len(event) + 1)


ANSWER = {
    "id": "chatcmpl-1",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "four", "refusal": None}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
}


@pytest.mark.parametrize(
    "content_type", [b"application/json", b"Application/JSON ; charset=utf-8", b"application/problem+json"]
)
def test_a_whole_answer(content_type: bytes) -> None:
    """A JSON answer is read at its end, however many chunks it came in."""

    body = json.dumps(ANSWER).encode()
    usage = meter_of((body[i : i + 3] for i in range(0, len(body), 3)), content_type).usage(200, True, 99)

    assert (usage.input_tokens, usage.output_tokens, usage.reported) == (12, 3, True)


def test_a_whole_answer_without_usage_is_counted() -> None:
    """Without a report the text is counted and the request's own estimate stands for the input."""

    answer = {"choices": ANSWER["choices"]}
    usage = meter_of([json.dumps(answer).encode()], b"application/json").usage(200, True, 99)

    assert (usage.input_tokens, usage.output_tokens, usage.reported) == (99, 1, False)


@pytest.mark.parametrize(
    ("content_type", "body", "tokens"),
    [
        (b"application/json", b'{"choices": [{"message": {"content": "cut of', 11),
        (b"application/json", b"[1, 2, 3]", 3),
        (b"application/json", b'{"answer": "in a shape of its own"}', 9),
        (b"text/plain", b"plain text", 3),
        (b"application/x-ndjson", b'{"response":"a"}\n', 5),
        (b"", b"x", 1),
        (b"text/plain", b"", 0),
    ],
)
def test_what_no_dialect_reads_is_charged_by_its_bytes(content_type: bytes, body: bytes, tokens: int) -> None:
    """A quarter of the bytes, and at least one token if anything was sent."""

    assert meter_of([body], content_type).usage(200, True, 0).output_tokens == tokens


def test_an_answer_beyond_the_bound_is_charged_by_its_bytes() -> None:
    """Of a JSON answer larger than the bound nothing is kept."""

    meter = AnswerMeter(OpenAIChat(), b"application/json", max_json_bytes=100_000)
    for _ in range(40):
        meter.feed(b" " * 10_000)

    assert meter._json == []
    assert meter.usage(200, True, 0).output_tokens == 100_000


def test_an_answer_in_one_piece_beyond_the_bound_is_not_read_either() -> None:
    """Though it is smaller than a batch: what it reports is not believed."""
    body = json.dumps(ANSWER | {"padding": "x" * 2_000, "usage": {"completion_tokens": 1}}).encode()
    meter = AnswerMeter(OpenAIChat(), b"application/json", max_json_bytes=1_000)
    meter.feed(body)

    assert meter.usage(200, True, 0).output_tokens == -(-len(body) // 4)


def test_what_was_unpacked_of_an_answer_before_it_broke_counts() -> None:
    """Nearly all of it was sound; then something stands behind its end."""
    packed = gzip.compress(b'{"a":"' + random.Random(1).randbytes(60_000).hex().encode() + b'"}', mtime=0)
    sound, last = packed[:-1_000], packed[-1_000:] + b"more"
    assert len(sound) > BATCH_BYTES
    unpacked = len(zlib.decompressobj(31).decompress(sound))

    assert meter_of([sound, last], b"application/json", b"gzip").usage(200, True, 0).output_tokens >= unpacked // 4


def test_an_error_of_the_app_costs_no_output() -> None:
    """An error's own words are not the model's; text that was generated before it is."""

    error = b'{"error": {"message": "overloaded"}}'

    assert meter_of([error], b"application/json").usage(503, True, 9).output_tokens == 0
    assert meter_of([b"<html>Bad gateway</html>"], b"text/html").usage(502, True, 9).output_tokens == 0
    assert meter_of([json.dumps(ANSWER).encode()], b"application/json").usage(500, True, 9).output_tokens == 3


def test_an_app_that_never_answered() -> None:
    """Status 0 and no bytes: only the input's estimate."""

    usage = meter_of([]).usage(0, False, 9)

    assert (usage.input_tokens, usage.output_tokens, usage.reported) == (9, 0, False)


def test_a_reported_empty_answer_is_believed() -> None:
    """Nothing written and nothing reported as written is 0, not the size of the wrapping."""

    answer = {
        "choices": [{"message": {"role": "assistant", "content": ""}}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 0},
    }
    usage = meter_of([json.dumps(answer).encode()], b"application/json").usage(200, True, 0)

    assert (usage.output_tokens, usage.reported) == (0, True)


@pytest.mark.parametrize("encode", [gzip.compress, zlib.compress])
def test_compressed_answers_are_read(encode: Any) -> None:
    """gzip and deflate, as a whole and as a stream."""

    body, stream = json.dumps(ANSWER).encode(), (STREAMS / "anthropic_text" / "stream.sse").read_bytes()
    packed = encode(body)
    encoding = b"gzip" if encode is gzip.compress else b"deflate"

    assert meter_of([packed[:7], packed[7:]], b"application/json", encoding).usage(200, True, 0).output_tokens == 3
    assert meter_of([encode(stream)], SSE, encoding, AnthropicMessages()).usage(200, True, 0).output_tokens == 11


@pytest.mark.parametrize(
    ("packed", "encoding"),
    [
        (b"not gzip at all", b"gzip"),
        (gzip.compress(b"data: a\n\n", mtime=0) + b"and more", b"gzip"),
        (b"brotli, say", b"br"),
        (gzip.compress(b"x" * (32 * 1024 * 1024), mtime=0), b"gzip"),
    ],
)
def test_what_can_not_be_unpacked_is_charged_by_its_bytes(packed: bytes, encoding: bytes) -> None:
    """Broken, unknown or bomb: each compressed byte stands for four of text, and no more than the bound is unpacked."""

    assert meter_of([packed], SSE, encoding).usage(200, True, 0).output_tokens == len(packed)


def test_between_events() -> None:
    """The middleware can tell where an event of its own would not break into one of the app's."""

    meter = meter_of([b"data: {}\n\nda"])

    assert not meter.between_events()

    meter.feed(b"ta: {}\n\n")

    assert meter.between_events()


def test_an_aborted_stream_is_charged_at_least_what_was_sent() -> None:
    """Wherever a stream is cut, the charge covers the text that has passed (SECURITY 81)."""

    stream = (STREAMS / "openai_reasoning_and_tools" / "stream.sse").read_bytes()
    for cut in range(0, len(stream), 7):
        meter = meter_of([stream[:cut]])
        usage = meter.usage(200, False, 0)

        assert usage.output_tokens * 4 >= meter.tally.text_bytes
        assert usage.output_tokens > 0 or cut == 0


RESPONSE = {"id": "resp_1", "object": "response", "status": "in_progress", "output": [], "usage": None}
CREATED = b"data: " + json.dumps({"type": "response.created", "response": RESPONSE}).encode() + b"\n\n"
DELTA = b"data: " + json.dumps({"type": "response.output_text.delta", "delta": "word "}).encode() + b"\n\n"


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_an_id_is_told_as_soon_as_its_event_is_whole(size: int) -> None:
    """However the stream is cut; after the first one chunks are laid aside again."""
    heard: list[str] = []
    meter = AnswerMeter(discover("dialects")["openai_responses"](), SSE)
    meter.watch(heard.append)
    for start in range(0, len(CREATED), size):
        assert heard == []
        meter.feed(CREATED[start : start + size])
    assert heard == ["resp_1"]
    meter.feed(DELTA)
    assert meter.tally.characters == 0
    assert meter.finish().characters == len("word ")


def test_a_list_of_objects_is_counted_as_a_stream() -> None:
    """One JSON list, as Gemini sends it without ``alt=sse``; a list of anything else counts by its bytes."""
    dialect = discover("dialects")["gemini"]()
    chunks = [{"candidates": [{"content": {"parts": [{"text": text}]}}]} for text in ("four", " five")]
    usage = meter_of([json.dumps(chunks).encode()], b"application/json", dialect=dialect).usage(200, True, 3)
    plain = meter_of([b'["four", "five"]'], b"application/json", dialect=dialect).usage(200, True, 3)

    assert usage.output_tokens == 3
    assert plain.output_tokens == 4


@pytest.mark.parametrize("size", [1, 50, 10_000])
def test_an_id_of_a_whole_answer_is_told_before_the_app_has_declared_its_end(size: int) -> None:
    """A client that knows the length may go on at the last byte; it is counted once all the same."""
    heard: list[str] = []
    answer = json.dumps(RESPONSE | {"usage": {"input_tokens": 3, "output_tokens": 2}}).encode()
    meter = AnswerMeter(discover("dialects")["openai_responses"](), b"application/json")
    meter.watch(heard.append)
    for start in range(0, len(answer), size):
        meter.feed(answer[start : start + size])
    assert heard[:1] == ["resp_1"]
    assert meter.usage(200, True, 9).output_tokens == 2
    assert set(heard) == {"resp_1"}


@pytest.mark.parametrize(
    ("accepted", "asked"),
    [(b"gzip, deflate, br, zstd", b"gzip"), (b"br", b"gzip"), (b"gzip, deflate", b"gzip, deflate"), (b"identity", b"identity")],
)  # fmt: skip
def test_a_compression_that_can_not_be_read_is_not_asked_for(accepted: bytes, asked: bytes) -> None:
    """gzip stands for it; everything else of the headers stays."""
    headers = [(b"Accept-Encoding", accepted), (b"x", b"y")]
    assert sorted((name.lower(), value) for name, value in readable(headers)) == [
        (b"accept-encoding", asked),
        (b"x", b"y"),
    ]


def test_a_stream_that_names_no_id_is_laid_aside_all_the_same() -> None:
    """Only its first event is looked at as it passes."""
    meter = AnswerMeter(discover("dialects")["gemini"](), SSE)
    meter.watch(lambda name: None)
    event = b'data: {"candidates":[{"content":{"parts":[{"text":"word "}]}}]}\n\n'
    for _ in range(3):
        meter.feed(event)
    assert meter.tally.characters == len("word ")
    assert meter.finish().characters == 3 * len("word ")
