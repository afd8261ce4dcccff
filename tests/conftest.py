from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

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

# A busy machine draws slowly: that says nothing about the code.
settings.register_profile("guard", suppress_health_check=[HealthCheck.too_slow], deadline=None)
settings.load_profile("guard")
