from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from guard import GuardMiddleware
from guard.clock import ManualClock
from guard.config import load
from guard.waiting import WaitingRoom
from tests.asgi import Connection, http_scope
from tests.attacks.inside import used

LESS = '{ degrade = ["budget", "logprobs", "reasoning"], notice = "none" }'
POLICY = """
version = 1
mode = "{mode}"
[protect]
routes = ["/v1/*", {{ path = "/generate", dialect = "json", prompt = "inputs" }}, {{ path = "/flat", flat = 5 }}]
[[limit]]
id = "free"
per = ["account"]
requests = "{requests}/hour"
tokens = "100000/hour"
cost = "100/hour"
concurrent = 64
[[rule]]
id = "rule"
action = {action}
[models."cheap"]
input = 1
output = 1
[models."*"]
input = 1000
output = 1000
"""
ASK = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4000, "logprobs": True}
ANSWER = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "x", "reasoning": "hm"}}]}
USAGE = {"prompt_tokens": 10, "completion_tokens": 1000}


class Endpoint:
    """Answers what it is told to, and notes what reached it."""

    def __init__(self, headers: Any = (), answer: bytes = b"") -> None:
        self.headers = [(b"content-type", b"application/json"), *headers]
        self.answer = answer or json.dumps(ANSWER | {"usage": USAGE}).encode()
        self.bodies: list[bytes] = []
        self.scopes: list[Any] = []
        self.next: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.bodies.append((await receive())["body"])
        self.scopes.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.answer})
        self.next = await receive() if self.next == "wanted" else None


def guarded(app: Any, action: str, mode: str = "enforce", requests: int = 10_000) -> GuardMiddleware:
    policy = load(POLICY.format(action=action, mode=mode, requests=requests))
    return GuardMiddleware(app, policy, clock=ManualClock())


def connect(
    app: Any, body: Any = ASK, path: str = "/v1/chat/completions", key: str = "sk-1", **scope: Any
) -> Connection:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = [("authorization", f"Bearer {key}"), ("content-length", str(len(raw))), ("accept-encoding", "br")]
    return Connection(app, http_scope(path, headers=headers, **scope), [raw])


async def ask(app: Any, *parts: Any, **more: Any) -> Connection:
    return await connect(app, *parts, **more).run()


def faults(app: GuardMiddleware) -> int:
    return app.installation.guard.faults["reduce"]


@pytest.mark.anyio
async def test_the_app_gets_a_smaller_request_and_the_client_a_smaller_answer() -> None:
    endpoint = Endpoint()
    connection = await ask(guarded(endpoint, LESS))
    asked = json.loads(endpoint.bodies[0])
    headers = endpoint.scopes[0]["headers"]
    assert (asked["max_tokens"], "logprobs" in asked) == (512, False)
    assert [value for name, value in headers if name == b"content-length"] == [b"%d" % len(endpoint.bodies[0])]
    assert [value for name, value in headers if name == b"accept-encoding"] == [b"identity"]
    assert "reasoning" not in json.loads(connection.body)["choices"][0]["message"]
    assert connection.headers["content-length"] == str(len(connection.body))
    assert not [name for name in connection.headers if name.startswith("x-guard")]


@pytest.mark.anyio
@pytest.mark.parametrize("action", [LESS, '{ delay = "30 s" }', '{ challenge = "https://example.org/v" }'])
async def test_in_mode_observe_nothing_is_changed(action: str) -> None:
    """Bytes and headers in both directions, and nobody waits; the decision says what it would have been."""
    endpoint = Endpoint()
    raw = json.dumps(ASK, indent=1).encode()
    app = guarded(endpoint, action, mode="observe")
    connection = await asyncio.wait_for(ask(app, raw), 5)
    assert endpoint.bodies == [raw]
    assert (b"accept-encoding", b"br") in endpoint.scopes[0]["headers"]
    assert connection.body == endpoint.answer
    assert set(connection.headers) == {"content-type"}
    assert endpoint.scopes[0]["state"]["guard"].action in action
    assert len(app.installation.waiting) == 0


@pytest.mark.anyio
async def test_a_rule_in_shadow_changes_nothing() -> None:
    """Likewise, and it is recorded."""
    endpoint = Endpoint()
    policy = POLICY.format(action=LESS, mode="enforce", requests=9).replace(
        'id = "rule"', 'id = "rule"\nmode = "shadow"'
    )
    connection = await ask(GuardMiddleware(endpoint, load(policy), clock=ManualClock()))
    assert connection.body == endpoint.answer
    assert json.loads(endpoint.bodies[0]) == ASK
    assert endpoint.scopes[0]["state"]["guard"].shadow == (("rule", "degrade"),)


@pytest.mark.anyio
async def test_what_was_used_is_what_the_app_made() -> None:
    """The app's own report counts, with what was taken out; a cheaper model counts at its own price."""
    app = guarded(Endpoint(), '{ degrade = ["reasoning", "model"], model = "cheap" }')
    for _ in range(3):
        await ask(app)
    assert used(app, "tokens", window_s=3_600.0) == pytest.approx(3 * 1010)
    assert used(app, "cost", window_s=3_600.0) == pytest.approx(3 * 1010 / 1e6)


@pytest.mark.anyio
async def test_a_degraded_account_keeps_its_limits() -> None:
    """Degrading is more severe than a limit, but it lets requests through: those for which a limit has no room are limited."""
    endpoint = Endpoint()
    app = guarded(endpoint, LESS, requests=2)
    statuses = [(await ask(app)).status for _ in range(4)]
    assert statuses == [200, 200, 429, 429]
    assert len(endpoint.bodies) == 2


@pytest.mark.anyio
@pytest.mark.parametrize(("path", "body"), [("/generate", {"inputs": "x"}), ("/flat", {"any": 1})])
async def test_an_api_that_cannot_be_reduced_so_is_limited(path: str, body: Any) -> None:
    """No reasoning is known of a JSON body of any shape: 429, and the app is not asked. Pace goes everywhere."""
    endpoint = Endpoint()
    connection = await ask(guarded(endpoint, LESS), body, path)
    assert connection.status == 429
    assert b"irreducible" not in connection.body
    assert endpoint.bodies == []
    paced = guarded(endpoint, '{ degrade = ["pace"], tokens_per_s = 1000 }')
    assert (await ask(paced, body, path)).body == endpoint.answer


@pytest.mark.anyio
async def test_an_answer_that_cannot_be_read_is_limited_and_counted() -> None:
    """The app compresses what it was asked not to: 429, nothing of it, and the operator sees that it happens."""
    endpoint = Endpoint([(b"content-encoding", b"br")], b"\x0b\x02\x80")
    app = guarded(endpoint, LESS)
    endpoint.next = "wanted"
    connection = await asyncio.wait_for(ask(app), 5)
    assert connection.status == 429
    assert 1 <= int(connection.headers["retry-after"]) <= 60
    assert b"\x0b\x02" not in connection.body
    assert faults(app) == 1
    assert app.installation.guard.store.counts()["slots_in_use"] == 0  # type: ignore[attr-defined]


@pytest.mark.anyio
async def test_a_request_that_cannot_be_written_is_limited_before_the_app() -> None:
    """A policy may allow depths that can be read and not written; nothing is used up."""
    endpoint = Endpoint()
    policy = POLICY.format(action=LESS, mode="enforce", requests=1) + "[body]\nmax_depth = 1000\n"
    app = GuardMiddleware(endpoint, load(policy), clock=ManualClock())
    deep = json.dumps(ASK).encode()[:-1] + b',"metadata":' + b"[" * 300 + b"]" * 300 + b"}"
    connection = await ask(app, deep)
    assert connection.status in (400, 429)
    assert endpoint.bodies == []
    assert (await ask(app)).status == 200


@pytest.mark.anyio
async def test_a_delayed_client_waits_before_the_app_is_asked() -> None:
    """And only so long; what the app hears afterwards is the client's own leaving."""
    endpoint = Endpoint()
    endpoint.next = "wanted"
    app = guarded(endpoint, '{ delay = "50 ms" }')
    connection = connect(app)
    running = asyncio.ensure_future(connection.run())
    for _ in range(5):
        await asyncio.sleep(0)
    assert endpoint.bodies == []
    assert len(app.installation.waiting) == 1
    while not connection.sent:
        await asyncio.sleep(0.005)
    assert len(app.installation.waiting) == 0
    connection.disconnect()
    await asyncio.wait_for(running, 5)
    assert endpoint.next == {"type": "http.disconnect"}
    assert connection.headers["x-guard-notice"] == "delay=0.05"
    assert connection.body == endpoint.answer
    assert json.loads(endpoint.bodies[0]) == ASK


@pytest.mark.anyio
@pytest.mark.parametrize("how", ["leaves", "cancelled"])
async def test_a_client_that_leaves_while_it_waits_is_done_with(how: str) -> None:
    """At once; the app is never asked, the place and the slots are free, and nothing was used."""
    endpoint = Endpoint()
    app = guarded(endpoint, '{ delay = "30 s" }', requests=1)
    connection = connect(app)
    running = asyncio.ensure_future(connection.run())
    for _ in range(5):
        await asyncio.sleep(0)
    assert app.installation.guard.store.counts()["slots_in_use"] == 1  # type: ignore[attr-defined]
    if how == "leaves":
        connection.disconnect()
        await asyncio.wait_for(running, 5)
    else:
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert endpoint.bodies == []
    assert connection.sent == []
    assert len(app.installation.waiting) == 0
    assert app.installation.guard.store.counts()["slots_in_use"] == 0  # type: ignore[attr-defined]


@pytest.mark.anyio
async def test_only_so_many_wait() -> None:
    """One account fills its share: the next of its requests is limited, not let through; others still find room."""
    endpoint = Endpoint()
    app = guarded(endpoint, '{ delay = "1500 ms" }')
    app.installation.waiting = WaitingRoom(16)
    waiting = [connect(app), connect(app), connect(app, key="sk-2")]
    tasks = [asyncio.ensure_future(connection.run()) for connection in waiting]
    for _ in range(5):
        await asyncio.sleep(0)
    connection = await ask(app)
    assert connection.status == 429
    assert connection.headers["retry-after"] == "2"
    assert b"waiting" in connection.body
    assert len(app.installation.waiting) == 3
    assert (endpoint.bodies, [one.sent for one in waiting]) == ([], [[], [], []])
    for one in waiting:
        one.disconnect()
    await asyncio.wait_for(asyncio.gather(*tasks), 5)
    assert len(app.installation.waiting) == 0


@pytest.mark.anyio
async def test_the_headers_bear_the_operators_names() -> None:
    """``[headers]``: another name, or none at all."""
    names = '[headers]\nratelimit = "x-limits"\nratelimit_policy = ""\nreference = "x-ref"\n'
    policy = POLICY.format(action='"tag"', mode="enforce", requests=1) + names
    app = GuardMiddleware(Endpoint(), load(policy), clock=ManualClock())
    tagged, limited = await ask(app), await ask(app)
    assert tagged.headers["x-ref"]
    assert limited.status == 429
    assert {"x-limits", "x-ref"} <= set(limited.headers)
    assert not {"ratelimit", "ratelimit-policy", "x-guard-reference"} & set(limited.headers)


@pytest.mark.anyio
async def test_a_challenge_says_where_to_go() -> None:
    """403 with the operator's address, in the sentence too, since clients show nothing else; the app is not asked."""
    endpoint = Endpoint()
    app = guarded(endpoint, '{ challenge = "https://example.org/verify?x=1" }')
    connection = await ask(app)
    assert connection.status == 403
    assert connection.headers["link"] == '<https://example.org/verify?x=1>; rel="help"'
    assert "https://example.org/verify?x=1" in json.loads(connection.body)["error"]["message"]
    assert endpoint.bodies == []


def working() -> int:
    """The tasks there are but one that comes and goes: what guard's own tick waits in."""
    return sum(getattr(task.get_coro(), "__qualname__", "") != "Event.wait" for task in asyncio.all_tasks())


@pytest.mark.anyio
async def test_aborted_streams_leave_nothing_behind() -> None:
    """Reduced, told and paced, and cut off at any point: every slot is free again, and what was sent is charged."""

    async def streams(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for _ in range(50):
            event = {"choices": [{"index": 0, "delta": {"content": "x" * 40}}]}
            body = b"data: " + json.dumps(event).encode() + b"\n\n"
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    app = guarded(streams, '{ degrade = ["reasoning", "pace"], tokens_per_s = 1000, notice = "body" }')
    await ask(app, {**ASK, "max_tokens": 1})
    await asyncio.sleep(0)
    tasks = working()
    for steps in range(0, 60, 3):
        connection = connect(app)
        running = asyncio.ensure_future(connection.run())
        for _ in range(steps):
            await asyncio.sleep(0)
        if steps % 2:
            connection.disconnect()
            await asyncio.wait_for(running, 5)
        else:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    assert app.installation.guard.store.counts()["slots_in_use"] == 0  # type: ignore[attr-defined]
    for _ in range(3):
        await asyncio.sleep(0)
    assert working() == tasks
    assert len(asyncio.all_tasks()) <= tasks + 1
