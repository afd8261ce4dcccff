from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from guard import GuardMiddleware
from tests.attacks.upstream import Upstream
from tests.attacks.victim import Victim
from tests.e2e.conftest import Deployment

PARSERS = ("h11", "httptools")


@pytest.fixture(params=PARSERS)
def http(request: pytest.FixtureRequest) -> str:
    """Which of uvicorn's parsers reads the requests."""
    return str(request.param)


class Served:
    """A guarded endpoint on a real uvicorn in a thread of this process: a port to attack, and everything inside to look at."""

    def __init__(self, deployment: Deployment, policy: str) -> None:
        path = deployment.folder / "guard.toml"
        path.write_text(policy)
        self.upstream = Upstream()
        self.guard = GuardMiddleware(self.upstream, policy=path)
        self.port = int(deployment.serve(self.guard).rpartition(":")[2])


@pytest.fixture
def served(http: str, tmp_path: Path) -> Iterator[Callable[[str], Served]]:
    """Starts servers under a policy's text."""
    deployment = Deployment("none", http, tmp_path)
    yield lambda policy: Served(deployment, policy)
    deployment.close()


@pytest.fixture
def victims(tmp_path: Path) -> Iterator[Callable[..., Victim]]:
    """Starts server processes under a policy's text; they are ended with the test."""
    running: list[Victim] = []

    def start(policy: str, **settings: Any) -> Victim:
        path = tmp_path / "guard.toml"
        path.write_text(policy)
        running.append(Victim(tmp_path, path, **settings))
        return running[-1]

    yield start
    for victim in running:
        victim.close()
