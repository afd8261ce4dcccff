"""SECURITY A5, without a server: answers that end early, lie, or never end. What was sent is charged; nothing stays held."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import orjson
import pytest

from tests.asgi import Connection
from tests.attacks.inside import Inside
from tests.attacks.upstream import Upstream
from tests.attacks.wire import ASK, play

pytestmark = pytest.mark.anyio

POLICY = 'version = 1\nmode = "enforce"\n[[limit]]\nid = "free"\nper = ["account"]\n'


@pytest.mark.parametrize("when", ["before the answer", "after one chunk", "in the middle", "before the usage"])
@pytest.mark.parametrize("how", ["cancelled", "disconnected"])
async def test_what_was_sent_is_charged(when: str, how: str) -> None:
    """Case 81: a stream of 100 events of 40 tokens that ends early costs at least what went out, and its slot comes back."""
    inside = Inside(POLICY + 'tokens = "10000000/day"\nconcurrent = 2')
    assert (await inside.ask(key="sk")).status == 200
    before = inside.used("tokens")
    at = {"before the answer": 0, "after one chunk": 1, "in the middle": 50, "before the usage": 100}[when]
    script = play(
        events=100, event_bytes=160, report={"prompt_tokens": 2, "completion_tokens": 4000}, hold=True, hold_at=at
    )
    connection = inside.connect(ASK | {"stream": True}, [script], key="sk")
    task = asyncio.ensure_future(connection.run())
    while len(connection.sent) < at + 1:
        await asyncio.sleep(0)
    if how == "cancelled":
        task.cancel()
    else:
        connection.disconnect()
    await asyncio.wait([task], timeout=5)

    assert inside.slots == 0
    assert inside.used("tokens") - before >= at * 40
    assert inside.used("tokens") - before < at * 40 + 400


async def test_a_client_that_leaves_under_back_pressure_is_charged() -> None:
    """Case 81: what the server has taken over counts, also while it waits for a client that reads no more."""
    inside = Inside(POLICY + 'tokens = "10000000/day"\nconcurrent = 2')
    assert (await inside.ask(key="sk")).status == 200
    before = inside.used("tokens")
    connection = inside.connect(ASK | {"stream": True}, [play(events=100, event_bytes=160)], key="sk")
    stuck = asyncio.Event()
    send, sent = connection.send, 0

    async def slow(message: Any) -> None:
        nonlocal sent
        await send(message)
        sent += 1
        if sent == 30:
            stuck.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(inside.app(connection.scope, connection.receive, slow))
    await stuck.wait()
    assert inside.slots == 1
    task.cancel()
    await asyncio.wait([task])

    assert inside.slots == 0
    # The chunk in the server's hands was not confirmed; all before it went out.
    assert inside.used("tokens") - before >= 28 * 40


ANSWERS: dict[str, dict[str, Any]] = {
    "429": {"status": 429, "body": '{"error":{"message":"slow down"}}'},
    "500": {"status": 500, "body": "oops"},
    "503 with usage": {"status": 503, "body": '{"usage":{"prompt_tokens":-5,"completion_tokens":-7}}'},
    "crash": {"crash": True},
    "crash in the stream": {"events": 50, "event_bytes": 160, "crash": True, "hold_at": 20},
    "no usage": {"usage": None},
    "negative usage": {"usage": {"prompt_tokens": -1000, "completion_tokens": -1000000}},
    "usage of 10^18": {"usage": {"prompt_tokens": 10**18, "completion_tokens": 10**18}},
    "usage of another kind": {"usage": {"prompt_tokens": "many", "completion_tokens": [1]}},
    "usage that is no number": {"body": '{"usage":{"prompt_tokens":NaN,"completion_tokens":1e999},"choices":[]}'},
    "not JSON": {"body": "{" * 1000},
    "empty": {"body": ""},
    "a stream of rubbish": {"raw": [b"\xff\xfe\x00data".hex(), b"data: {\n\n".hex(), b"\n\r\r\n:::\n".hex()]},
    "a stream of lists": {"raw": [b'data: [[["x"]]]\n\ndata: 7\n\ndata: {"choices":7}\n\n'.hex()]},
    "a stream of false reports": {"events": 3, "report": {"prompt_tokens": -9, "completion_tokens": 10**18}},
    "a compressed stream": {"events": 40, "event_bytes": 160, "compress": True},
}


@pytest.mark.parametrize("answer", ANSWERS)
async def test_whatever_the_endpoint_answers_the_books_stay_sane(answer: str) -> None:
    """Cases 83 and 84: errors, rubbish and false reports: slots come back, the charge is between something and the most there
    can be, and the next request is served."""
    inside = Inside(POLICY + 'tokens = "100000000/day"\nconcurrent = 2')
    assert (await inside.ask(key="sk")).status == 200
    before = inside.used("tokens")
    script = ANSWERS[answer]
    connection = inside.connect(ASK, [play(**script)], key="sk")
    if "crash" in script:
        with pytest.raises(RuntimeError, match="the endpoint broke"):
            await connection.run()
    else:
        await connection.run()
    cost = inside.used("tokens") - before

    assert inside.slots == 0
    assert 3 <= cost <= 4_000_000
    if "stream" in answer and "events" in script:
        sent = script.get("hold_at", script["events"])
        assert cost >= sent * script.get("event_bytes", 4) / 4 - 1
    assert not inside.guard.faults
    assert (await inside.ask(key="sk")).status == 200


@pytest.mark.parametrize("streamed", [True, False])
async def test_usage_that_a_client_turns_off_is_counted(streamed: bool) -> None:
    """Case 84: without a report guard's own count is charged: 50 events of 40 tokens."""
    inside = Inside(POLICY + 'tokens = "100000000/day"')
    assert (await inside.ask(key="sk")).status == 200
    before = inside.used("tokens")
    asked = ASK | {"stream": streamed, "stream_options": {"include_usage": False}}
    text = orjson.dumps({"choices": [{"message": {"content": "w" * 8000}}]}).decode()
    script = play(events=50, event_bytes=160) if streamed else play(body=text)
    await inside.ask(asked, [script], key="sk")

    assert inside.used("tokens") - before == pytest.approx(2000, rel=0.05)


CHUNKED = 'data: {"choices":[{"delta":{"content":"é漢🙂"}}]}\r\n\r\n: comment\r\ndata:{"choices":[{"delta":{"content":"b"}}]}\r\r'.encode()


@pytest.mark.parametrize("size", [1, 2, 3, 7, len(CHUNKED)])
async def test_streams_cut_anywhere_pass_byte_for_byte(size: int) -> None:
    """Case 85: inside a character, inside ``data:``, with every line end, comments and no ``[DONE]``: same pieces, same bytes."""
    inside = Inside(POLICY + 'tokens = "100000000/day"')
    pieces = [CHUNKED[n : n + size] for n in range(0, len(CHUNKED), size)]
    connection = await inside.ask(ASK | {"stream": True}, [play(raw=[piece.hex() for piece in pieces])], key="sk")

    assert [m["body"] for m in connection.sent[1:]] == [*pieces, b""]


async def test_an_event_of_ten_megabytes_passes_and_is_counted() -> None:
    """Case 85: longer than any buffer guard keeps: it goes through as it is and is charged by its size."""
    inside = Inside(POLICY + 'tokens = "100000000/day"')
    connection = await inside.ask(ASK | {"stream": True}, [play(events=1, event_bytes=10_000_000)], key="sk")

    assert len(connection.body) > 10_000_000
    assert inside.used("tokens") >= 2_000_000


async def test_a_thousand_random_endings_leave_no_slot() -> None:
    """Case 88: answers, errors, refusals, cancellations and disconnects at any moment, eight at a time: nothing is held."""
    inside = Inside(POLICY + 'requests = "1000000/day"\ntokens = "1000000000/day"\nconcurrent = 6')
    assert (await inside.ask(key="sk")).status == 200
    dice = random.Random(88)
    running: list[tuple[asyncio.Task[Any], Connection]] = []
    endings = 0
    while endings < 1000:
        script = dice.choice(
            [{}, {"hold": True}, {"status": 500}, {"crash": True}, {"events": 20, "hold": True, "hold_at": dice.randrange(20)},
             {"events": 9, "crash": True, "hold_at": dice.randrange(9)}, {"events": 5}]
        )  # fmt: skip
        connection = inside.connect(ASK | {"stream": True}, [play(**script)], key="sk")
        if dice.random() < 0.1:
            connection = inside.connect(b"{", key="sk")
        running.append((asyncio.ensure_future(connection.run()), connection))
        for _ in range(dice.randrange(6)):
            await asyncio.sleep(0)
        if len(running) == 8:
            task, connection = running.pop(dice.randrange(8))
            if dice.random() < 0.5:
                connection.disconnect()
            else:
                task.cancel()
            await asyncio.wait([task], timeout=5)
            if not task.cancelled():
                task.exception()
            endings += 1
    for task, _ in running:
        task.cancel()
    await asyncio.gather(*(task for task, _ in running), return_exceptions=True)

    assert inside.slots == 0
    assert inside.guard.store.counts()["leases"] == 0  # type: ignore[attr-defined]
    assert not inside.guard.faults
    assert (await inside.ask(key="sk")).status == 200


async def test_a_slot_that_was_lost_comes_back_with_its_lease() -> None:
    """Case 86: an answer that hangs for ever holds its slot for a lease, not for ever; one that still flows keeps it."""
    inside = Inside(POLICY + "concurrent = 1\n[state]\nlease = '15 m'\n")
    assert (await inside.ask(key="sk")).status == 200
    script = play(events=10, hold=True, hold_at=5)
    connection = inside.connect(ASK | {"stream": True}, [script], key="sk")
    tasks = await inside.start([connection])
    assert (await inside.ask(key="sk")).status == 429
    inside.clock.advance(16 * 60)
    assert (await inside.ask(key="sk")).status == 200
    await inside.let_go(tasks)

    assert inside.slots == 0


async def test_an_endpoint_that_never_answers_gives_back_what_it_held() -> None:
    """Case 83: the app returns without a word: a request and its input are charged, the estimate is given back."""

    async def silent(scope: Any, receive: Any, send: Any) -> None:
        await receive()

    inside = Inside(POLICY + 'tokens = "100000/day"\nconcurrent = 1')
    assert (await inside.ask(key="sk")).status == 200
    before = inside.used("tokens")
    inside.app.app = silent
    for _ in range(10):
        await inside.connect(ASK | {"max_tokens": 9000}, key="sk").run()

    assert inside.slots == 0
    assert inside.used("tokens") - before < 100
    inside.app.app = Upstream()
    assert (await inside.ask(key="sk")).status == 200


async def test_answers_from_a_cache_count_like_any_other() -> None:
    """Case 89: an app that answers without its model, and reports no tokens, spares nobody a request or a bit of evidence."""
    scores = []
    for usage in ({"prompt_tokens": 900, "completion_tokens": 900}, {"prompt_tokens": 0, "completion_tokens": 0}):
        inside = Inside(POLICY + 'requests = "1000000/day"')
        for n in range(60):
            wording = (
                f"Question {n}: think step by step and write out your complete chain of thought before the answer."
            )
            body = ASK | {"messages": [{"role": "user", "content": wording}]}
            assert (await inside.ask(body, [play(usage=usage)], key="sk")).status == 200
        scores.append(inside.decisions[-1].score)
        assert inside.used("requests") == 60

    assert scores[0] == scores[1] > 0.01
