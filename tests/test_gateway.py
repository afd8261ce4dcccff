"""guard as a reverse proxy, on real servers and with the official SDKs: what goes up, what comes down, and how it ends."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from guard import InstallError
from guard.clock import ManualClock
from guard.config import load
from guard.gateway import Gateway, Probes, gateway
from guard.upstream import Timeouts
from tests.asgi import Connection, http_scope
from tests.attacks.inside import slots_in_use
from tests.attacks.liar import Liar, answer
from tests.attacks.upstream import Upstream
from tests.attacks.wire import ASK, Wire, ask_once, play, request
from tests.e2e.conftest import ROOMY, STEPS, Deployment
from tests.patience import until

pytestmark = pytest.mark.uvicorn

QUESTION: list[Any] = [{"role": "user", "content": "How far is the moon? 漢字 🙂"}]
ANSWER = "message 1 read: äöü 漢字 🙂 and so on"
PARAMETERS = {"type": "object", "properties": {"step": {"type": "integer"}}}
OPENAI_TOOLS: list[Any] = [{"type": "function", "function": {"name": "look_up", "parameters": PARAMETERS}}]
ANTHROPIC_TOOLS: list[Any] = [{"name": "look_up", "input_schema": PARAMETERS}]


class Behind:
    """A gateway on a real server before an endpoint on another one."""

    def __init__(self, deployment: Deployment, policy: str = ROOMY, *, base: str = "", **options: Any) -> None:
        self.upstream = Upstream()
        self.upstream_url = options.pop("upstream", "") or deployment.serve(self.upstream)
        self.app = gateway(self.upstream_url + base, load(policy), **options)
        client = options.get("client")
        self.url = deployment.serve(self.app if client is None else closing(self.app, client))
        self.port = int(self.url.rpartition(":")[2])

    def sent(self) -> dict[str, str]:
        """The headers of the last request that reached the endpoint."""
        return {name.decode(): value.decode() for name, value in self.upstream.calls[-1].headers}


def closing(app: Any, client: httpx.AsyncClient) -> Any:
    """The app, with the end of a client that isn't its own to close."""

    async def whole(scope: Any, receive: Any, send: Any) -> None:
        async def noted(message: Any) -> None:
            if message["type"] == "lifespan.shutdown.complete":
                await client.aclose()
            await send(message)

        await app(scope, receive, noted)

    return whole


@pytest.fixture
def started(http: str, tmp_path: Path) -> Iterator[Deployment]:
    deployment = Deployment("starlette", http, tmp_path)
    yield deployment
    deployment.close()


@pytest.fixture(params=["h11", "httptools"])
def http(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def behind(started: Deployment) -> Callable[..., Behind]:
    return lambda *parts, **options: Behind(started, *parts, **options)


# -- the SDKs ----------------------------------------------------------------------------------------------------------


def openai_at(url: str, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key="sk-e2e", **{"max_retries": 0, "timeout": 20, **options})


def test_the_openai_client_reads_answers_and_streams_through_it(started: Deployment) -> None:
    """An answer and a stream arrive as without a gateway, and the model gets the very bytes that the client sent."""
    with openai_at(started.serve(gateway(started.bare(), load(ROOMY)))) as api:
        whole = api.chat.completions.create(model="demo", messages=QUESTION, max_tokens=50)
        assert whole.choices[0].message.content == ANSWER
        stream = api.chat.completions.create(model="demo", messages=QUESTION, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == ANSWER
        assert [json.loads(body)["messages"] for body in started.model.received] == [QUESTION, QUESTION]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_loop_of_the_openai_client_runs_to_its_end(started: Deployment, streamed: bool) -> None:
    """Five calls with their results, and then the answer."""
    messages = list(QUESTION)
    steps = []
    with openai_at(started.serve(gateway(started.bare(), load(ROOMY)))) as api:
        for _ in range(STEPS + 1):
            if streamed:
                with api.chat.completions.stream(model="demo", messages=messages, tools=OPENAI_TOOLS) as stream:
                    said = stream.get_final_completion().choices[0].message
            else:
                said = (
                    api.chat.completions.create(model="demo", messages=messages, tools=OPENAI_TOOLS).choices[0].message
                )  # type: ignore[assignment]
            if not said.tool_calls:
                break
            messages.append(said.model_dump(exclude_none=True))
            for call in said.tool_calls:
                steps.append(json.loads(call.function.arguments)["step"])  # type: ignore[union-attr]
                messages.append({"role": "tool", "tool_call_id": call.id, "content": "done"})
    assert steps == list(range(STEPS))
    assert said.content is not None


@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_loop_of_the_anthropic_client_runs_to_its_end(started: Deployment, streamed: bool) -> None:
    """Likewise, in its own dialect."""
    messages = list(QUESTION)
    steps = []
    url = started.serve(gateway(started.bare(), load(ROOMY)))
    with anthropic.Anthropic(base_url=url, api_key="sk-e2e", max_retries=0, timeout=20) as api:
        for _ in range(STEPS + 1):
            asked: dict[str, Any] = {"model": "demo", "max_tokens": 50, "messages": messages, "tools": ANTHROPIC_TOOLS}
            if streamed:
                with api.messages.stream(**asked) as stream:
                    said = stream.get_final_message()
            else:
                said = api.messages.create(**asked)
            messages.append({"role": "assistant", "content": [block.model_dump() for block in said.content]})
            used = [block for block in said.content if block.type == "tool_use"]
            if not used:
                break
            steps += [block.input["step"] for block in used]
            results = [{"type": "tool_result", "tool_use_id": block.id, "content": "done"} for block in used]
            messages.append({"role": "user", "content": results})
    assert steps == list(range(STEPS))


def test_a_limit_is_the_sdks_own_error(started: Deployment) -> None:
    """What guard refuses never reaches the upstream, and the client raises what it always raises."""
    policy = 'version = 1\nmode = "enforce"\n[[limit]]\nid = "tight"\nper = ["account"]\nrequests = "1/minute"\n'
    with openai_at(started.serve(gateway(started.bare(), load(policy)))) as api:
        api.chat.completions.create(model="demo", messages=QUESTION)
        with pytest.raises(openai.RateLimitError):
            api.chat.completions.create(model="demo", messages=QUESTION)
    assert len(started.model.received) == 1


@pytest.mark.parametrize(
    ("end", "error"), [("close", openai.InternalServerError), ("hold", openai.InternalServerError)]
)
def test_an_upstream_that_fails_is_the_sdks_own_error(
    started: Deployment, liars: Callable[..., Liar], end: str, error: type[Exception]
) -> None:
    """Gone or silent: the SDK raises its error for a server's fault, and its message names nothing of the upstream."""
    liar = liars(end=end)
    app = gateway(liar.url, load(ROOMY), timeouts=Timeouts(read_s=0.3))
    with openai_at(started.serve(app)) as api, pytest.raises(error) as raised:
        api.chat.completions.create(model="demo", messages=QUESTION)
    assert "127.0.0.1" not in str(raised.value)
    assert str(liar.url.rpartition(":")[2]) not in str(raised.value)


# -- up ----------------------------------------------------------------------------------------------------------------


def test_the_upstream_sees_its_own_host_and_the_clients_headers(behind: Callable[..., Behind]) -> None:
    """Host is the upstream's, nothing is made up, what belongs to one connection stays there."""
    one = behind()
    assert (
        ask_once(one.port, ASK, ("x-own", "kept"), ("te", "trailers"), ("keep-alive", "timeout=9"), key="sk-a").status
        == 200
    )
    sent = one.sent()
    assert sent["host"] == one.upstream_url.removeprefix("http://")
    assert (sent["x-own"], sent["authorization"]) == ("kept", "Bearer sk-a")
    assert set(sent) == {"host", "x-own", "authorization", "content-type", "content-length"}


def test_headers_that_connection_names_end_here(behind: Callable[..., Behind]) -> None:
    """Both ways: what a client names, and what the upstream names."""
    one = behind()
    ask_once(one.port, ASK, ("connection", "keep-alive, X-Mine"), ("x-mine", "1"), ("x-other", "2"), key="sk-a")
    assert "x-mine" not in one.sent()
    assert one.sent()["x-other"] == "2"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/files"])
def test_a_body_arrives_byte_for_byte(behind: Callable[..., Behind], path: str) -> None:
    """Whether guard has read it or it streams past; stated length or chunks; compressed as it was; from none to megabytes."""
    one = behind()
    big = json.dumps(ASK | {"user": "x" * 3_000_000}).encode()
    for body, headers in (
        (json.dumps(ASK).encode(), []),
        (big, []),
        (gzip.compress(json.dumps(ASK).encode()), [("content-encoding", "gzip")]),
    ):
        assert ask_once(one.port, body, *headers, path=path, key="sk-a").status == 200
        assert one.upstream.calls[-1].body == body
        assert one.sent().get("content-encoding") == (headers[0][1] if headers else None)
        pieces = b"".join(
            b"%x\r\n%b\r\n" % (len(body[at : at + 70_000]), body[at : at + 70_000])
            for at in range(0, len(body), 70_000)
        )
        with Wire(one.port) as wire:
            wire.send(request(b"", *headers, ("transfer-encoding", "chunked"), path=path, length=False, key="sk-a"))
            assert wire.send(pieces + b"0\r\n\r\n").answer().status == 200
        assert one.upstream.calls[-1].body == body


def test_the_upstreams_own_path_stands_before_every_request(behind: Callable[..., Behind]) -> None:
    """And the query goes along as it was written."""
    one = behind(base="/base/")
    assert ask_once(one.port, b"", method="GET", path="/things/a%2Fb?x=1&y=a%20b&x=2").status == 200
    assert one.upstream.calls[-1].path == "/base/things/a/b"


def test_methods_without_a_body_pass(behind: Callable[..., Behind]) -> None:
    """GET, HEAD, DELETE and OPTIONS reach the endpoint; a HEAD's answer has a length and no body."""
    one = behind()
    for method in ("GET", "DELETE", "OPTIONS"):
        assert ask_once(one.port, b"", method=method, path="/things", length=False).status == 200
    assert (
        httpx.head(f"{one.url}/things").headers["content-length"]
        == httpx.get(f"{one.url}/things").headers["content-length"]
    )
    assert len(one.upstream.calls) == 5


def test_any_httpx_client_may_be_given(started: Deployment) -> None:
    """Plain httpx works as well: its hooks run, and neither its headers nor its cookies are added."""
    seen = []

    async def hook(sent: httpx.Request) -> None:
        seen.append(sent.url.path)

    client = httpx.AsyncClient(headers={"x-client": "own"}, cookies={"own": "1"}, event_hooks={"request": [hook]})
    one = Behind(started, client=client)
    assert ask_once(one.port, ASK, key="sk-a").status == 200
    big = b"x" * 1_000_000
    assert ask_once(one.port, big, path="/files", key="sk-a").status == 200
    assert one.upstream.calls[-1].body == big
    assert seen == ["/v1/chat/completions", "/files"]
    assert not {"x-client", "cookie", "user-agent", "accept-encoding"} & set(one.sent())


# -- down --------------------------------------------------------------------------------------------------------------


def test_an_answer_arrives_as_it_was_sent(behind: Callable[..., Behind], liars: Callable[..., Liar]) -> None:
    """Status, headers (repeated ones too) and body; of the date and the server's name there is one."""
    body = b'{"detail":"gone"}'
    headers = [("Content-Type", "application/json"), ("Content-Length", len(body)), ("X-A", "1"), ("X-A", "2")]
    headers += [
        ("Date", "yesterday"),
        ("Server", "secret/1.0"),
        ("Keep-Alive", "timeout=5"),
        ("Connection", "x-b"),
        ("X-B", "3"),
    ]
    one = behind(upstream=liars(answer(body, *headers, status="410 Gone")).url)
    got = httpx.get(f"{one.url}/things")
    assert (got.status_code, got.content) == (410, body)
    assert got.headers.get_list("x-a") == ["1", "2"]
    assert len(got.headers.get_list("date")) == 1
    assert "yesterday" not in got.headers["date"]
    assert "secret" not in got.headers.get("server", "")
    assert not {"keep-alive", "x-b"} & set(got.headers)


def test_a_compressed_stream_is_not_touched(behind: Callable[..., Behind]) -> None:
    """It is the client's to decode: the bytes are those that the endpoint sent."""
    one = behind()
    got = httpx.post(f"{one.url}/v1/chat/completions", json=ASK, headers=dict([play(events=5, compress=True)]))
    assert got.headers["content-encoding"] == "gzip"
    assert got.text.count("data: ") == 6
    assert "[DONE]" in got.text


def test_each_event_leaves_as_it_comes(behind: Callable[..., Behind]) -> None:
    """The third event is there while the endpoint still holds the fourth back."""
    one = behind()
    with Wire(one.port) as wire:
        wire.send(request(ASK, play(events=8, hold=True, hold_at=3), key="sk-a"))
        heard = wire.until(b"\r\n\r\n")
        while heard.count(b"data: ") < 3:
            heard += wire.socket.recv(65_536)
        assert heard.count(b"data: ") == 3
        ask_once(int(one.upstream_url.rpartition(":")[2]), b"", path="/release")
        heard += wire.until(b"[DONE]")
        assert heard.count(b"data: ") == 9


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("{upstream}/base/v1/models/", "/v1/models/"),
        ("{upstream}/base?x=1", "/?x=1"),
        ("{upstream}/base", "/"),
        ("{upstream}/basement", "{upstream}/basement"),
        ("/elsewhere", "/elsewhere"),
        ("https://other.example/x", "https://other.example/x"),
    ],
)
def test_a_redirect_is_handed_on_and_never_followed(
    started: Deployment, liars: Callable[..., Liar], location: str, expected: str
) -> None:
    """One that names the upstream itself leads back through guard."""
    liar = liars()
    liar.says = [
        answer(b"", ("Location", location.format(upstream=liar.url)), ("Content-Length", 0), status="307 Away")
    ]
    one = Behind(started, upstream=liar.url, base="/base")
    got = httpx.get(f"{one.url}/v1/models")
    assert (got.status_code, got.headers["location"]) == (307, expected.format(upstream=liar.url))
    assert len(liar.heard) == 1


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_answers_without_a_body_end(started: Deployment, liars: Callable[..., Liar], status: str) -> None:
    """Also where the upstream states the length of what it doesn't send."""
    one = Behind(started, upstream=liars(answer(b"", ("ETag", '"a"'), ("Content-Length", 5), status=status)).url)
    got = httpx.get(f"{one.url}/things")
    assert (got.status_code, got.headers["etag"], got.content) == (int(status[:3]), '"a"', b"")


# -- leaving and ending ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/things"])
def test_the_upstream_is_cancelled_within_a_second_of_the_client_leaving(
    behind: Callable[..., Behind], streamed: bool, path: str
) -> None:
    """Before the answer has begun and in its middle; on a protected route its slot comes back as well."""
    one = behind()
    script = play(events=8, hold=True, hold_at=3) if streamed else play(hold=True)
    with Wire(one.port) as wire:
        wire.send(request(ASK, script, path=path, key="sk-a"))
        until(lambda: one.upstream.running == 1)
        if streamed:
            wire.until(b"data: ")
        wire.abort()
        assert until(lambda: one.upstream.running == 0) < 1.0
    until(lambda: slots_in_use(one.app.guard) == 0)


def test_the_upstream_is_cancelled_when_a_client_leaves_in_the_middle_of_its_body(
    behind: Callable[..., Behind], liars: Callable[..., Liar]
) -> None:
    """A body that streams past breaks off at the upstream too."""
    liar = liars(end="hold")
    one = behind(upstream=liar.url)
    with Wire(one.port) as wire:
        wire.send(request(b"", ("content-length", "1000"), path="/files", length=False) + b"half")
        until(lambda: liar.connections == 1)
        wire.abort()
    until(lambda: bool(liar.heard), 1.0)
    assert b"half" in liar.heard[0]


@pytest.mark.anyio
async def test_a_cancelled_request_is_cancelled() -> None:
    """A server that cancels a request (at the end of its patience) is obeyed: only the client's own leaving is swallowed."""
    begun = asyncio.Event()

    async def never(sent: httpx.Request) -> httpx.Response:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    app = gateway("http://upstream.test", load(ROOMY), httpx.MockTransport(never), clock=ManualClock())
    task = asyncio.create_task(Connection(app, http_scope(path="/things", method="GET")).run())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# -- probes ------------------------------------------------------------------------------------------------------------


def test_probes_answer_without_upstream_and_are_never_sent_on(started: Deployment, liars: Callable[..., Liar]) -> None:
    """Also where every path is protected and nobody listens at the upstream; other spellings are not found, not sent on."""
    liar = liars()
    policy = ROOMY + '[protect]\nroutes = ["/v1/*"]\n'
    one = Behind(started, policy, upstream=liar.url)
    for path in ("/healthz", "/readyz"):
        assert httpx.get(one.url + path).json() == {"status": "ok"}
        assert httpx.head(one.url + path).status_code == 200
        assert httpx.post(one.url + path).status_code == 405
    for path in ("//healthz", "/HEALTHZ", "/healthz/", "/%68ealthz", "/x;y/..%2fhealthz"):
        assert ask_once(one.port, b"", method="GET", path=path, length=False).status in {200, 400, 404}
    assert liar.heard == []


def test_readiness_ends_with_draining() -> None:
    """A gateway that is about to end says so to the balancer, and is alive all the same."""
    app = gateway("http://upstream.test", load(ROOMY), httpx.MockTransport(lambda _: httpx.Response(200)))

    async def probe(path: str) -> int:
        return (await Connection(app, http_scope(path=path, method="GET")).run()).status

    assert asyncio.run(probe("/readyz")) == 200
    app.draining = True
    assert (asyncio.run(probe("/readyz")), asyncio.run(probe("/healthz"))) == (503, 200)


def test_probes_can_be_named_and_left_out(behind: Callable[..., Behind]) -> None:
    """Then their usual paths are paths like all others."""
    one = behind(probes=Probes("/live", ""))
    assert httpx.get(f"{one.url}/live").json() == {"status": "ok"}
    assert httpx.get(f"{one.url}/readyz").status_code == 200
    assert [call.path for call in one.upstream.calls] == ["/readyz"]


@pytest.mark.parametrize(
    "probes", [Probes("healthz"), Probes("/v1/chat/completions"), Probes("/healthz", "/v1//Messages")]
)
def test_a_probe_on_a_protected_route_is_a_mistake(probes: Probes) -> None:
    """It would hide an endpoint, or be no path at all."""
    with pytest.raises(InstallError, match="must be a path of its own"):
        gateway("http://upstream.test", load(ROOMY), probes=probes)


# -- the operator's own credential ---------------------------------------------------------------------------------------

KNOWN = ROOMY + '[identity]\ndescribe = "guard.demo.accounts:describe"\n'
SECRET = ((b"authorization", b"Bearer upstream-secret"),)


def test_the_operators_credential_replaces_the_clients(started: Deployment, caplog: pytest.LogCaptureFixture) -> None:
    """The upstream sees the operator's key alone, whichever door the client's came by; no log has either."""
    caplog.set_level(logging.DEBUG)
    one = Behind(started, KNOWN, credential=SECRET)
    for door in (("x-api-key", "sk-demo-ada"), ("authorization", "Bearer sk-demo-ada")):
        got = ask_once(one.port, ASK, door, ("cookie", "session=ada"), path="/v1/chat/completions?key=sk-demo-ada&x=1")
        assert got.status == 200
        assert one.sent()["authorization"] == "Bearer upstream-secret"
        assert not any("ada" in name + value for name, value in one.sent().items())
    assert "upstream-secret" not in caplog.text
    assert "sk-demo-ada" not in caplog.text


@pytest.mark.parametrize("mode", ["off", "observe", "enforce"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/things"])
def test_nobody_else_may_use_it(started: Deployment, mode: str, path: str) -> None:
    """Strangers and those without any credential get a 401 on every path and in every mode, and never become known."""
    one = Behind(started, KNOWN.replace('"enforce"', f'"{mode}"'), credential=SECRET)
    for _ in range(3):
        assert ask_once(one.port, ASK, path=path, key="sk-stranger").status == 401
        assert ask_once(one.port, ASK, path=path).status == 401
    assert one.upstream.calls == []
    assert ask_once(one.port, ASK, path=path, key="sk-demo-ada").status == 200


def test_it_needs_somebody_who_knows_the_clients() -> None:
    """Without a callable it is a mistake to start, unless anyone is meant."""
    with pytest.raises(InstallError, match="describe"):
        gateway("http://upstream.test", load(ROOMY), credential=SECRET)
    assert isinstance(gateway("http://upstream.test", load(ROOMY), credential=SECRET, anyone=True), Gateway)


@pytest.mark.anyio
async def test_a_callable_that_fails_lets_nobody_in() -> None:
    """503, and nothing is sent on: who is asking could not be told."""
    sent = []

    def broken(_: str) -> None:
        raise RuntimeError("the shop is closed")

    policy = load(KNOWN)
    identity = type(policy.identity)(describe=broken)
    policy = type(policy)(
        **{name: getattr(policy, name) for name in policy.__slots__ if name != "identity"}, identity=identity
    )
    app = gateway(
        "http://upstream.test",
        policy,
        httpx.MockTransport(lambda r: sent.append(r) or httpx.Response(200)),
        credential=SECRET,
    )  # type: ignore[func-returns-value]
    connection = Connection(
        app, http_scope(path="/things", method="GET", headers=[("authorization", "Bearer sk-demo-ada")])
    )
    assert (await connection.run()).status == 503
    assert sent == []


# -- the upstream's address ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["", "host:80", "ftp://host", "http://", "http://host:99999", "http://host/?x=1", "http://host/#x", "http://host/a/../b",
     "http://host/a%2e%2e/..%2f", "http://u:secret-word@host", "http://host/a b"],
)  # fmt: skip
def test_an_upstream_that_is_no_plain_address_is_a_mistake(url: str) -> None:
    """It is named, without a credential that stands in it."""
    with pytest.raises(InstallError) as raised:
        gateway(url, load(ROOMY))
    assert "secret-word" not in str(raised.value)


@pytest.mark.parametrize("url", ["http://host", "https://host:8443/", "http://[::1]:80/base/", "http://host/a/b%20c"])
def test_plain_addresses_are_taken(url: str) -> None:
    """With or without a port and a path."""
    assert isinstance(gateway(url, load(ROOMY)), Gateway)


@pytest.mark.anyio
async def test_a_body_that_was_made_shorter_has_its_own_length(started: Deployment) -> None:
    """What stands between server and upstream may rewrite a body, large ones too; the length that is stated is the body's."""
    upstream = Upstream()
    app = gateway(started.serve(upstream), load(ROOMY), probes=Probes("", ""))
    for size in (10, 1_000_000):
        scope = http_scope(path="/files", headers=[("content-length", str(size * 2))])
        assert (await Connection(app, scope, [b"x" * size]).run()).status == 200
        assert len(upstream.calls[-1].body) == size
    # HTTP/2 needs neither a length nor chunks.
    scope = http_scope(path="/files", http_version="2")
    assert (await Connection(app, scope, [b"one", b"two"]).run()).status == 200
    assert upstream.calls[-1].body == b"onetwo"
    await app.guard.app._own.aclose()  # type: ignore[attr-defined]
