"""Limits per cluster, from admission to settlement."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from guard.limiter import Admission, Limiter
from guard.settings import Condition, Limit, Policy, Window
from guard.stores.memory import MemoryStore
from guard.types import Account, Assessment, Decision, Exchange, Features, Peer, Receipt, Usage
from guard.unions import Unions

T0 = 1_700_000_000.0
DECISION = Decision("allow", True, 200, "r", 0.0, "suspect")
TOKENS = ("campaign", "tokens", "0")
REQUESTS = ("campaign", "requests", "0")


def limit(*per: str, **more: Any) -> Limit:
    return Limit("campaign", per or ("cluster",), **more)


def exchange(n: int, model: str = "gpt-5", **more: Any) -> Exchange:
    features = Features(1, "openai_chat", model, False, (), (), 100, 400)
    return Exchange(Account(f"{n:032x}", **more), Peer(), "/v1/chat/completions", features)


def of(cluster: str | None, *merged: str, **more: Any) -> Assessment:
    return replace(Assessment(0.8, "suspect", 0.0), cluster=cluster, merged=merged, **more)


class Desk:
    """Some limits, and what their clusters have used."""

    def __init__(self, *limits: Limit) -> None:
        self.unions = Unions(1_000)
        self.limiter = Limiter(Policy(limits=limits), MemoryStore(), self.unions)

    def take(self, asked: Exchange, assessment: Assessment, now: float = T0, *, granted: bool = False) -> Admission:
        return self.limiter.take(asked, assessment, now, granted=granted)

    def settle(self, asked: Exchange, admission: Admission, used: Usage, now: float = T0) -> Receipt:
        receipt = Receipt(asked, DECISION, now, admission.reserved, admission.pending, admission.lease)
        self.limiter.settle(receipt, used, now)
        return receipt


def each(amount: float, window_s: float = 86_400.0) -> tuple[Window, ...]:
    return (Window(amount, window_s),)


def test_the_members_of_a_cluster_share_one_limit() -> None:
    """Ten requests a day for a cluster are ten for all of its accounts, and the limit is named."""
    desk = Desk(limit(requests=each(10)))
    assert all(desk.take(exchange(n), of("c1")).admitted for n in range(10))
    refused = desk.take(exchange(11), of("c1"))
    assert not refused.admitted
    assert (refused.limit, refused.unit) == ("campaign", "requests")
    assert refused.retry_after_s > 8_000
    assert desk.take(exchange(12), of("c2")).admitted
    assert desk.take(exchange(13), of(None)).admitted


def test_of_two_windows_without_room_the_longer_wait_is_told() -> None:
    """Who comes back when the shorter one has room is refused again."""
    desk = Desk(limit(requests=(Window(2, 60.0), Window(2, 86_400.0))))
    for n in range(2):
        assert desk.take(exchange(n), of("c1")).admitted

    assert desk.take(exchange(3), of("c1")).retry_after_s > 40_000


def test_mergers_and_splits_reset_nothing() -> None:
    """The older cluster has what both used; who leaves takes its own."""
    desk = Desk(limit(requests=each(10)))
    for n in range(6):
        desk.take(exchange(n), of("c1"))
        desk.take(exchange(10 + n % 3), of("c2"))
    assert not desk.take(exchange(0), of("c1", "c2")).admitted
    assert desk.unions.level("c1", REQUESTS, T0) == pytest.approx(12.0)
    assert desk.take(exchange(10), of("c3")).admitted
    assert desk.unions.level("c3", REQUESTS, T0) == pytest.approx(3.0)
    assert desk.unions.level("c1", REQUESTS, T0) == pytest.approx(10.0)


def test_tokens_are_settled_once() -> None:
    """What was reserved becomes what was used, on the cluster's meter too; a second call changes nothing."""
    desk = Desk(limit(tokens=each(1e6)))
    admission = desk.take(exchange(1), of("c1"))
    assert desk.unions.level("c1", TOKENS, T0) == 500.0
    receipt = desk.settle(exchange(1), admission, Usage(200, 100, 50, True, True))
    assert desk.unions.level("c1", TOKENS, T0) == 150.0
    desk.limiter.settle(receipt, Usage(200, 100, 50, True, True), T0)
    assert desk.unions.level("c1", TOKENS, T0) == 150.0


def test_what_never_reached_the_app_is_given_back() -> None:
    """With limits per account beside it, too."""
    desk = Desk(limit(tokens=each(1e6), requests=each(5)), Limit("own", ("account",), requests=each(5)))
    admission = desk.take(exchange(1), of("c1"))
    desk.settle(exchange(1), admission, Usage(0, 0, 0, False, False, forwarded=False))
    assert desk.unions.level("c1", TOKENS, T0) == 0.0
    assert desk.unions.level("c1", REQUESTS, T0) == 0.0


def test_a_refusal_by_either_books_neither() -> None:
    """An account without room of its own uses nothing of its cluster's, and the other way round."""
    desk = Desk(limit(requests=each(3)), Limit("own", ("account",), requests=each(2)))
    assert [desk.take(exchange(1), of("c1")).admitted for _ in range(4)] == [True, True, False, False]
    assert desk.unions.level("c1", REQUESTS, T0) == 2.0
    assert [desk.take(exchange(2), of("c1")).limit for _ in range(2)] == ["", "campaign"]
    # Its own second request was not used up by what the cluster refused.
    assert [desk.take(exchange(2), of(None)).limit for _ in range(2)] == ["", "own"]


def test_grants_and_strangers_stand_outside() -> None:
    """A granted account's exchanges are not its cluster's; nobody has vouched for a stranger yet."""
    desk = Desk(limit(requests=each(1)))
    assert all(desk.take(exchange(1), of("c1"), granted=True).admitted for _ in range(3))
    assert all(desk.take(exchange(2, status="provisional"), of("c1")).admitted for _ in range(3))
    assert desk.unions.level("c1", REQUESTS, T0) == 0.0


def test_in_shadow_it_is_told_and_not_booked() -> None:
    """Without room a limit in shadow is named and takes nothing."""
    desk = Desk(limit(requests=each(1), mode="shadow"), Limit("own", ("account",), requests=each(5)))
    assert [desk.take(exchange(1), of("c1")).shadow for _ in range(3)] == [(), ("campaign",), ("campaign",)]
    assert desk.unions.level("c1", REQUESTS, T0) == 1.0


def test_conditions_hold_here_too() -> None:
    """A limit for one band concerns nobody in another."""
    when = Condition((("band", "is", frozenset({"confirmed"})),))
    desk = Desk(limit(requests=each(1), when=when))
    assert all(desk.take(exchange(1), of("c1")).admitted for _ in range(3))
    confirmed = replace(of("c1"), band="confirmed")
    assert [desk.take(exchange(1), confirmed).admitted for _ in range(2)] == [True, False]


def test_a_limit_per_cluster_and_model_counts_each_model() -> None:
    """Other words beside the cluster divide it."""
    desk = Desk(limit("cluster", "model", requests=each(2)))
    assert [desk.take(exchange(n, "gpt-5"), of("c1")).admitted for n in range(3)] == [True, True, False]
    assert desk.take(exchange(4, "gpt-5-mini"), of("c1")).admitted


def test_what_a_cluster_has_left_is_nobodys_to_read() -> None:
    """No quota tells a client that it is held to be a cluster's."""
    desk = Desk(limit(requests=each(2)))
    assert desk.take(exchange(1), of("c1")).quotas == ()
    assert desk.take(exchange(1), of("c1")).quotas == ()
    assert desk.take(exchange(1), of("c1")).quotas == ()


def test_another_policy_finds_the_levels_that_are_there() -> None:
    """A reload gives nobody a fresh budget."""
    desk = Desk(limit(requests=each(10)))
    for n in range(10):
        desk.take(exchange(n), of("c1"))
    limiter = Limiter(Policy(limits=(limit(requests=each(11)),)), MemoryStore(), desk.unions)
    taken = [limiter.take(exchange(n), of("c1"), T0, granted=False).admitted for n in range(2)]
    assert taken == [True, False]
