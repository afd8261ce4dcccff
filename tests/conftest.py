from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import find
from hypothesis.strategies import text

from tests.attacks.liar import liars  # noqa: F401 - a fixture for all

SHARED = Path(__file__).resolve().parents[2] / "shared"


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
