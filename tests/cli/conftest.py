from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guard.admin import AdminServer
from guard.cli import main
from guard.clock import ManualClock
from guard.settings import Admin
from tests.desk import NOW, Desk

TOKEN = "kP9vTq3mZr7xWb2nYd5hLs8fGc4jRa6u"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """What the running guard is made of."""
    return Desk(tmp_path)


@pytest.fixture
def served(desk: Desk, tmp_path: Path) -> Iterator[str]:
    """A guard's channel in a thread of its own; the path of its socket. Its TCP port stands in ``tmp_path/port``."""
    (tmp_path / "key").write_text(TOKEN)
    (tmp_path / "key").chmod(0o600)
    address = str(tmp_path / "run" / "s")
    settings = Admin(socket=address, tcp="127.0.0.1:0", token_file=str(tmp_path / "key"))
    server = AdminServer(desk.control, settings, ManualClock(NOW))
    ready = threading.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        await server.start()
        (tmp_path / "port").write_text(str(server.port))
        ready.set()

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(serve(), loop).result(10)
    assert ready.is_set()
    yield address
    asyncio.run_coroutine_threadsafe(server.close(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture
def guard(served: str, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs ``guard COMMAND … --socket …``; (exit code, stdout, stderr)."""

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([*words, "--socket", served])
        out, err = capsys.readouterr()
        return code, out, err

    return run
