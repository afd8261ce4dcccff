from __future__ import annotations

from collections.abc import Callable

Run = Callable[..., tuple[int, str, str]]


def test_an_account_is_forgotten(guard: Run) -> None:
    """What is left in the audit is said; a second time there is nothing (exit 1)."""
    code, out, _ = guard("erase", "account:alice", "--why", "asked for it")
    assert code == 0
    assert "3 things forgotten; lines already written keep the account's keyed hash" in out
    assert guard("erase", "account:alice")[0] == 1
