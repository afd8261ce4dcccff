"""A real server on loopback, in a thread of its own, so that what stalls there does not stall the client."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest
import uvicorn
from starlette.types import ASGIApp


@pytest.fixture
def serve() -> Iterator[Callable[[ASGIApp], str]]:
    """Serves any app; its URL. The socket listens before the server does, so nobody need wait for it."""
    running: list[tuple[uvicorn.Server, threading.Thread, socket.socket]] = []

    def start(app: ASGIApp) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(app, http="h11", loop="asyncio", log_level="critical", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        running.append((server, thread, listener))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for server, _, _ in running:
        server.should_exit = True
    for _, thread, listener in running:
        thread.join(10)
        listener.close()
        assert not thread.is_alive()
