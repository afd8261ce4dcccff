from __future__ import annotations

import json
from typing import Any

import pytest

from guard.clock import ManualClock
from guard.contracts import Reply
from guard.degrading import Watch
from guard.dialects.openai_chat import PLUGIN as DIALECT
from guard.reductions.openai_chat import PLUGIN as REDUCER
from guard.reshaping import Hooks, Reshaped, Shape
from guard.rewriting import Irreducible

SSE = [(b"content-type", b"text/event-stream")]
JSON = [(b"content-type", b"application/json"), (b"content-length", b"999"), (b"etag", b"x")]
REASONING = Watch(reasoning=True)


def event(**delta: Any) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"


class Edge:
    """A server's ``send`` on a clock that goes on when somebody waits; ``patience_s`` until the client leaves."""

    def __init__(self, patience_s: float = 1e9, **shape: Any) -> None:
        self.clock = ManualClock(0.0)
        self.patience_s = patience_s
        self.sent: list[tuple[float, Any]] = []
        self.left = self.alive = 0
        self.errors: list[Irreducible] = []
        hooks = Hooks(self.stays, self.still_running, self.leave, self.gave_up)
        self.reshaped = Reshaped(self.send, Shape(DIALECT(), REDUCER(), **shape), self.clock, hooks)

    async def send(self, message: Any) -> None:
        self.sent.append((self.clock.now(), message))

    async def stays(self, seconds: float) -> bool:
        self.clock.advance(seconds)
        return self.clock.now() <= self.patience_s

    def still_running(self) -> None:
        self.alive += 1

    def leave(self) -> None:
        self.left += 1

    def gave_up(self, error: Irreducible) -> tuple[Reply, bytes]:
        self.errors.append(error)
        return Reply(429, ((b"retry-after", b"30"),), b"{}"), b"data: error\n\n"

    async def answer(self, headers: Any, *bodies: bytes, status: int = 200) -> None:
        await self.reshaped({"type": "http.response.start", "status": status, "headers": headers})
        for place, body in enumerate(bodies, 1):
            await self.reshaped({"type": "http.response.body", "body": body, "more_body": place < len(bodies)})

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for _, message in self.sent)

    @property
    def start(self) -> Any:
        return self.sent[0][1]


@pytest.mark.anyio
async def test_a_stream_is_paced() -> None:
    """Forty events of five tokens at 20 a second: ten seconds within a tenth, the first at once, all bytes there."""
    edge = Edge(tokens_per_s=20.0)
    events = [event(content="x" * 20) for _ in range(40)]
    await edge.answer(SSE, *events, b"data: [DONE]\n\n")
    assert edge.body == b"".join(events) + b"data: [DONE]\n\n"
    assert edge.sent[1][0] == 0.0
    assert edge.clock.now() == pytest.approx(10, rel=0.1)
    assert edge.alive
    waits = [later - sooner for (sooner, _), (later, _) in zip(edge.sent, edge.sent[1:], strict=False)]
    assert max(waits) <= 0.25 + 1e-6


@pytest.mark.anyio
@pytest.mark.parametrize("whole", [True, False])
async def test_an_answer_in_one_piece_is_paced_too(whole: bool) -> None:
    """A JSON answer of 200 tokens, and a single event of as many: ten seconds, in slices, byte for byte."""
    edge = Edge(tokens_per_s=20.0)
    answer = {
        "choices": [{"message": {"role": "assistant", "content": "x" * 800}}],
        "usage": {"completion_tokens": 200},
    }
    body = json.dumps(answer).encode() if whole else event(content="x" * 800)
    await edge.answer(JSON if whole else SSE, body)
    assert edge.body == body
    assert edge.clock.now() == pytest.approx(10, rel=0.1)
    assert edge.start["headers"] == (JSON if whole else SSE)


@pytest.mark.anyio
async def test_a_client_that_leaves_ends_it() -> None:
    """Nothing is sent any more, and the responder hears of it once."""
    edge = Edge(patience_s=2.0, tokens_per_s=20.0)
    await edge.answer(SSE, *[event(content="x" * 20) for _ in range(40)])
    assert edge.left == 1
    assert edge.clock.now() < 2.5


@pytest.mark.anyio
async def test_the_length_fits_the_reduced_answer() -> None:
    """The start waits for it; what sealed the old body is gone."""
    edge = Edge(watch=REASONING)
    body = json.dumps({"choices": [{"message": {"content": "x", "reasoning": "hm"}}]}).encode()
    await edge.answer(JSON, body[:10], body[10:])
    headers = dict(edge.start["headers"])
    assert json.loads(edge.body) == {"choices": [{"message": {"content": "x"}}]}
    assert headers[b"content-length"] == b"%d" % len(edge.body)
    assert b"etag" not in headers
    assert [message["type"] for _, message in edge.sent] == ["http.response.start", "http.response.body"]


@pytest.mark.anyio
@pytest.mark.parametrize("status", [400, 429, 500, 302])
async def test_errors_of_the_app_pass_as_they_are(status: int) -> None:
    """They are no answers, whatever they are compressed with."""
    headers = [*JSON, (b"content-encoding", b"br")]
    edge = Edge(watch=REASONING, tokens_per_s=1.0)
    await edge.answer(headers, b"\x00\x01", status=status)
    assert edge.start == {"type": "http.response.start", "status": status, "headers": headers}
    assert edge.body == b"\x00\x01"


@pytest.mark.anyio
@pytest.mark.parametrize(
    "headers",
    [
        [*JSON, (b"content-encoding", b"br")],
        [*SSE, (b"content-encoding", b"gzip"), (b"Content-Encoding", b"br")],
        [(b"content-type", b"text/plain")],
        [],
    ],
)
async def test_what_cannot_be_reduced_is_limited(headers: Any) -> None:
    """Not one byte of it reaches the client."""
    edge = Edge(watch=REASONING)
    await edge.answer(headers, b"secret thoughts")
    assert edge.start["status"] == 429
    assert edge.body == b"{}"
    assert len(edge.errors) == 1


@pytest.mark.anyio
async def test_a_file_sent_past_guard_is_limited() -> None:
    """Servers may send a file by themselves; guard would not see it."""
    edge = Edge(watch=REASONING)
    await edge.reshaped({"type": "http.response.start", "status": 200, "headers": JSON})
    await edge.reshaped({"type": "http.response.pathsend", "path": "/x"})
    assert edge.start["status"] == 429


@pytest.mark.anyio
async def test_a_stream_that_stops_being_readable_ends_with_an_error() -> None:
    """The API's error event, after whole events only, and then nothing."""
    edge = Edge(watch=REASONING)
    await edge.answer(SSE, event(content="x"), b"data: {NaN}\n\n", event(content="y"))
    assert edge.body == event(content="x") + b"data: error\n\n"
    assert not edge.sent[-1][1]["more_body"]


@pytest.mark.anyio
async def test_only_told_is_no_reason_to_stop() -> None:
    """Where there is no room for the notice the answer passes: the header has told."""
    for headers in ([*JSON, (b"content-encoding", b"br")], [(b"content-type", b"text/plain")]):
        edge = Edge(notice={"reference": "abc"})
        await edge.answer(headers, b"\x00")
        assert (edge.start["headers"], edge.body) == (headers, b"\x00")


@pytest.mark.anyio
async def test_nothing_is_gathered_without_end() -> None:
    """A JSON answer that never ends is given up."""
    edge = Edge(tokens_per_s=20.0)
    await edge.reshaped({"type": "http.response.start", "status": 200, "headers": JSON})
    for _ in range(17):
        await edge.reshaped({"type": "http.response.body", "body": b"x" * 1024 * 1024, "more_body": True})
    assert edge.start["status"] == 429
