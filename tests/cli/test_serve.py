"""`guard serve` as its users start it: a process before a real endpoint, asked by real clients, ended by signals."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from guard.cli import main
from guard.cli.serve import OncePerSecond, upstream_headers
from guard.errors import InstallError
from tests.attacks.upstream import Upstream
from tests.attacks.wire import ASK, Wire, ask_once, play, request
from tests.e2e.conftest import Deployment
from tests.patience import PATIENCE_S, until

SERVING = re.compile(r"running on (http://127\.0\.0\.1:(\d+))")
POLICY = """
version = 1
mode = "enforce"
[state]
dir = "state"
[identity]
describe = "guard.demo.accounts:describe"
[[limit]]
id = "roomy"
per = ["account"]
requests = "1000/minute"
"""


class Running:
    """One `guard serve` on a free port. ``said`` is what it has written so far."""

    def __init__(self, folder: Path, *words: str, environ: dict[str, str] | None = None) -> None:
        self.said = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "guard", "serve", "--port", "0", *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder,
            env={**os.environ, **(environ or {})},
        )  # fmt: skip
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        until(lambda: SERVING.search(self.said) is not None or self.process.poll() is not None)
        found = SERVING.search(self.said)
        assert found is not None, self.said
        self.url, self.port = found[1], int(found[2])

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line

    def end(self, sig: int = signal.SIGTERM) -> None:
        self.process.send_signal(sig)

    def wait(self) -> int:
        code = self.process.wait(PATIENCE_S)
        self._thread.join(PATIENCE_S)
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    running = Deployment("starlette", "auto", tmp_path)
    yield running
    running.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts `guard serve` in a folder with a policy file."""
    (tmp_path / "guard.toml").write_text(POLICY)
    started: list[Running] = []

    def start(upstream: str, *words: str, **environ: str) -> Running:
        started.append(Running(tmp_path, "--upstream", upstream, *words, environ=environ))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.mark.uvicorn
def test_both_clients_read_answers_and_streams(serve: Callable[..., Running], deployment: Deployment) -> None:
    """As without it; it ends on SIGTERM with its state written down; and writes neither addresses nor credentials."""
    running = serve(deployment.bare())
    asked: list[Any] = [{"role": "user", "content": "How far?"}]
    with openai.OpenAI(base_url=f"{running.url}/v1", api_key="sk-demo-ada", max_retries=0, timeout=20) as api:
        whole = api.chat.completions.create(model="demo", messages=asked).choices[0].message.content
        stream = api.chat.completions.create(model="demo", messages=asked, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == whole
    claude = anthropic.Anthropic(base_url=running.url, api_key="sk-demo-ada", max_retries=0, timeout=20)
    with claude, claude.messages.stream(model="demo", max_tokens=50, messages=asked) as events:
        assert events.get_final_text() == whole
    answered = httpx.get(f"{running.url}/healthz")
    assert answered.json() == {"status": "ok"}
    assert "server" not in answered.headers
    running.end()
    assert running.wait() in {0, -signal.SIGTERM}
    assert len(list((deployment.folder / "state").iterdir())) > 2
    assert "sk-demo-ada" not in running.said
    assert "How far" not in running.said
    assert "Traceback" not in running.said


@pytest.mark.uvicorn
def test_running_streams_end_before_it_does(serve: Callable[..., Running], deployment: Deployment) -> None:
    """SIGTERM in the middle of a stream: new connections are not taken, the stream goes on to its last byte."""
    upstream = Upstream()
    url = deployment.serve(upstream)
    running = serve(url)
    with Wire(running.port) as wire:
        wire.send(request(ASK, play(events=6, hold=True, hold_at=3), key="sk-demo-ada"))
        wire.until(b"data: ")
        running.end()
        until(lambda: _refused(running.port))
        assert running.process.poll() is None
        ask_once(int(url.rpartition(":")[2]), b"", path="/release")
        heard = wire.until(b"0\r\n\r\n")
    assert b"[DONE]" in heard
    assert running.wait() in {0, -signal.SIGTERM}


@pytest.mark.uvicorn
def test_the_wait_for_streams_is_bounded(serve: Callable[..., Running], deployment: Deployment) -> None:
    """One that never ends is cut after the shutdown timeout, its upstream is let go, and the state is still written."""
    upstream = Upstream()
    running = serve(deployment.serve(upstream), "--shutdown-timeout", "1s")
    with Wire(running.port) as wire:
        wire.send(request(ASK, play(events=6, hold=True, hold_at=3), key="sk-demo-ada"))
        wire.until(b"data: ")
        begun = time.monotonic()
        running.end()
        running.wait()
    assert time.monotonic() - begun < 8.0
    until(lambda: upstream.running == 0, 5.0)
    assert "INFO guard stop" in running.said


@pytest.mark.uvicorn
def test_it_drains_before_it_ends(serve: Callable[..., Running], deployment: Deployment) -> None:
    """With a drain time it goes on answering, says that it isn't ready, and ends by itself; a second signal ends it at once."""
    running = serve(deployment.bare(), "--drain", "2s")
    assert httpx.get(f"{running.url}/readyz").status_code == 200
    running.end()
    until(lambda: httpx.get(f"{running.url}/readyz").status_code == 503, 2.0)
    assert httpx.get(f"{running.url}/healthz").status_code == 200
    assert ask_once(running.port, ASK, key="sk-demo-ada").status == 200
    assert running.wait() in {0, -signal.SIGTERM}
    other = serve(deployment.bare(), "--drain", "10min")
    other.end()
    until(lambda: httpx.get(f"{other.url}/readyz").status_code == 503)
    other.end()
    assert other.wait() in {0, -signal.SIGTERM}


@pytest.mark.uvicorn
def test_the_operators_key_comes_from_the_environment(serve: Callable[..., Running], deployment: Deployment) -> None:
    """It reaches the upstream and nothing else; the client's own doesn't."""
    upstream = Upstream()
    running = serve(
        deployment.serve(upstream), "--upstream-header", "authorization=Bearer {UP_KEY}", UP_KEY="sk-canary-upstream"
    )
    assert ask_once(running.port, ASK, key="sk-demo-ada").status == 200
    assert ask_once(running.port, ASK, key="sk-stranger").status == 401
    assert [dict(call.headers)[b"authorization"] for call in upstream.calls] == [b"Bearer sk-canary-upstream"]
    running.end()
    running.wait()
    assert "canary" not in running.said
    kept = [path.read_bytes() for path in deployment.folder.rglob("*") if path.is_file()]
    assert not any(b"canary" in content for content in kept)


@pytest.mark.uvicorn
def test_a_second_one_on_the_same_state_is_told_what_to_do(
    serve: Callable[..., Running], deployment: Deployment, tmp_path: Path
) -> None:
    """Two would give everybody their allowance twice."""
    serve(deployment.bare())
    done = subprocess.run(
        [sys.executable, "-m", "guard", "serve", "--port", "0", "--upstream", "http://127.0.0.1:9"],
        cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "state" in done.stderr
    assert "Traceback" not in done.stderr


def _refused(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return False
    return True


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--workers", "2"], "behind a balancer that keeps each account on one"),
        (["--port", "8000"], "is this gateway itself"),
        (["--upstream-header", "authorization=Bearer sk-canary"], "list of processes"),
        (["--upstream-header", "x-a={NOT_SET_ANYWHERE}"], "NOT_SET_ANYWHERE"),
        (["--upstream-header", "canary"], "number 1"),
        (["--upstream-header", "host=canary"], "number 1"),
        (["--policy", "nowhere.toml"], "nowhere.toml"),
        (["--healthz", "/v1/messages"], "/v1/messages"),
    ],
)
def test_mistakes_are_one_sentence(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With the remedy, without a secret, and with exit code 2."""
    monkeypatch.chdir(tmp_path)
    assert main(["serve", "--upstream", "http://127.0.0.1:8000", *words]) == 2
    said = capsys.readouterr().err
    assert told in said
    assert "canary" not in said


@pytest.mark.parametrize(
    "words", [[], ["--upstream", "u", "--read-timeout", "5"], ["--upstream", "u", "--drain", "0s"]]
)
def test_what_it_must_be_told(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """An upstream; and times have a unit."""
    assert main(["serve", *words]) == 2
    assert "usage: guard serve" in capsys.readouterr().err


def test_headers_are_told_apart_by_whether_they_hold_a_secret() -> None:
    """What comes from the environment is a credential; several variables may stand in one."""
    environ = {"KEY": " k1 \n", "ORG": "o1"}
    plain, secret = upstream_headers(["X-Tenant = a b", "x-both={ORG}/{KEY}"], environ)
    assert plain == ((b"x-tenant", b"a b"),)
    assert secret == ((b"x-both", b"o1/k1"),)
    with pytest.raises(InstallError, match="no header can have"):
        upstream_headers(["x-a={KEY}"], {"KEY": "a\nb: c"})


def test_a_servers_complaints_are_written_once_a_second() -> None:
    """Clients decide how often a request is invalid; information and other messages pass."""
    sieve = OncePerSecond()

    def passes(message: str, at_s: float, level: int = logging.WARNING) -> bool:
        record = logging.LogRecord("uvicorn.error", level, "", 0, message, (), None)
        record.created = at_s
        return sieve.filter(record)

    assert [passes("Invalid HTTP request received.", at_s) for at_s in (10.0, 10.5, 11.1)] == [True, False, True]
    assert passes("another", 10.5)
    assert all(passes("started", 10.0, logging.INFO) for _ in range(3))
