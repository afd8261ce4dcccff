from __future__ import annotations

from collections.abc import Callable

Run = Callable[..., tuple[int, str, str]]


def test_an_account_is_forgiven(guard: Run) -> None:
    """The answer names the keyed hash, never the id that was typed."""
    code, out, _ = guard("forgive", "account:alice", "--why", "ticket 7")
    assert code == 0
    assert out.endswith(": forgiven\n")
    assert "alice" not in out


def test_nothing_against_it_is_1_and_nonsense_is_2(guard: Run) -> None:
    """The difference matters to a script."""
    assert guard("forgive", "account:nobody")[0] == 1
    code, _, err = guard("forgive", "alice")
    assert code == 2
    assert "account:<id>" in err


def test_a_whole_cluster_is_forgiven(guard: Run) -> None:
    """The answer says how many accounts were let go."""
    code, out, _ = guard("forgive", "cluster:c1-beef00", "--why", "ticket 8")
    assert code == 0
    assert out == "cluster:c1-beef00: taken back, 212 accounts let go\n"
