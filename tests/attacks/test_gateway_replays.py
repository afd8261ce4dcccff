"""SECURITY 34, 45, 157 and 162 at a gateway: side routes, forms without end, sockets that stay open, requests that are sent again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.attacks.inside import used
from tests.attacks.test_gateway_attacks import Front, deployment, front
from tests.attacks.wire import ASK, CHAT, Wire, ask_once, encoded

__all__ = ["deployment", "front"]
pytestmark = pytest.mark.uvicorn

TIGHT = """
version = 1
mode = "enforce"
[[limit]]
id = "free"
per = ["account"]
requests = "3/day"
tokens = "100000/day"
"""
PARTS = b"".join(b'--b\r\ncontent-disposition: form-data; name="f%d"\r\n\r\n{}\r\n' % n for n in range(10_000))
FORMS = {
    "ten thousand parts": PARTS + b"--b--\r\n",
    "no end": PARTS,
    "a huge name": b'--b\r\ncontent-disposition: form-data; name="' + b"a" * 1_000_000 + b'"\r\n\r\n{}\r\n--b--\r\n',
    "a part of JSON": b"--b\r\ncontent-type: application/json\r\n\r\n" + encoded(ASK) + b"\r\n--b--\r\n",
}


def form(body: bytes, path: str) -> bytes:
    head = (
        b"host: x\r\nauthorization: Bearer sk-a\r\ncontent-type: multipart/form-data; boundary=b\r\ncontent-length: %d"
        % len(body)
    )
    return b"POST " + path.encode() + b" HTTP/1.1\r\n" + head + b"\r\n\r\n" + body


@pytest.mark.parametrize("name", FORMS)
def test_45_a_form_is_no_question(front: Callable[..., Front], name: str) -> None:
    """On a protected path none is read and none sent on; elsewhere it passes byte for byte."""
    one = front()
    ask_once(one.port, ASK, key="sk-a")
    charged = used(one.app.guard, "requests")
    assert one.raw(form(FORMS[name], CHAT)).status == 415
    assert len(one.upstream.calls) == 1
    assert used(one.app.guard, "requests") <= charged
    assert one.raw(form(FORMS[name], "/upload")).status == 200
    assert one.upstream.calls[-1].body == FORMS[name]


@pytest.mark.parametrize("again", [(), (("idempotency-key", "same"),)], ids=["as it is", "with a key"])
def test_162_each_attempt_is_metered_and_none_gives_anything_back(
    front: Callable[..., Front], again: tuple[tuple[str, str], ...]
) -> None:
    """The same body three times passes and counts three times; the fourth is refused, and so is its replay; the key that a client
    gives its attempts reaches the endpoint and changes nothing here."""
    one = front(TIGHT)
    ask_once(one.port, ASK, key="sk-a")
    charged = used(one.app.guard, "tokens")
    assert [ask_once(one.port, ASK, *again, key="sk-a").status for _ in range(4)] == [200, 200, 429, 429]
    assert len(one.upstream.calls) == 3
    assert used(one.app.guard, "requests") == pytest.approx(3, abs=0.1)
    assert used(one.app.guard, "tokens") > 2 * charged
    assert one.sent().get("idempotency-key") == (again[0][1] if again else None)


SIDE_ROUTES = [
    "/v1/batches", "/v1/files", "/v1/responses", "/v1/embeddings", "/v1/messages/batches", "/v1/audio/speech", "/v1/realtime/sessions",
    "/v1/fine_tuning/jobs", "/v1/images/generations", "/v1/anything/else", "/bedrock/model/x/invoke", "/v1/batch",
]  # fmt: skip


@pytest.mark.parametrize("path", SIDE_ROUTES)
def test_34_no_side_route_is_free(front: Callable[..., Front], path: str) -> None:
    """With whole prefixes protected a question that is no chat costs its account something, or never arrives."""
    one = front(TIGHT + '[protect]\nroutes = ["/v1/*", "/bedrock/*"]\n')
    ask_once(one.port, ASK, key="sk-a")
    for _ in range(6):
        before, charged = len(one.upstream.calls), used(one.app.guard, "requests")
        ask_once(one.port, {"model": "m", "input": ["x"] * 2048, "batch": [{}] * 50}, path=path, key="sk-a")
        assert len(one.upstream.calls) == before or used(one.app.guard, "requests") > charged
    assert len(one.upstream.calls) <= 3


def test_157_no_socket_is_opened_and_no_compression_agreed(front: Callable[..., Front]) -> None:
    """A handshake that offers permessage-deflate is refused on every path: nothing is left that could be inflated or stay idle."""
    one = front()
    for path in (CHAT, "/v1/realtime", "/things"):
        with Wire(one.port) as wire:
            wire.send(
                b"GET " + path.encode() + b" HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
                b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                b"sec-websocket-extensions: permessage-deflate\r\n\r\n"
            )
            said = wire.answer()
        assert said.status >= 400
        assert "sec-websocket-extensions" not in said.headers
    assert one.upstream.calls == []
