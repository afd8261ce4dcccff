"""``guard bench``: what it asks for, says and refuses. The load itself: tests/bench."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
import uvicorn

from guard.cli import main
from guard.demo.endpoint import endpoint


@pytest.fixture
def url() -> Iterator[str]:
    """A model endpoint on loopback that knows four keys."""
    listener = socket.create_server(("127.0.0.1", 0))
    app = endpoint(credentials=frozenset(f"sk-s3cret-{n}" for n in range(4)))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)
    listener.close()


def words(url: str, *more: str) -> list[str]:
    return ["bench", url, "--rate", "30", "--for", "0.5s", "--accounts", "4", *more]


@pytest.mark.uvicorn
def test_it_says_first_what_it_sends_and_then_what_there_was(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whom it asks, how much and as whom; then a table; and no key anywhere."""
    monkeypatch.setenv("BENCH_KEYS", "sk-s3cret-{n}")
    assert main(words(url, "--key", "BENCH_KEYS")) == 0
    out, err = capsys.readouterr()
    assert out.startswith("guard bench will send 30 requests a second in all for 0.5 s:")
    assert f"15 requests to {url}" in out
    assert "A ordinary: 11 × 200" in out
    assert "A extractor: 4 × 200" in out
    assert "s3cret" not in out + err


@pytest.mark.uvicorn
def test_refusals_are_answers(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Made-up keys that nobody knows get their 401, and that is what the table says."""
    assert main(words(url)) == 0
    assert "× 401" in capsys.readouterr().out


def test_nobody_there_is_1(capsys: pytest.CaptureFixture[str]) -> None:
    """The table is shown all the same."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert main(words(f"http://127.0.0.1:{port}")) == 1
    out, err = capsys.readouterr()
    assert "× ConnectError" in out
    assert "no answer at all" in err


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["http://example.org"], "--i-own-this-host example.org"),
        (["http://127.0.0.1:1", "--against", "http://example.org"], "--i-own-this-host example.org"),
        (["http://127.0.0.1:1", "--for", "11m"], "--for is 10m at most"),
        (["http://127.0.0.1:1", "--rate", "1001"], "up to 1000"),
        (["http://127.0.0.1:1", "--rate", "nan"], "up to 1000"),
        (["http://127.0.0.1:1", "--in-flight", "0"], "from 1 to 1000"),
        (["http://127.0.0.1:1", "--extractor", "101"], "from 0 to 100"),
        (["http://127.0.0.1:1", "--key", "sk-s3cret"], "--key names an environment variable"),
    ],
)
def test_what_may_not_be_is_refused_before_anything_is_sent(
    more: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, the reason on stderr, nothing on stdout; a key in the wrong place is not repeated."""
    assert main(["bench", *more]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert expected in err
    assert "s3cret" not in err


@pytest.mark.uvicorn
def test_ctrl_c_ends_it_with_the_table(url: str) -> None:
    """Interrupted after its first line of progress, it shows what there was and ends with 0."""
    command = [sys.executable, "-m", "guard", "bench", url, "--for", "20s", "--rate", "30"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        assert process.stdout is not None
        while "recent p50" not in (line := process.stdout.readline()):
            assert line
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert process.returncode == 0
    assert "A ordinary: " in out
    assert "Traceback" not in err
