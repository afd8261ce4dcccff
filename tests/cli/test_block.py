from __future__ import annotations

from collections.abc import Callable

from tests.desk import NOW, Desk

Run = Callable[..., tuple[int, str, str]]


def test_an_account_is_blocked(guard: Run, desk: Desk) -> None:
    """With a reason, for a time."""
    code, out, _ = guard("block", "ab" * 16, "--why", "stolen key", "--for", "90s")
    assert code == 0
    assert out == f"account:{'ab' * 16}: blocked until 2023-11-14 22:14:50 UTC\n"
    assert list(desk.guard.blocks.values()) == [("stolen key", NOW + 90)]
    assert guard("block", "ab" * 16)[0] == 2
