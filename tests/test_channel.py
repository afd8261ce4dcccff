from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from guard.channel import call, host_and_port
from guard.errors import AdminError, InstallError


@contextmanager
def answering(path: Path, answer: bytes) -> Iterator[list[bytes]]:
    """A server that reads one line, sends these bytes and hangs up."""
    heard: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as lines:
                heard.append(lines.readline())
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield heard
        finally:
            thread.join(5)


def test_a_question_and_its_answer(tmp_path: Path) -> None:
    """One JSON line each way; ``ok`` is taken off; arguments go as they are."""
    with answering(tmp_path / "s", b'{"ok": true, "mode": "observe"}\n') as heard:
        assert call(str(tmp_path / "s"), "mode", mode="observe", for_s=60.0) == {"mode": "observe"}
    assert heard == [b'{"verb": "mode", "mode": "observe", "for_s": 60.0}\n']


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (b'{"ok": false, "error": "no such thing"}\n', "^no such thing$"),
        (b'{"ok": false, "status": 401, "error": "unauthorized"}\n', "did not accept the token"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "is no guard"),
        (b"[]\n", "is no guard"),
        (b'{"mode": "x"}\n', "is no guard"),
        (b'{"ok": true, "mode"', "is no guard"),
        (b"", "hung up without an answer"),
    ],
)
def test_whatever_answers_becomes_an_admin_error(tmp_path: Path, answer: bytes, sentence: str) -> None:
    """What guard says, or that it isn't guard."""
    with answering(tmp_path / "s", answer), pytest.raises(AdminError, match=sentence):
        call(str(tmp_path / "s"), "status")


def test_nobody_there_comes_with_a_remedy(tmp_path: Path) -> None:
    """No socket, a dead one, nobody at the port: each says what to look at."""
    with pytest.raises(AdminError, match=r"is the app running.*\[admin\] socket"):
        call(str(tmp_path / "none"), "status")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead"))
    with pytest.raises(AdminError, match="start it again"):
        call(str(tmp_path / "dead"), "status")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(AdminError, match="start it again"):
        call(f"127.0.0.1:{port}", "status", token="x")


def test_a_guard_that_hangs_is_told_of(tmp_path: Path) -> None:
    """No answer in time is an error with a likely cause, not a traceback."""
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s"))
        silent.listen()
        with pytest.raises(AdminError, match="event loop blocked"):
            call(str(tmp_path / "s"), "status", timeout_s=0.01)


@pytest.mark.parametrize(
    ("text", "parts"), [("127.0.0.1:1", ("127.0.0.1", 1)), ("[::1]:65535", ("::1", 65535)), ("host:80", ("host", 80))]
)
def test_addresses(text: str, parts: tuple[str, int]) -> None:
    """IPv4, IPv6 in brackets, names."""
    assert host_and_port(text) == parts


@pytest.mark.parametrize("text", ["", "host", ":80", "host:", "host:x", "host:65536", "host:-1", "host:²"])
def test_what_is_no_address_is_told(text: str) -> None:
    """With an example of one that is."""
    with pytest.raises(InstallError, match=r"127\.0\.0\.1:9464"):
        host_and_port(text)
