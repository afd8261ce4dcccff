"""The benchmark of the shared store: both sides do what they are measured at, and a missed bar is told."""

from __future__ import annotations

import asyncio
import importlib
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Server


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "benchmarks"))
    return importlib.import_module("stores")


def test_every_side_limits_every_request(stores: Any, store_server: Server) -> None:
    """One short round: guard's records and those of three strategies stand in the store, and each side has its figures."""
    figures = asyncio.run(stores.compare(store_server.url, 1, 64))
    keys = store_server.call("KEYS", "*")

    assert len(figures) == 5
    assert all(cpu > 0.0 and wall > 0.0 for cpu, wall in figures.values())
    assert sum(key.startswith("g1:") for key in keys) >= 64
    assert sum(key.startswith("LIMITS") for key in keys) >= 3 * 64


@pytest.mark.parametrize(("bar", "outcome"), [(1e-9, 1), (1e9, 0)])
def test_a_missed_bar_is_told(
    stores: Any, store_server: Server, monkeypatch: pytest.MonkeyPatch, bar: float, outcome: int
) -> None:
    async def compare(url: str, rounds: int, requests: int) -> dict[str, tuple[float, float]]:
        return {"guard: one": (10.0, 20.0), "limits, one": (100.0, 200.0)}

    monkeypatch.setattr(stores, "compare", compare)
    monkeypatch.setattr(stores, "BAR", bar)

    assert stores.main(["--quick", "--check", "--url", store_server.url]) == outcome
