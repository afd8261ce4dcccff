from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tests.desk import Desk

Run = Callable[..., tuple[int, str, str]]


def test_a_changed_policy_is_taken_up(guard: Run, desk: Desk) -> None:
    """What got weaker is said at once."""
    desk.next_policy = replace(desk.guard.policy, mode="observe", digest="e" * 16)
    code, out, _ = guard("reload")
    assert code == 0
    assert out == "guard.toml eeeeeeeeeeeeeeee: in force\n  weaker: mode enforce → observe\n"
    assert "unchanged" in guard("reload")[1]


def test_mistakes_keep_the_old_one_and_are_1(guard: Run, desk: Desk) -> None:
    """Every mistake is shown with its line."""
    desk.next_policy = None
    code, out, _ = guard("reload")
    assert code == 1
    assert "the last good policy stays in force" in out
    assert "line 2: mode" in out
