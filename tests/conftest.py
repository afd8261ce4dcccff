from __future__ import annotations

from pathlib import Path

import pytest

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
