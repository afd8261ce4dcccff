"""The suites of this folder run on every store there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from guard.contracts import Store
from guard.registry import discover
from tests import servers
from tests.servers import Server
from tests.stores.stands import Awaited, Loop, Maker


@pytest.fixture(scope="session")
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server]]:
    """A server of each kind, started when it is first asked for."""
    started: dict[str, Server] = {}

    def server(program: str) -> Server:
        if program not in started:
            started[program] = Server(servers.binaries()[program], tmp_path_factory.mktemp(program))
        return started[program]

    yield server
    for each in started.values():
        each.close()


REMOTE = [pytest.param(f"redis on {program}", id=f"redis-{program}") for program in servers.binaries()] or [
    pytest.param("none", marks=pytest.mark.skip(reason=servers.NONE), id="redis")
]


@pytest.fixture(params=[*sorted(discover("stores").keys() - {"redis"}), *REMOTE])
def kind(request: pytest.FixtureRequest, running: Callable[[str], Server], loop: Loop) -> Iterator[Maker]:
    """Makes empty stores of one kind. Of a server each has a database of its own."""
    plugin, _, program = request.param.partition(" on ")
    if not program:
        yield discover("stores")[plugin]
        return
    server = running(program)
    server.call("FLUSHALL")
    made: list[Awaited] = []

    def maker() -> Store:
        made.append(Awaited(f"{server.url.rpartition('/')[0]}/{len(made)}", loop))
        return made[-1]

    yield maker
    for each in made:
        each.close()


@pytest.fixture
def store(kind: Maker) -> Store:
    return kind()
