"""SECURITY A2, A10 and A11 where they concern a gateway, on real servers: smuggling, steering, upstreams that lie.

The numbers are those of the catalogue. Everything is said over raw sockets, to both of uvicorn's parsers.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.config import load
from guard.errors import BadExchange
from guard.forwarding import Forwarding, upstream_of
from guard.gateway import gateway
from guard.paths import canonical
from guard.upstream import Timeouts
from tests.attacks.inside import slots_in_use, used
from tests.attacks.liar import Liar, answer
from tests.attacks.upstream import Upstream
from tests.attacks.wire import ASK, CHAT, Answer, Wire, ask_once, at_once, encoded, play, request
from tests.e2e.conftest import Deployment
from tests.patience import PATIENCE_S, until

pytestmark = pytest.mark.uvicorn

POLICY = """
version = 1
mode = "enforce"
[[limit]]
id = "free"
per = ["account"]
requests = "100000/day"
concurrent = 1000
[body]
timeout = "500 ms"
"""
JSON = b"content-type: application/json\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n"


class Front:
    """A gateway before an endpoint that remembers, or before one that lies."""

    def __init__(self, deployment: Deployment, policy: str = POLICY, upstream: str = "", **options: Any) -> None:
        self.upstream = Upstream()
        self.address = upstream or deployment.serve(self.upstream)
        self.app = gateway(self.address, load(policy), **options)
        self.port = int(deployment.serve(self.app).rpartition(":")[2])

    def raw(self, data: bytes) -> Answer:
        with Wire(self.port) as wire:
            return wire.send(data).answer()

    def sent(self) -> dict[str, str]:
        return {name.decode(): value.decode("latin-1") for name, value in self.upstream.calls[-1].headers}


@pytest.fixture
def deployment(http: str, tmp_path: Path) -> Iterator[Deployment]:
    running = Deployment("none", http, tmp_path)
    yield running
    running.close()


@pytest.fixture
def front(deployment: Deployment) -> Callable[..., Front]:
    return lambda *parts, **options: Front(deployment, *parts, **options)


# -- 22 to 24: where a request goes ---------------------------------------------------------------------------------------

SPELLINGS = [
    "//v1//chat/completions", "/v1/./chat/completions", "/v1/x/../chat/completions", "/v1/%2e/chat/completions",
    "/v1/x/%2e%2e/chat/completions", "/v1/x/%2E./chat/completions", "/v1%2Fchat%2Fcompletions", "/v1%2fchat/completions",
    "/v1/chat/completions;a=b", "/v1;x/chat/completions", "/v1/chat/completions/", "/v1/chat/completions%00", "/V1/Chat/COMPLETIONS",
    "/v1/chat/completions%ff", "/%76%31/chat/completions", "/%2576%2531/chat/completions", "/v1/%252e%252e/v1/chat/completions",
    "/v1%252fchat%252fcompletions", "/v1/chat%20/completions", "/v1/chat/completions%09", "/v1\\chat\\completions", "/v1%5cchat%5ccompletions",
    "/v1/..%5c/v1/chat/completions", "/v1%EF%BC%8Fchat%EF%BC%8Fcompletions", "/v1/chat/completions%23x", "/v1/chat/completions#x",
    "/v1/chat/completions?", "/v1/chat/completions?#x", "/v1/chat/completions??", "/x/../v1/chat/completions", "/../v1/chat/completions",
    "/..;/v1/chat/completions", "/.%2e/v1/chat/completions", "/%2e%2e%2fv1/chat/completions", "/x/..;a=b/v1/chat/completions",
    "/v1/chat/completions/.", "/v1/chat/completions/x/..", "/v1/chat/completions%2f", "/v1/chat/completions%3f", "/v1/chat/completions%3bx",
    "/v1/chat/completions%", "/v1/chat/completions%2", "/v1/chat/completions%zz", "/v1/cha%74/completions", "/v1/chat/completions%0d%0ax",
    "/v1/chat//completions", "///v1/chat/completions", "/./v1/chat/completions", "/v1/chat/completions%E2%80%8B", "/v1/chat/compl%C4%B1ons",
    "/v1/chat/completions|x", "/v1/{chat}/completions", "/v1/chat/completions%252500", "/%2f/v1/chat/completions", "/v1/chat/completions,",
    "/v1/chat/completions:x", "/v1/~/chat/completions", "/v1/chat/%63ompletions", "/v1/c%68at/completions?x=%00", "/v1/chat/completions?a=b%0d%0a",
]  # fmt: skip


def test_22_every_spelling_is_metered_or_refused(front: Callable[..., Front]) -> None:
    """What reaches the upstream on the path of a protected route, however it is read, has been charged; nothing is a 5xx."""
    one = front()
    ask_once(one.port, ASK, key="sk-a")
    for spelling in SPELLINGS:
        before, charged = len(one.upstream.calls), used(one.app.guard, "requests")
        try:
            status = ask_once(one.port, ASK, path=spelling.encode("latin-1"), key="sk-a").status
        except (ConnectionError, OSError):
            status = 400
        assert status < 500, spelling
        reached = one.upstream.calls[before:]
        assert status < 400 or not reached, spelling
        for call in reached:
            metered = used(one.app.guard, "requests") - charged > 0.5
            assert metered == (canonical(call.path) == CHAT), spelling
            assert ".." not in call.path


@settings(max_examples=300, deadline=None)
@given(st.text("/.%2eEfF5cC;\\vV1chatompletions?#@: ", min_size=1, max_size=40))
def test_22_what_is_sent_is_what_was_judged(path: str) -> None:
    """Whatever is sent on has, once sent and read again, the canonical path that was judged, below the upstream's own."""
    from urllib.parse import unquote

    import httpx
    import yarl

    raw = ("/" + path).partition("?")[0].encode("latin-1")
    judged = unquote(raw.decode())
    try:
        url = Forwarding(upstream_of("http://up.test/base")).target(
            {"path": judged, "raw_path": raw, "query_string": b""}
        )
    except BadExchange:
        return
    for sent in (yarl.URL(str(httpx.URL(url))), yarl.URL(url)):
        assert sent.host == "up.test"
        assert sent.raw_path.startswith("/base/")
        assert canonical(sent.raw_path.removeprefix("/base")) == canonical(judged)


def test_22_the_upstreams_own_path_can_not_be_left(front: Callable[..., Front], liars: Callable[..., Liar]) -> None:
    """Below `/tenant` everything that is sent on stays below it."""
    liar = liars(answer(b"{}", ("content-length", 2), ("connection", "close")))
    one = front(upstream=f"{liar.url}/tenant")
    for path in (
        "/../admin",
        "/%2e%2e/admin",
        "/x/..%2f..%2fadmin",
        "/..;/admin",
        "//other.example/x",
        "/\\..\\admin",
        "/%252e%252e/admin",
    ):
        ask_once(one.port, b"", method="GET", path=path, length=False)
    assert liar.heard
    assert all(heard.startswith(b"GET /tenant/") for heard in liar.heard)
    assert not any(b"admin" in heard for heard in liar.heard)


@pytest.mark.parametrize(
    "target", ["http://evil.example/v1/chat/completions", "http://evil.example:1/admin", "http://x@evil.example/admin"]
)
def test_23_and_160_an_absolute_target_goes_nowhere_else(front: Callable[..., Front], target: str) -> None:
    """Both parsers: it is the path at our one upstream, judged as such, whatever host it names."""
    one = front()
    got = ask_once(one.port, ASK, path=target, key="sk-a")
    assert got.status == 200
    assert one.upstream.calls[-1].path == "/" + target.split("/", 3)[3]
    assert one.sent()["host"] == one.address.removeprefix("http://")
    assert (used(one.app.guard, "requests") > 0.5) == target.endswith(CHAT) if "chat" in target else True


@pytest.mark.parametrize("host", ["evil.example", "localhost/#@x", "a/health?", "127.0.0.1:1", "x" * 2000])
def test_24_and_160_host_does_not_steer(front: Callable[..., Front], host: str) -> None:
    """The upstream's Host is its own, or the request is refused."""
    one = front()
    head = b"GET /things HTTP/1.1\r\nhost: " + host.encode() + b"\r\nx-forwarded-host: " + host.encode() + b"\r\n\r\n"
    assert one.raw(head).status in {200, 400}
    for _ in one.upstream.calls:
        assert one.sent()["host"] == one.address.removeprefix("http://")
        assert "x-forwarded-host" not in one.sent()


def test_160_a_body_does_not_steer(front: Callable[..., Front]) -> None:
    """`base_url` and the like are data."""
    one = front()
    body = ASK | {"base_url": "http://evil.example", "api_base": "http://evil.example"}
    assert ask_once(one.port, body, key="sk-a").status == 200
    assert one.upstream.calls[-1].body == encoded(body)


# -- 5, 17, 21: headers that claim -------------------------------------------------------------------------------------------


def test_5_and_17_nobody_claims_where_he_comes_from(front: Callable[..., Front]) -> None:
    """Forwarding headers and guard's own, in every spelling, on protected routes and others, end here."""
    one = front()
    claims = (
        "x-forwarded-for",
        "X_Forwarded_For",
        "forwarded",
        "x-real-ip",
        "X_REAL_IP",
        "x-forwarded-proto",
        "x-guard-account",
        "X_Guard_Band",
    )
    for path in (CHAT, "/things"):
        assert ask_once(one.port, ASK, *((name, "203.0.113.9") for name in claims), path=path, key="sk-a").status == 200
        assert "203.0.113.9" not in one.sent().values()


def test_5_a_declared_hop_may_say_so(front: Callable[..., Front]) -> None:
    """And then it is handed on."""
    one = front(POLICY + '[trust]\nhops = ["127.0.0.0/8"]\naddress = "x-forwarded-for"\n')
    for path in (CHAT, "/things"):
        assert ask_once(one.port, ASK, ("x-forwarded-for", "203.0.113.9"), path=path, key="sk-a").status == 200
        assert one.sent()["x-forwarded-for"] == "203.0.113.9"


@pytest.mark.parametrize(
    "named", ["authorization", "X-Api-Key", "content-length", "host", "x-forwarded-for", "Content-Encoding"]
)
@pytest.mark.parametrize("path", [CHAT, "/things"])
def test_21_connection_takes_nobodys_credential_off(front: Callable[..., Front], path: str, named: str) -> None:
    """Refused, and nothing reaches the upstream."""
    one = front()
    assert ask_once(one.port, ASK, ("connection", f"close, {named}"), path=path, key="sk-a").status == 400
    assert one.upstream.calls == []


# -- 29 to 32: methods and upgrades ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["TRACE", "FOOBAR", "post", "CONNECT", "PROPFIND", "TRACK"])
@pytest.mark.parametrize("path", [CHAT, "/things"])
def test_29_other_methods_end_here(front: Callable[..., Front], path: str, method: str) -> None:
    """TRACE above all: it would send the operator's credential back to whoever asks."""
    one = front()
    with contextlib.suppress(ConnectionError):  # the parser may hang up
        got = ask_once(one.port, b"", ("x-http-method-override", "POST"), method=method, path=path, length=False)
        assert got.status in {400, 405}
    assert one.upstream.calls == []


@pytest.mark.parametrize("path", [CHAT, "/v1/realtime", "/things"])
def test_31_websockets_are_refused(front: Callable[..., Front], path: str) -> None:
    """On every path."""
    one = front()
    upgrade = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ]
    assert ask_once(one.port, b"", *upgrade, method="GET", path=path, length=False).status in {403, 405}
    assert one.upstream.calls == []


def test_39_h2c_is_ignored(front: Callable[..., Front]) -> None:
    """The request goes on as what it is, without the offer."""
    one = front()
    offer = [
        ("connection", "Upgrade, HTTP2-Settings"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAMAAABkAAQCAAAAAAIAAAAA"),
    ]
    assert ask_once(one.port, b"", *offer, method="GET", path="/things", length=False).status == 200
    assert not {"upgrade", "http2-settings", "connection"} & set(one.sent())


# -- 35 to 38: frames that can be read in two ways ------------------------------------------------------------------------------

FRAMES = {
    "length and chunks": (b"content-length: 5\r\ntransfer-encoding: chunked\r\n", b"0\r\n\r\n" + SMUGGLED),
    "chunks and length": (b"transfer-encoding: chunked\r\ncontent-length: 4\r\n", b"5c\r\n" + SMUGGLED + b"0\r\n\r\n"),
    "two lengths": (b"content-length: 0\r\ncontent-length: 38\r\n", SMUGGLED),
    "lengths in one": (b"content-length: 0, 38\r\n", SMUGGLED),
    "signed": (b"content-length: +2\r\n", b"{}" + SMUGGLED),
    "hexadecimal": (b"content-length: 0x2\r\n", b"{}" + SMUGGLED),
    "blank inside": (b"content-length: 3 8\r\n", SMUGGLED),
    "xchunked": (b"transfer-encoding: xchunked\r\n", b"0\r\n\r\n" + SMUGGLED),
    "gzip, chunked": (b"transfer-encoding: gzip, chunked\r\n", b"0\r\n\r\n" + SMUGGLED),
    "chunked twice": (b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", b"0\r\n\r\n" + SMUGGLED),
    "chunked, identity": (b"transfer-encoding: chunked, identity\r\n", b"0\r\n\r\n" + SMUGGLED),
    "space before colon": (b"transfer-encoding : chunked\r\ncontent-length: 2\r\n", b"{}" + SMUGGLED),
    "folded": (b"transfer-encoding:\r\n chunked\r\ncontent-length: 2\r\n", b"{}" + SMUGGLED),
    "underscored": (b"transfer_encoding: chunked\r\ncontent-length: 2\r\n", b"{}"),
    "bare line feed": (b"content-length: 2\nx-y: 1\r\n", b"{}"),
    "bare return": (b"x-y: 1\rtransfer-encoding: chunked\r\ncontent-length: 2\r\n", b"{}"),
    "nul": (b"x-y: a\0b\r\ncontent-length: 2\r\n", b"{}"),
    "bad end of chunk": (b"transfer-encoding: chunked\r\n", b"2\r\n{}XX0\r\n\r\n" + SMUGGLED),
    "chunk with bare feed": (b"transfer-encoding: chunked\r\n", b"2\n{}\n0\n\n" + SMUGGLED),
    "chunk extension with feed": (b"transfer-encoding: chunked\r\n", b"2;a\n{}\r\n0\r\n\r\n" + SMUGGLED),
    "huge chunk": (b"transfer-encoding: chunked\r\n", b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
    "negative chunk": (b"transfer-encoding: chunked\r\n", b"-2\r\n{}\r\n0\r\n\r\n"),
}


# A path whose bodies are not read, so that the frame alone decides.
FLAT = POLICY + '[protect]\nroutes = [{ path = "/v1/flat", flat = 5 }]\n'


def framed(port: int, path: str, headers: bytes, body: bytes) -> None:
    with Wire(port, 3.0) as wire:
        wire.send(b"POST " + path.encode() + b" HTTP/1.1\r\nhost: x\r\n" + JSON + headers + b"\r\n" + body)
        with contextlib.suppress(OSError, HTTPException):
            wire.answer()


@pytest.mark.parametrize("path", ["/v1/flat", "/files"])
def test_35_to_37_a_sound_frame_arrives(front: Callable[..., Front], liars: Callable[..., Liar], path: str) -> None:
    """Else nothing would be smuggled because nothing is let through."""
    liar = liars(answer(b"{}", ("content-length", 2)))
    one = front(FLAT, upstream=liar.url)
    framed(one.port, path, b"content-length: 2\r\n", b"{}")
    framed(one.port, path, b"transfer-encoding: chunked\r\n", b"2\r\n{}\r\n0\r\n\r\n")
    assert len(liar.heard) == 2


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("path", ["/v1/flat", "/files"])
def test_35_to_37_no_request_is_smuggled(
    front: Callable[..., Front], liars: Callable[..., Liar], path: str, name: str
) -> None:
    """The upstream hears one well-framed request with exactly one frame, or nothing; never a second one inside it."""
    headers, body = FRAMES[name]
    liar = liars(answer(b"{}", ("content-length", 2)))
    framed(front(FLAT, upstream=liar.url).port, path, headers, body)
    for heard in liar.heard:
        head, _, sent = heard.lower().partition(b"\r\n\r\n")
        if head.startswith(b"get /smuggled"):
            # What stood behind a whole request was a second one, for everybody alike, and went its own way.
            assert (
                b"content-length: 2\r\n" in headers + b"\r\n"
                or b"content-length: 0" in headers
                or b"chunked" in headers
            )
            continue
        assert head.count(b"content-length") + head.count(b"transfer-encoding") == 1
        assert b"smuggled" not in sent or head.count(b"content-length: %d" % len(sent)) == 1


def test_38_pipelined_requests_are_judged_one_by_one(front: Callable[..., Front]) -> None:
    """The second one's credential is its own."""
    one = front(POLICY + '[identity]\nanonymous = "refuse"\n')
    with Wire(one.port) as wire:
        wire.send(request(ASK, key="sk-a") + request(ASK) + request(ASK, key="sk-b"))
        heard = b""
        while heard.count(b"HTTP/1.1 ") < 3:
            heard += wire.socket.recv(65_536)
    assert [int(said[:3]) for said in heard.split(b"HTTP/1.1 ")[1:]] == [200, 401, 200]
    assert [dict(call.headers)[b"authorization"] for call in one.upstream.calls] == [b"Bearer sk-a", b"Bearer sk-b"]


# -- 40 to 43: slow, large, gone -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [CHAT, "/things"])
def test_40_rapid_aborts_leave_nothing_running(front: Callable[..., Front], path: str) -> None:
    """Two hundred clients ask and hang up: within a second no work is left at the upstream, and every slot is back."""
    one = front()
    wires = at_once(one.port, [request(ASK, play(hold=True), path=path, key=f"sk-{n}") for n in range(200)])
    until(lambda: one.upstream.running == 200)
    for wire in wires:
        wire.abort()
    assert until(lambda: one.upstream.running == 0) < 1.0
    until(lambda: slots_in_use(one.app.guard) == 0)
    assert ask_once(one.port, ASK, path=path, key="sk-z").status == 200


@pytest.mark.parametrize(
    "headers", [[("x-big", "a" * 40_000)], [(f"x-{n}", "1") for n in range(400)]], ids=["long", "many"]
)
@pytest.mark.parametrize("path", [CHAT, "/things"])
def test_41_oversized_headers(front: Callable[..., Front], path: str, headers: list[Any]) -> None:
    """guard's own bounds hold on every path."""
    one = front()
    assert ask_once(one.port, ASK, *headers, path=path, key="sk-a").status == 431
    assert one.upstream.calls == []


def test_41_oversized_targets(front: Callable[..., Front]) -> None:
    """A path and a query have their bound too."""
    one = front()
    for path in ("/x" + "a" * 20_000, "/x?" + "a" * 20_000):
        assert ask_once(one.port, b"", method="GET", path=path, length=False).status in {400, 414}
    assert one.upstream.calls == []


@pytest.mark.parametrize("path", [CHAT, "/files"])
@pytest.mark.parametrize("start", [b"", b"half"], ids=["silent", "stalled"])
def test_42_and_43_a_body_that_stops_coming_has_a_deadline(
    front: Callable[..., Front], liars: Callable[..., Liar], path: str, start: bytes
) -> None:
    """408 where nothing has been said yet; with or without `Expect: 100-continue`; the upstream is not held."""
    liar = liars(end="hold")
    one = front(upstream=liar.url)
    for expects in ((), (("expect", "100-continue"),)):
        with Wire(one.port) as wire:
            wire.send(request(b"", *expects, ("content-length", "1000"), path=path, length=False) + start)
            if expects:
                assert wire.until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
            assert wire.answer().status == 408
    assert all(b"expect" not in heard.lower() for heard in liar.heard)


def test_43_expect_is_answered_here(front: Callable[..., Front]) -> None:
    """The client is told to go on, its body arrives, and the upstream is not asked again."""
    one = front()
    body = encoded(ASK)
    with Wire(one.port) as wire:
        wire.send(
            request(b"", ("expect", "100-continue"), ("content-length", str(len(body))), length=False, key="sk-a")
        )
        assert wire.until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        assert wire.send(body).answer().status == 200
    assert one.upstream.calls[-1].body == body
    assert "expect" not in one.sent()


# -- upstreams that fail -------------------------------------------------------------------------------------------------------

UNUSABLE = {
    "nothing": (b"", "close"),
    "reset": (b"", "reset"),
    "no HTTP": (b"SSH-2.0-secret\r\n", "close"),
    "half a head": (b"HTTP/1.1 200 OK\r\ncontent-le", "close"),
    "status 999": (answer(b"", ("content-length", 0), status="999 Odd"), "close"),
    "status 20": (answer(b"", ("content-length", 0), status="20 Odd"), "close"),
    "switching": (answer(b"", ("upgrade", "x"), ("connection", "upgrade"), status="101 Switching"), "close"),
    "huge header": (answer(b"", ("x-secret", "a" * 100_000), ("content-length", 0)), "close"),
    "ten thousand headers": (answer(b"", *((f"x-{n}", "1") for n in range(10_000)), ("content-length", 0)), "close"),
    "two lengths": (answer(b"ab", ("content-length", 2), ("content-length", 1)), "close"),
    "length and chunks": (answer(b"0\r\n\r\n", ("content-length", 2), ("transfer-encoding", "chunked")), "close"),
    "negative length": (answer(b"ab", ("content-length", -2)), "close"),
    "control in header": (answer(b"ab", ("x-secret", "a\x01b"), ("content-length", 2)), "close"),
    "line break in header": (b"HTTP/1.1 200 OK\r\nx-a: b\rset-cookie: c\r\ncontent-length: 2\r\n\r\nab", "close"),
}


@pytest.mark.parametrize("name", UNUSABLE)
@pytest.mark.parametrize("path", [CHAT, "/things"])
def test_83_and_143_an_unusable_answer_is_a_502_that_tells_nothing(
    front: Callable[..., Front], liars: Callable[..., Liar], caplog: pytest.LogCaptureFixture, path: str, name: str
) -> None:
    """Every kind of it; the server goes on, no traceback is written, the slot comes back."""
    liar = liars(*filter(None, UNUSABLE[name][:1]), end=UNUSABLE[name][1])
    one = front(upstream=liar.url)
    got = ask_once(one.port, ASK, path=path, key="sk-a")
    assert got.status == 502
    assert got.json()["error"]["type"] == "upstream_error"
    said = str(got) + caplog.text
    assert "secret" not in said
    assert "Traceback" not in caplog.text
    assert "127.0.0.1" not in got.body.decode()
    assert slots_in_use(one.app.guard) == 0


def test_83_nobody_listens(front: Callable[..., Front]) -> None:
    """502, at once."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert ask_once(front(upstream=address).port, ASK, key="sk-a").status == 502


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\n"], ids=["silent", "half a head"])
def test_83_an_upstream_that_hangs_is_a_504(
    front: Callable[..., Front], liars: Callable[..., Liar], said: bytes
) -> None:
    """Within the read timeout; and its connection is given up."""
    liar = liars(*filter(None, [said]), end="hold")
    one = front(upstream=liar.url, timeouts=Timeouts(read_s=0.3))
    got = ask_once(one.port, ASK, key="sk-a")
    assert (got.status, got.json()["error"]["type"]) == (504, "upstream_timeout")
    assert liar.gone.acquire(timeout=PATIENCE_S)
    assert slots_in_use(one.app.guard) == 0


BROKEN = {
    "short of its length": ((answer(b"data: 1\n\n", ("content-length", 100)),), "close"),
    "no last chunk": ((answer(b"9\r\ndata: 1\n\n\r\n", ("transfer-encoding", "chunked")),), "close"),
    "reset": ((answer(b"9\r\ndata: 1\n\n\r\n", ("transfer-encoding", "chunked")),), "hold"),
    "bad chunk": ((answer(b"9\r\ndata: 1\n\n\r\n", ("transfer-encoding", "chunked")), b"zz\r\n"), "hold"),
    "bad chunk later": ((answer(b"9\r\ndata: 1\n\n\r\n", ("transfer-encoding", "chunked")), b"", b"zz\r\n"), "hold"),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("path", [CHAT, "/things"])
def test_83_an_answer_that_breaks_off_never_looks_whole(
    front: Callable[..., Front], liars: Callable[..., Liar], path: str, name: str
) -> None:
    """What came is handed on, and then the connection ends without the mark of an end."""
    says, end = BROKEN[name]
    liar = liars(*says, end=end)
    one = front(upstream=liar.url, timeouts=Timeouts(read_s=0.5))
    with Wire(one.port) as wire:
        wire.send(request(ASK, ("connection", "close"), path=path, key="sk-a"))
        heard = b""
        while part := wire.socket.recv(65_536):
            heard += part
            liar.go_on.set()
    if not heard.startswith(b"HTTP/1.1 502 "):  # all of it may come at once, before anything is handed on
        assert b"data: 1\n\n" in heard
        assert not heard.endswith(b"0\r\n\r\n")
    until(lambda: slots_in_use(one.app.guard) == 0)


def test_83_more_than_the_stated_length_is_not_handed_on(
    front: Callable[..., Front], liars: Callable[..., Liar]
) -> None:
    """What an upstream says behind its answer is nobody's: the next request doesn't get it either."""
    liar = liars(answer(b"{}", ("content-length", 2)) + answer(b"poison", ("content-length", 6)), end="hold")
    one = front(upstream=liar.url)
    assert [ask_once(one.port, ASK, key="sk-a").body for _ in range(3)] == [b"{}", b"{}", b"{}"]


def test_an_upstreams_cookies_go_to_nobody_else(deployment: Deployment, liars: Callable[..., Liar]) -> None:
    """What the upstream sets for one client is never sent with another one's request."""
    # It says that it closes: a connection that is given back just before it closes would lose the second request.
    liar = liars(answer(b"{}", ("set-cookie", "session=ada; Path=/"), ("content-length", 2), ("connection", "close")))
    one = Front(deployment, upstream=liar.url.replace("127.0.0.1", "localhost"))
    assert ask_once(one.port, ASK, key="sk-ada").headers["set-cookie"] == "session=ada; Path=/"
    ask_once(one.port, ASK, key="sk-bob")
    assert len(liar.heard) == 2
    assert b"cookie" not in liar.heard[1].lower()


def test_160_a_redirect_is_not_followed(front: Callable[..., Front], liars: Callable[..., Liar]) -> None:
    """Not even to a place that would answer, and not with the client's credential."""
    other = liars(answer(b"{}", ("content-length", 2)))
    liar = liars(answer(b"", ("location", f"{other.url}/x"), ("content-length", 0), status="308 Away"))
    got = ask_once(front(upstream=liar.url).port, ASK, key="sk-a")
    assert (got.status, other.heard) == (308, [])


def test_86_a_slow_reader_holds_the_upstream_back(front: Callable[..., Front]) -> None:
    """A client that reads nothing of an endless stream: the upstream waits, nothing piles up in guard."""
    one = front()
    with Wire(one.port) as wire:
        wire.send(request(ASK, play(events=20_000, event_bytes=4096), key="sk-a"))
        wire.until(b"data: ")
        last, still = -1, 0
        while still < 20:
            assert ask_once(one.port, b"", method="GET", path="/seen", length=False).status == 200
            still = still + 1 if one.upstream.events_sent == last else 0
            last = one.upstream.events_sent
        assert last * 4096 < 24 * 1024 * 1024
        wire.abort()
    until(lambda: one.upstream.running == 0, 5.0)


# -- 142: what is written down ---------------------------------------------------------------------------------------------------


def test_142_no_canary_in_any_log(
    front: Callable[..., Front], liars: Callable[..., Liar], caplog: pytest.LogCaptureFixture
) -> None:
    """Key, prompt, query, header and the upstream's words, at DEBUG, through answers, failures and refusals."""
    caplog.set_level(logging.DEBUG)
    liar = liars(b"HTTP/1.1 200 canary-status\r\ncontent-length: canary\r\n\r\ncanary-body")
    for one in (front(), front(upstream=liar.url)):
        body = {"model": "m", "messages": [{"role": "user", "content": "canary-prompt"}]}
        for path in (CHAT + "?q=canary-query", "/things?q=canary-query", "/..%2fcanary-path"):
            ask_once(one.port, body, ("x-own", "canary-header"), path=path, key="canary-key")
    assert "canary" not in caplog.text
