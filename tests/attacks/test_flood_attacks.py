"""Invented credentials through the whole middleware: memory stays flat, nobody is washed clean, newcomers are served.

SECURITY 115 to 117 at the level of a request; the store alone is measured in ``tests/stores/test_memory_flood.py``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from typing import Any

import pytest

from tests.attacks.victim import ROOT

# Every table is full long before this.
SCALED, WHOLE = 55_000, 1_000_000
NETWORKS = 100


def flood(requests: int) -> dict[str, dict[str, Any]]:
    """Both kinds at the same time, each in a process of its own."""
    with ExitStack() as stack:
        running = {}
        for kind in ("refused", "accepted"):
            words = [sys.executable, "-m", "tests.attacks.flood", str(requests), kind, str(NETWORKS)]
            running[kind] = stack.enter_context(
                subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            )
            stack.callback(running[kind].kill)
        found = {kind: json.loads(process.communicate()[0]) for kind, process in running.items()}
    print(found)
    return found


def hold(found: dict[str, Any]) -> None:
    """What has to be so after any flood."""
    assert found["grown_mib"] <= 64
    assert found["throttled"] == 20
    # What drains in that time, and not more.
    assert found["washed"] <= found["seconds"] * 20 / 60 + 1
    assert found["honest"] == found["tried"] == 100
    assert found["leases"] == found["slots_in_use"] == 0
    assert found["subjects_account"] <= 50_000
    assert found["subjects_account?"] <= 4_096
    assert found["faults"] == {}


def test_invented_credentials_leave_no_trace() -> None:
    """Fifty-five thousand keys, users, models, agents and header names, each used once, refused by the app or all accepted by it:
    64 MiB at most, a throttled account stays throttled, a hundred requests of honest newcomers are all answered."""
    found = flood(SCALED)

    hold(found["refused"])
    hold(found["accepted"])
    assert found["refused"]["calls"] < SCALED / 4


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_million_invented_credentials_leave_no_trace() -> None:
    """The same with a million."""
    found = flood(WHOLE)

    hold(found["refused"])
    hold(found["accepted"])
