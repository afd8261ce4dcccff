"""What changes of clusters is noted, so that it can be told."""

from __future__ import annotations

from guard.fleet.watching import Watched
from guard.recognition.accounts import Accounts
from tests.recognition.town import T0, account


def test_who_is_let_go_is_told_as_well() -> None:
    """Else the other replicas would hold him for another day."""
    accounts = Accounts(10)
    clusters = Watched(accounts)
    known = accounts.meet(account("mistaken"), T0)
    cluster = clusters.whose([known], 1, T0)
    known.cluster, cluster.linked = cluster.number, 1
    clusters.forget_changes()

    clusters.let_go(known)

    assert (known.cluster, cluster.linked) == (0, 0)
    assert clusters.touched == {known.number}
