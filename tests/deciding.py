"""A decision endpoint on a real server, for whoever asks it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import uvicorn

from guard.asking import Deciding, deciding
from guard.clock import ManualClock
from guard.config import load
from tests.attacks.wire import ASK as ASKED

CHAT = "/v1/chat/completions"
POLICY = """
version = 1
mode = "enforce"
[trust]
hops = ["127.0.0.1/32"]
address = "x-forwarded-for"
country = "x-country"
[identity]
describe = "guard.demo.accounts:describe"
[body]
max_bytes = "64 KiB"
[[limit]]
id = "few"
per = ["account"]
requests = "3/minute"
concurrent = 2
[[rule]]
id = "embargo"
when = { country = ["KP"] }
action = "refuse"
"""
NGINX = {"x-original-method": "POST", "x-original-uri": CHAT, "content-type": "application/json"}
TRAEFIK = {"x-forwarded-method": "POST", "x-forwarded-uri": CHAT, "content-type": "application/json"}
JSON = {"content-type": "application/json"}
PATIENCE_S = 20.0
ASK = json.dumps(ASKED).encode()


class Served:
    """A decision endpoint on a real server, and its clock."""

    def __init__(self, policy: str = POLICY, *, rewrites: bool = False, **options: Any) -> None:
        self.clock = ManualClock(1_800_000_000.0)
        self.app: Deciding = deciding(load(policy), self.clock, **options)
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        config = uvicorn.Config(
            self.app, log_level="warning", lifespan="on", proxy_headers=rewrites, timeout_graceful_shutdown=2
        )
        self._server, self._listener = uvicorn.Server(config), listener
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]}, daemon=True)
        self._thread.start()
        self.http = httpx.Client(base_url=self.url, timeout=PATIENCE_S)

    def nginx(self, key: str = "", **more: str) -> httpx.Response:
        named = {"authorization": f"Bearer {key}"} if key else {}
        return self.http.get(
            "/decide/nginx", headers={**NGINX, **named, **{k.replace("_", "-"): v for k, v in more.items()}}
        )

    def settle(self, reference: str, **told: Any) -> int:
        return self.http.post("/settle", json={"reference": reference, "status": 200, **told}).status_code

    def close(self) -> None:
        self.http.close()
        self._server.should_exit = True
        self._thread.join(PATIENCE_S)
        self._listener.close()
        assert not self._thread.is_alive()


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    made: list[Served] = []

    def start(*parts: Any, **options: Any) -> Served:
        made.append(Served(*parts, **options))
        return made[-1]

    yield start
    for served in made:
        served.close()
