"""A client that says exactly the bytes it is told to, over a socket, and reads one answer after another."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable
from http.client import HTTPResponse
from typing import Any, NamedTuple

PATIENCE_S = 20.0
CHAT = "/v1/chat/completions"
ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 50}
Header = tuple[str, str | bytes]


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def encoded(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def request(
    body: Any = ASK,
    *headers: Header,
    path: str | bytes = CHAT,
    method: str = "POST",
    length: bool = True,
    key: str = "",
) -> bytes:
    """A whole request in HTTP/1.1. ``length`` False: the caller brings the frame's headers along; ``key``: as a bearer."""
    content = encoded(body)
    pairs: list[Header] = [("host", "model.test"), ("content-type", "application/json")]
    if key:
        pairs.append(("authorization", f"Bearer {key}"))
    if length:
        pairs.append(("content-length", str(len(content))))
    target = path if isinstance(path, bytes) else path.encode()
    lines = [method.encode() + b" " + target + b" HTTP/1.1"]
    for name, value in (*pairs, *headers):
        lines.append(name.encode("latin-1") + b": " + (value if isinstance(value, bytes) else value.encode("latin-1")))
    return b"\r\n".join(lines) + b"\r\n\r\n" + content


def play(**script: Any) -> Header:
    """The header that tells the endpoint how to answer."""
    return "x-play", json.dumps(script)


class Wire:
    """One connection. ``to`` is a port of loopback or the path of a Unix socket."""

    def __init__(self, to: int | str, patience_s: float = PATIENCE_S) -> None:
        if isinstance(to, int):
            self.socket = socket.create_connection(("127.0.0.1", to), patience_s)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(patience_s)
            self.socket.connect(to)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, data: bytes) -> Wire:
        self.socket.sendall(data)
        return self

    def answer(self) -> Answer:
        """The next answer, whole."""
        read = HTTPResponse(self.socket, method="POST")
        try:
            read.begin()
            body = read.read()
        finally:
            read.close()
        return Answer(read.status, {name.lower(): value for name, value in read.getheaders()}, body)

    def ask(self, *parts: Any, **more: Any) -> Answer:
        """Sends a request as ``request`` makes it, and reads its answer."""
        return self.send(request(*parts, **more)).answer()

    def until(self, mark: bytes) -> bytes:
        """Reads up to a mark in the answer."""
        heard = b""
        while mark not in heard:
            part = self.socket.recv(65_536)
            if not part:
                raise ConnectionError(f"the server hung up before {mark!r}")
            heard += part
        return heard

    def abort(self) -> None:
        """Hangs up with a reset, as a killed client does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.socket.close()

    def close(self) -> None:
        self.socket.close()


def ask_once(to: int | str, *parts: Any, **more: Any) -> Answer:
    """One request on a connection of its own."""
    with Wire(to) as wire:
        return wire.ask(*parts, **more)


def at_once(to: int | str, requests: Iterable[bytes]) -> list[Wire]:
    """Sends each request on a connection of its own before any answer is read. The caller reads and closes."""
    wires = [(Wire(to), said) for said in requests]
    for wire, said in wires:
        wire.send(said)
    return [wire for wire, _ in wires]
