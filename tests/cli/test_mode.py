from __future__ import annotations

import json
from collections.abc import Callable

from tests.desk import NOW, Desk

Run = Callable[..., tuple[int, str, str]]


def test_the_kill_switch(guard: Run, desk: Desk) -> None:
    """One command, in force at once, ends by itself; who and why stand in the audit."""
    code, out, _ = guard("mode", "observe", "--for", "2h", "--why", "false positives since 02:40")
    assert (code, out) == (0, "mode is observe until 2023-11-15 00:13:20 UTC (it was enforce)\n")
    assert desk.guard.override == ("observe", NOW + 7200)
    assert "false positives since 02:40" in desk.events()


def test_the_mode_is_shown_and_set_back(guard: Run, desk: Desk) -> None:
    """Without a mode it is only shown; ``policy`` ends the override."""
    guard("mode", "off")
    assert guard("mode")[:2] == (0, "mode is off\n")
    assert guard("mode", "policy")[1] == "mode is enforce (it was off)\n"
    assert desk.guard.override is None


def test_json(guard: Run) -> None:
    """The answer as guard gave it."""
    assert json.loads(guard("mode", "observe", "--json")[1])["was"] == "enforce"
