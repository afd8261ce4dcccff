"""The benchmarks are scripts beside one another; their modules are found as they find each other. Exchange logs of a few lines."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Imports a module of the detection benchmark by the last part of its name."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return lambda name: importlib.import_module(f"detection_{name}")


@pytest.fixture
def shared() -> Path:
    """The evaluation, which is no part of this repository; without it the test is skipped."""
    if not (SHARED / "eval" / "population.py").is_file():
        pytest.skip("needs ../shared, which is no part of this repository")
    return SHARED


@pytest.fixture
def record() -> Callable[..., dict[str, Any]]:
    """One exchange of an account; with a campaign's name it is extraction."""

    def make(at: float, account: str, user: str, campaign: str | None = None) -> dict[str, Any]:
        body = {"messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": user}]}
        segment, extraction = ("chat", False) if campaign is None else ("campaign", True)
        return {
            "at": at,
            "account": {"id": account},
            "request": {"method": "POST", "path": "/v1/chat/completions", "body": body},
            "label": {"segment": segment, "campaign": campaign, "extraction": extraction},
        }

    return make


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Writes exchanges as a log of that name."""

    def write(name: str, records: list[dict[str, Any]]) -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(each) + "\n" for each in records), encoding="utf-8")
        return path

    return write
