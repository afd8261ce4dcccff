from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from guard import AccountFacts, GuardMiddleware, InstallError
from guard.clock import ManualClock
from guard.config import load
from guard.settings import Policy
from guard.testing import allow_all
from tests.asgi import Connection, Message, http_scope

pytestmark = pytest.mark.anyio

POLICY = """
version = 1
mode = "enforce"
[[limit]]
id = "free"
per = ["account"]
requests = "5/minute"
concurrent = 2
"""
CHAT = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 50})
ANSWER = orjson.dumps(
    {
        "choices": [{"message": {"role": "assistant", "content": "hi"}}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }
)
KEY = ("authorization", "Bearer sk-alice")
EVENTS = [b'data: {"choices":[{"delta":{"content":"word %d"}}]}\n\n' % n for n in range(5)] + [b"data: [DONE]\n\n"]


def policy(text: str = POLICY) -> Policy:
    return load(text)


class Endpoint:
    """A model endpoint that remembers what it was sent. ``events`` None: one JSON answer."""

    def __init__(
        self, events: list[bytes] | None = None, *, after: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self.events = events
        self.after = after
        self.calls: list[Message] = []
        self.bodies: list[bytes] = []
        self.left: list[Message] = []

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        self.calls.append(scope)
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.bodies.append(body)
        kind = b"application/json" if self.events is None else b"text/event-stream"
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind), (b"x-own", b"1")]}
        )
        for event in self.events or []:
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"" if self.events else ANSWER})
        if self.after is not None:
            await self.after()


def guarded(app: Any, text: str | Policy = POLICY, clock: ManualClock | None = None) -> GuardMiddleware:
    return GuardMiddleware(app, policy(text) if isinstance(text, str) else text, clock=clock or ManualClock())


def ask(app: Any, body: bytes = CHAT, *, headers: tuple[tuple[str, str], ...] = (KEY,), **scope: Any) -> Connection:
    return Connection(app, http_scope(headers=headers, **scope), [body])


async def accepted(app: GuardMiddleware) -> GuardMiddleware:
    """An app that has answered alice's credential once: from now on she is an account."""
    assert (await ask(app).run()).status == 200
    return app


async def test_the_body_reaches_the_app_byte_for_byte() -> None:
    """Whatever its spelling and its chunks, the app reads the very bytes that the client sent."""
    odd = b'  { "model":"m",\t"messages":[{"role":"user","content":"h\\u00e9 \xc3\xa9"}] }\n'
    endpoint = Endpoint()
    await Connection(guarded(endpoint), http_scope(headers=[KEY]), [odd[:7], odd[7:20], b"", odd[20:]]).run()

    assert endpoint.bodies == [odd]


@pytest.mark.parametrize("events", [None, EVENTS])
async def test_the_answer_passes_untouched(events: list[bytes] | None) -> None:
    """Every message of the app goes out as it is, in the same pieces, with the same headers."""
    bare = await ask(Endpoint(events)).run()
    through = await ask(guarded(Endpoint(events))).run()

    assert through.sent == bare.sent


async def test_the_decision_stands_in_the_state() -> None:
    """The app can read what was decided."""
    endpoint = Endpoint()
    await ask(guarded(endpoint)).run()
    decision = endpoint.calls[0]["state"]["guard"]

    assert (decision.action, decision.band, decision.enforced) == ("allow", "low", True)


async def test_a_limit_answers_in_the_dialects_shape_and_spares_the_app() -> None:
    """The sixth request of a minute is answered with 429 by guard; the app never sees it; a minute later there is room."""
    clock, endpoint = ManualClock(), Endpoint()
    app = guarded(endpoint, clock=clock)
    answers = [(await ask(app).run()) for _ in range(8)]
    refused = answers[-1]

    assert [a.status for a in answers].count(429) >= 2
    assert len(endpoint.calls) == [a.status for a in answers].count(200)
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert orjson.loads(refused.body)["error"]["message"]
    clock.advance(60)
    assert (await ask(app).run()).status == 200


async def test_a_client_that_leaves_before_its_body_is_whole_costs_nothing() -> None:
    """Half a request reaches nobody and holds nothing."""
    endpoint = Endpoint()
    app = await accepted(guarded(endpoint))
    connection = Connection(app, http_scope(headers=[KEY]), [])
    connection._inbox.put_nowait({"type": "http.request", "body": CHAT[:9], "more_body": True})
    connection.disconnect()
    await connection.run()

    assert connection.sent == []
    assert len(endpoint.calls) == 1
    assert slots_in_use(app) == 0


def slots_in_use(app: GuardMiddleware) -> int:
    return int(app.installation.guard.store.counts()["slots_in_use"])  # type: ignore[attr-defined]


async def test_the_app_sees_the_client_leave() -> None:
    """After the body, ``receive`` is the connection's own: a disconnect arrives as without guard."""
    seen: list[str] = []

    async def waits(scope: Message, receive: Any, send: Any) -> None:
        seen.append((await receive())["type"])
        seen.append((await receive())["type"])

    connection = ask(guarded(waits))
    connection.disconnect()
    await connection.run()

    assert seen == ["http.request", "http.disconnect"]


async def test_slots_come_back_on_every_path() -> None:
    """After an answer, an error of the app, an app that never answers, a cancellation and a cut stream nothing is held (SECURITY 88)."""

    async def fails(scope: Message, receive: Any, send: Any) -> None:
        raise RuntimeError("the app's own")

    async def silent(scope: Message, receive: Any, send: Any) -> None:
        return

    async def stops_halfway(scope: Message, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": EVENTS[0], "more_body": True})
        await asyncio.Event().wait()

    target: list[Any] = [Endpoint()]

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await target[0](scope, receive, send)

    text = POLICY.replace('requests = "5/minute"', 'requests = "1000/minute"')
    stack = await accepted(guarded(app, text))
    for case in (Endpoint(), Endpoint(EVENTS), silent, fails, stops_halfway):
        target[0] = case
        for _ in range(5):
            connection = ask(stack)
            task = asyncio.ensure_future(connection.run())
            if case is stops_halfway:
                while len(connection.sent) < 2:
                    await asyncio.sleep(0)
                assert slots_in_use(stack) == 1
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            elif case is fails:
                with pytest.raises(RuntimeError, match="the app's own"):
                    await task
            else:
                await task
            assert slots_in_use(stack) == 0


async def test_concurrency_admits_exactly_the_limit() -> None:
    """Of ten at once on two slots two are admitted; the others are limited and hold nothing (SECURITY 75)."""
    gate = asyncio.Event()

    async def waits(scope: Message, receive: Any, send: Any) -> None:
        await gate.wait()
        await Endpoint()(scope, receive, send)

    text = POLICY.replace('requests = "5/minute"', 'requests = "1000/minute"')
    gate.set()
    app = await accepted(guarded(waits, text))
    gate.clear()
    connections = [ask(app) for _ in range(10)]
    tasks = [asyncio.ensure_future(connection.run()) for connection in connections]
    for _ in range(20):
        await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*tasks)

    assert sorted(connection.status for connection in connections) == [200] * 2 + [429] * 8
    assert slots_in_use(app) == 0


async def test_a_background_task_holds_no_slot() -> None:
    """What an app does after its answer runs on; the exchange is settled when its last byte is out."""
    held: list[int] = []

    async def afterwards() -> None:
        held.append(slots_in_use(app))

    app = guarded(Endpoint(after=afterwards))
    await ask(app).run()

    assert held == [0]


async def test_what_cannot_be_read_is_refused_and_never_forwarded() -> None:
    """Broken JSON is answered with the dialect's 400."""
    endpoint = Endpoint()
    answer = await ask(guarded(endpoint), b'{"model": "m", "messages": [').run()

    assert answer.status == 400
    assert "error" in orjson.loads(answer.body)
    assert endpoint.calls == []


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"not json at all", ()),
        (CHAT, (("content-encoding", "br"),)),
        (b"x" * 5000, ()),
        (CHAT, (("authorization", "Bearer a"), ("x-api-key", "b"))),
    ],
)
async def test_observe_lets_everything_through_untouched(body: bytes, headers: tuple[tuple[str, str], ...]) -> None:
    """In mode observe what would be refused reaches the app byte for byte, and is counted."""
    text = POLICY.replace('"enforce"', '"observe"', 1) + "\n[body]\nmax_bytes = '1 KiB'\n"
    endpoint = Endpoint()
    app = guarded(endpoint, text)
    chunks = [body[n : n + 700] for n in range(0, len(body), 700)]
    answer = await Connection(app, http_scope(headers=headers), chunks).run()

    assert answer.status == 200
    assert endpoint.bodies == [body]
    assert endpoint.calls[0]["state"]["guard"].action == "refuse"
    assert app.installation.metrics.counts()["refuse"] == 1


async def test_observe_never_limits() -> None:
    """Past its limit an account is still answered in mode observe, and the record says what would have been."""
    endpoint = Endpoint()
    app = guarded(endpoint, POLICY.replace('"enforce"', '"observe"', 1))
    for _ in range(20):
        assert (await ask(app).run()).status == 200

    assert endpoint.calls[-1]["state"]["guard"].action == "limit"


async def test_mode_off_touches_nothing() -> None:
    """Off is off: nothing is read, counted or stripped."""
    endpoint = Endpoint()
    app = guarded(endpoint, POLICY.replace('"enforce"', '"off"', 1))
    answer = await ask(app, b"anything", headers=(("x-guard-test", "1"),)).run()

    assert answer.status == 200
    assert (b"x-guard-test", b"1") in endpoint.calls[0]["headers"]
    assert "guard" not in endpoint.calls[0]["state"]


async def test_internal_headers_are_stripped() -> None:
    """A client can't bring ``X-Guard-…`` headers of its own (SECURITY 17); every other header arrives as it was."""
    endpoint = Endpoint()
    await ask(guarded(endpoint), headers=(KEY, ("X-Guard-Reference", "forged"), ("x-trace", "7"))).run()
    names = [name for name, _ in endpoint.calls[0]["headers"]]

    assert names == [b"content-type", b"authorization", b"x-trace"]


async def test_unprotected_routes_pass_and_json_posts_are_counted() -> None:
    """A path that isn't protected is the app's alone; a JSON POST to one shows in health."""
    endpoint = Endpoint()
    app = guarded(endpoint)
    await ask(app, b"whatever", path="/own").run()
    await ask(app, b"", path="/own", method="GET").run()

    assert len(endpoint.calls) == 2
    assert app.installation.metrics.unprotected == 1


async def test_a_body_that_never_comes_is_answered_with_408() -> None:
    """A slow body is given up after ``[body] timeout`` and its connection closed (SECURITY 42)."""
    endpoint = Endpoint()
    app = guarded(endpoint, POLICY + "\n[body]\ntimeout = '20 ms'\n")
    connection = Connection(app, http_scope(headers=[KEY]), [])
    connection._inbox.put_nowait({"type": "http.request", "body": b"{", "more_body": True})
    await connection.run()

    assert connection.status == 408
    assert connection.headers["connection"] == "close"
    assert endpoint.calls == []


async def test_too_large_a_body_is_refused_before_it_is_read() -> None:
    """A declared length above the bound is answered at once; an undeclared one when the bound is passed (SECURITY 56)."""
    endpoint = Endpoint()
    app = guarded(endpoint, POLICY + "\n[body]\nmax_bytes = '1 KiB'\n")
    declared = await Connection(app, http_scope(headers=[KEY, ("content-length", "5000000")]), []).run()
    streamed = await Connection(app, http_scope(headers=[KEY]), [b"x" * 600] * 100).run()

    assert (declared.status, streamed.status) == (413, 413)
    assert streamed._inbox.qsize() == 98
    assert endpoint.calls == []


async def test_half_read_bodies_are_bounded_together() -> None:
    """Many large bodies that never end can't fill the memory: beyond eight times the largest body the next is told to come back,
    and what was held is given back when they end."""
    endpoint = Endpoint()
    app = guarded(endpoint, POLICY + "\n[body]\nmax_bytes = '1 KiB'\n")
    waiting = []
    for n in range(10):
        connection = Connection(app, http_scope(headers=[("authorization", f"Bearer sk-{n}")]), [])
        connection._inbox.put_nowait({"type": "http.request", "body": b"x" * 10, "more_body": True})
        connection._inbox.put_nowait({"type": "http.request", "body": b"x" * 1000, "more_body": True})
        waiting.append((connection, asyncio.ensure_future(connection.run())))
        for _ in range(5):
            await asyncio.sleep(0)
    refused = [connection.status for connection, _ in waiting if connection.sent]
    for connection, task in waiting:
        connection.disconnect()
        await task

    assert refused == [503, 503]
    assert app.installation.reading_bytes == 0
    assert (await ask(app).run()).status == 200


async def test_a_guard_in_a_guard_is_an_error_with_a_hint() -> None:
    """A second installation in one stack would charge every limit twice."""
    with pytest.raises(InstallError, match="HINT"):
        await ask(guarded(guarded(Endpoint()))).run()


async def test_websockets_on_protected_routes_are_denied() -> None:
    """By default a WebSocket on a protected path is closed before it opens, with 403 where the server can say so; elsewhere it passes."""
    reached: list[str] = []

    async def app(scope: Message, receive: Any, send: Any) -> None:
        reached.append(scope["path"])

    stack = guarded(app)
    for path, extensions, expected in (
        ("/v1/chat/completions", {}, "websocket.close"),
        ("/v1/chat/completions", {"websocket.http.response": {}}, "websocket.http.response.start"),
    ):
        connection = Connection(stack, http_scope(path=path, type="websocket", extensions=extensions), [])
        connection._inbox.put_nowait({"type": "websocket.connect"})
        await connection.run()
        assert connection.sent[0]["type"] == expected
    await Connection(stack, http_scope(path="/own", type="websocket"), []).run()
    opened = guarded(app, POLICY + '\n[protect]\nwebsockets = "allow"\n')
    await Connection(opened, http_scope(type="websocket"), []).run()

    assert reached == ["/own", "/v1/chat/completions"]


async def test_unknown_kinds_of_connection_are_refused() -> None:
    """What guard can't judge it does not pass on (SECURITY 32)."""
    endpoint = Endpoint()
    with pytest.raises(InstallError, match="webtransport"):
        await Connection(guarded(endpoint), http_scope(type="webtransport"), []).run()

    assert endpoint.calls == []


async def test_describe_names_accounts() -> None:
    """The operator's callable, sync or async, turns credentials into accounts: two keys of one account share its limit."""

    async def later(credential: str) -> AccountFacts | None:
        return AccountFacts(id="alice") if "alice" in credential else None

    def now(credential: str) -> AccountFacts | None:
        return AccountFacts(id="alice") if "alice" in credential else None

    for describe in (now, later):
        base = policy()
        from dataclasses import replace

        app = guarded(Endpoint(), replace(base, identity=replace(base.identity, describe=describe)))
        statuses = [
            (await ask(app, headers=(("authorization", f"Bearer alice-{n % 2}"),)).run()).status for n in range(8)
        ]
        assert statuses == [200] * 5 + [429] * 3


async def test_a_failing_describe_lets_nobody_unknown_through() -> None:
    """The operator's callable raises: whoever isn't known is answered with 503, and the fault is counted (SECURITY 146)."""
    from dataclasses import replace

    def broken(credential: str) -> AccountFacts | None:
        raise ConnectionError("database")

    base = policy()
    endpoint = Endpoint()
    app = guarded(endpoint, replace(base, identity=replace(base.identity, describe=broken)))
    answer = await ask(app).run()

    assert answer.status == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert endpoint.calls == []
    assert app.installation.guard.faults["identity"] == 1


async def test_an_operators_block_cuts_a_running_stream() -> None:
    """``guard block`` ends the stream with the dialect's error event; the app's further words go nowhere; the slot is back (SECURITY 87)."""
    go_on = asyncio.Event()
    heard: list[str] = []

    async def streams(scope: Message, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": EVENTS[0], "more_body": True})
        await go_on.wait()
        await send({"type": "http.response.body", "body": EVENTS[1], "more_body": True})
        await send({"type": "http.response.body", "body": EVENTS[2], "more_body": True})
        heard.append((await receive())["type"])

    clock = ManualClock()
    app = await accepted(guarded(Endpoint(), clock=clock))
    app.app = streams
    connection = ask(app)
    task = asyncio.ensure_future(connection.run())
    while len(connection.sent) < 2:
        await asyncio.sleep(0)
    (account,) = app.installation.guard.identities.snapshot()["accepted"]  # type: ignore[misc]
    app.installation.guard.block(account, "scraping", 0.0, clock.now())
    go_on.set()
    await task

    assert connection.body.startswith(EVENTS[0])
    assert EVENTS[1] not in connection.body
    assert b'"error"' in connection.body
    assert connection.sent[-1]["more_body"] is False
    assert heard == ["http.disconnect"]
    assert slots_in_use(app) == 0
    assert (await ask(app).run()).status == 403


async def test_lifespan_is_the_apps_own() -> None:
    """Start-up and shutdown reach the app, its state reaches requests, and guard's background ends with it."""
    seen: list[str] = []

    async def app(scope: Message, receive: Any, send: Any) -> None:
        while True:
            kind = (await receive())["type"]
            seen.append(kind)
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return

    stack = guarded(app)
    connection = Connection(stack, {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, [])
    connection._inbox.put_nowait({"type": "lifespan.startup"})
    task = asyncio.ensure_future(connection.run())
    while not connection.sent and not task.done():
        await asyncio.sleep(0)
    assert stack._background.running
    connection._inbox.put_nowait({"type": "lifespan.shutdown"})
    await task

    assert seen == ["lifespan.startup", "lifespan.shutdown"]
    assert [m["type"] for m in connection.sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert not stack._background.running


async def test_allow_all_steps_aside() -> None:
    """``guard.testing.allow_all`` keeps guard out of an app's own tests, and ends with its block."""
    endpoint = Endpoint()
    app = guarded(endpoint)
    with allow_all():
        for _ in range(20):
            assert (await ask(app, b"not even json").run()).status == 200
    assert endpoint.calls[0]["state"]["guard"].action == "allow"
    assert (await ask(app, b"not even json").run()).status == 400
