from __future__ import annotations

from collections.abc import Callable

Run = Callable[..., tuple[int, str, str]]


def test_grants_and_blocks_are_taken_back(guard: Run) -> None:
    """Exit 1 where there was nothing to take back."""
    guard("grant", "org:acme", "--why", "customer")
    assert guard("revoke", "org:acme")[0] == 0
    code, out, _ = guard("revoke", "org:acme")
    assert code == 1
    assert "there was no grant and no block" in out
