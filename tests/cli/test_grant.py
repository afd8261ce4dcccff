from __future__ import annotations

from collections.abc import Callable

from tests.desk import NOW, Desk

Run = Callable[..., tuple[int, str, str]]


def test_a_grant_needs_a_reason_and_may_end(guard: Run, desk: Desk) -> None:
    """Until when, and whether the client is told, reach the guard."""
    code, out, _ = guard("grant", "org:acme", "--why", "red team", "--for", "7d", "--untold")
    assert code == 0
    assert "granted until 2023-11-21 22:13:20 UTC" in out
    (grant,) = desk.guard.grants.values()
    assert (grant.subject, grant.why, grant.until, grant.told) == ("org:acme", "red team", NOW + 7 * 86_400, False)
    assert guard("grant", "org:acme")[0] == 2


def test_a_grant_without_an_end(guard: Run, desk: Desk) -> None:
    """Said as it is."""
    assert "granted until it is revoked" in guard("grant", "org:acme", "--why", "customer")[1]
    assert [grant.told for grant in desk.guard.grants.values()] == [True]
