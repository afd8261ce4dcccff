"""How the shared store does is told to the operator: a line when it changes, sentences in health."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from guard.clock import ManualClock
from guard.config import load
from guard.hashing import REPLAY_KEY, HashKey
from guard.installation import Installation
from guard.logs import Log
from guard.recorder import AuditLog
from guard.store_condition import StoreCondition

NOW = 1_800_000_000.0
FULL = "memory: {0} MiB used of 100 MiB; raise maxmemory"
EVICTS = "eviction: allkeys-lru: when it is full, limits in use are thrown away; CONFIG SET maxmemory-policy noeviction"


class Store:
    """A store of which only the condition is asked."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {
            "state": "up",
            "since": NOW,
            "replicas": 1,
            "errors": {},
            "trouble": "",
            "warnings": [],
        }

    def condition(self, now: float) -> dict[str, Any]:
        return self.told


@pytest.fixture
def watched() -> tuple[Store, StoreCondition]:
    store = Store()
    audit = AuditLog(load("observe").audit, HashKey(REPLAY_KEY), state_dir="")
    return store, StoreCondition(store, None, Log(), audit)  # type: ignore[arg-type]


def test_what_will_be_wrong_with_it_is_in_health_and_logged_once(
    watched: tuple[Store, StoreCondition], caplog: pytest.LogCaptureFixture
) -> None:
    """Each warning is a line when it comes up, and again when it comes back; its figures may change all the time."""
    store, condition = watched
    with caplog.at_level(logging.INFO, logger="guard"):
        for second, warnings in enumerate(
            [[], [FULL.format(81)], [FULL.format(82), EVICTS], [EVICTS], [FULL.format(83), EVICTS]]
        ):
            store.told = store.told | {"warnings": warnings}
            condition.tell(NOW + second)
            assert condition.health(NOW) == (store.told, [], [f"the store: {each}" for each in warnings])
    lines = [record.getMessage() for record in caplog.records]
    assert [line.startswith("warning ") for line in lines] == [True] * 3
    assert ["maxmemory-policy" in line for line in lines] == [False, True, False]


def test_why_it_does_not_answer_stands_beside_that(watched: tuple[Store, StoreCondition]) -> None:
    """The operator reads what is wrong and the remedy where he reads that something is."""
    store, condition = watched
    store.told = store.told | {"state": "local", "trouble": "noauth: correct them in the store's address"}
    (broken,) = condition.health(NOW)[1]
    assert "with its share of every limit (noauth: correct them" in broken
    store.told = store.told | {"trouble": ""}
    assert condition.health(NOW)[1] == [broken.partition(" (")[0]]


def test_status_tells_of_it(tmp_path: Path) -> None:
    """What `guard status` shows has it, whatever else is told; where no store is shared nothing is said of one."""
    installation = Installation(load(f'version = 1\n[state]\ndir = "{tmp_path}"\n'), ManualClock(NOW))
    assert "store" not in installation.control.call("status", {}, by="test", now=NOW)
    store = Store()
    store.told = store.told | {"warnings": [EVICTS]}
    installation._store = StoreCondition(store, None, installation.log, installation.audit)  # type: ignore[arg-type]
    told = installation.control.call("status", {}, by="test", now=NOW)
    assert f"the store: {EVICTS}" in told["warnings"]
    assert told["store"]["state"] == "up"
    installation.close()
