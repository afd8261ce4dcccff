"""An upstream that says exactly the bytes it is told to: one that lies about lengths, dies, hangs or shouts.

It is a thread and a socket, for no server library would do these things.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest


class Liar:
    """Answers each connection's first request with ``says``, piece by piece, and then ends or holds the connection.

    ``end``: ``close`` (in good order), ``reset``, or ``hold`` (says nothing more until it is closed). An empty
    piece waits for ``go_on``. ``heard`` holds what each connection has sent, ``gone`` counts held ones that the other side hung up.
    """

    def __init__(self, says: Sequence[bytes] = (), end: str = "close") -> None:
        self.says = says
        self.end = end
        self.heard: list[bytes] = []
        self.go_on = threading.Event()
        self.gone = threading.Semaphore(0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def connections(self) -> int:
        """How many there have been."""
        return len(self._open)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._open:
            one.close()
        self._thread.join(5)

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.heard.append(_request(connection))
            for piece in self.says:
                if not piece:
                    self.go_on.wait(5)
                connection.sendall(piece)
            if self.end == "hold":
                while connection.recv(65_536):
                    pass
                self.gone.release()
            elif self.end == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        except OSError:
            self.gone.release()
        connection.close()


def _request(connection: socket.socket) -> bytes:
    """One request, its body included where it states a length."""
    heard = b""
    while b"\r\n\r\n" not in heard:
        part = connection.recv(65_536)
        if not part:
            return heard
        heard += part
    head, _, body = heard.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            missing = int(line.partition(b":")[2]) - len(body)
            while missing > 0:
                part = connection.recv(65_536)
                if not part:
                    break
                heard += part
                missing -= len(part)
    return heard


def answer(body: bytes, *headers: tuple[str, Any], status: str = "200 OK") -> bytes:
    """An answer in HTTP/1.1 with these headers and no others."""
    lines = [f"HTTP/1.1 {status}".encode(), *(f"{name}: {value}".encode("latin-1") for name, value in headers)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@pytest.fixture
def liars() -> Iterator[Callable[..., Liar]]:
    """Makes them, and closes them in the end."""
    made: list[Liar] = []

    def make(*says: bytes, end: str = "close") -> Liar:
        made.append(Liar(says, end))
        return made[-1]

    yield make
    for liar in made:
        liar.close()
