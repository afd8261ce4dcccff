"""Groups: the latest exchanges of a family, and the arrays that the group signals see."""

from __future__ import annotations

from array import array
from collections import Counter
from typing import Any

import numpy as np
import pytest

from guard.recognition.accounts import Accounts
from guard.recognition.groups import DEEP, FEWEST_DEEP, KEPT, Group, Observed, beginnings, sampling, shown_in_all
from guard.samples import GIST, Baseline, Sample
from guard.types import Account

NOW = 1_790_000_000.0
BASELINE = Baseline(0, 0, NOW, 0.0, 0.5, 0.0, 0.5, 0.0, 0.0, 0.0, np.zeros(GIST, np.float32))


def sample(*what: Any) -> Sample | None:
    """What ``sampling`` returns."""
    work = sampling(*what)
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def observed(at: float, number: int, **more: Any) -> Observed:
    values: dict[str, Any] = {
        "at": at,
        "number": number,
        "traits": array("Q", [1, 2]).tobytes(),
        "slot": 9,
        "gist": bytes(range(GIST)),
        "reading": 0.5,
        "turns": 3,
        "stack": 4,
        "model": 5,
        "network": 6,
        "bearing": 0,
    }
    return Observed(**{**values, **more})


def test_a_group_keeps_its_latest_and_counts_all() -> None:
    """It never holds more than twice what it keeps, and what it holds are the latest, in order."""
    group = Group([])
    most = 0
    for n in range(5 * KEPT):
        group.add(observed(NOW + n, 1))
        most = max(most, len(group.events))

    assert most <= 2 * KEPT
    assert len(group.events) >= KEPT
    assert group.seen == 5 * KEPT
    assert [event.at for event in group.events] == [NOW + n for n in range(5 * KEPT - len(group.events), 5 * KEPT)]


def test_a_group_says_when_it_is_due() -> None:
    """From the moment that it has seen so many, until somebody sets when next."""
    group = Group([])
    group.due = 3
    assert [group.add(observed(NOW, 1)) for _ in range(4)] == [False, False, True, True]
    group.due = 6
    assert [group.add(observed(NOW, 1)) for _ in range(2)] == [False, True]


def test_the_sample_holds_each_exchange_and_each_account_once() -> None:
    """Exchanges in order; accounts numbered from 0 within it, with what is known of them."""
    accounts = Accounts(10)
    old = accounts.meet(Account("a" * 32, created=NOW - 40 * 86_400.0, verified=True, payment="12" * 16), NOW)
    new = accounts.meet(Account("b" * 32), NOW)
    events = [
        observed(NOW, new.number),
        observed(NOW + 1, old.number, turns=1),
        observed(NOW + 2, new.number, gist=b""),
    ]

    taken = sample(events, accounts.number, BASELINE, NOW + 3)

    assert taken is not None
    assert taken.accounts == 2
    assert taken.account.tolist() == [0, 1, 0]
    assert taken.counts().tolist() == [2, 1]
    assert taken.at.tolist() == [NOW, NOW + 1, NOW + 2]
    assert taken.turns.tolist() == [3, 1, 3]
    assert taken.gist.shape == (3, GIST)
    assert taken.gist[1].tolist() == list(range(GIST))
    assert not taken.gist[2].any()
    assert taken.standing.tolist() == pytest.approx([0.0, 1.0], abs=1e-5)
    assert taken.verified.tolist() == [-1, 1]
    assert taken.dated.tolist() == [False, True]
    assert (taken.payment != 0).tolist() == [False, True]
    assert taken.baseline is BASELINE


def test_accounts_that_were_forgotten_are_left_out() -> None:
    """Their exchanges say nothing any more; where none is left there is no sample."""
    accounts = Accounts(10)
    stays, goes = (accounts.meet(Account(name * 32), NOW) for name in "ab")
    events = [observed(NOW, goes.number), observed(NOW + 1, stays.number)]
    accounts.forget(goes.key)

    taken = sample(events, accounts.number, BASELINE, NOW + 2)
    assert taken is not None
    assert taken.at.tolist() == [NOW + 1]
    assert taken.accounts == 1

    accounts.forget(stays.key)
    assert sample(events, accounts.number, BASELINE, NOW + 2) is None


def test_a_group_near_a_verdict_is_looked_at_again_soon() -> None:
    """An eighth more exchanges instead of half as many again; never later than it was due anyhow."""
    group = Group([])
    group.seen = 80
    group.put_off()
    group.look_again()
    assert group.due == 91

    group.due = 85
    group.look_again()
    assert group.due == 85


def test_of_a_wide_family_some_accounts_are_kept_whole() -> None:
    """Of thousands of accounts the latest exchanges hold one each; the deep sample holds a few whole, and stays small."""
    group = Group([])
    accounts, rounds = 3_000, 12
    for n in range(accounts * rounds):
        group.add(observed(NOW + n, 1 + n % accounts, turns=1))
        assert len(group.deep) <= 2 * DEEP
    deep = group.reaching_back()
    numbers = {event.number for event in deep}
    counts = Counter(event.number for event in deep)

    assert len(deep) >= DEEP / 2
    assert len(numbers) >= FEWEST_DEEP / 2
    assert min(counts.values()) >= rounds // 2
    assert max(counts.values()) - min(counts.values()) <= 1
    assert [event.at for event in deep] == sorted(event.at for event in deep)
    assert max(Counter(event.number for event in group.events).values()) == 1


def test_a_narrow_family_needs_no_deep_sample() -> None:
    """A few accounts fill the deep sample as soon as the latest exchanges, and it reaches back no further than they do."""
    group = Group([])
    for n in range(10 * KEPT):
        group.add(observed(NOW + n, 1 + n % 20, turns=1))

    assert len(group.deep) <= 2 * DEEP
    assert group.reaching_back() == []


def test_a_short_family_is_all_there() -> None:
    """Nothing is kept twice while nothing has been given up."""
    group = Group([])
    for n in range(KEPT):
        group.add(observed(NOW + n, n, turns=1))

    assert group.deep == []
    assert group.reaching_back() == []


def test_families_choose_the_same_accounts() -> None:
    """Whom the larger of two families keeps whole the smaller keeps too: what one knows of an account the other knows as well."""
    one, other = Group([]), Group([])
    for n in range(40_000):
        one.add(observed(NOW + n, n % 2_000, turns=1))
        if n % 3 == 0:
            other.add(observed(NOW + n, n % 2_000, turns=1))
    larger, smaller = {event.number for event in one.deep}, {event.number for event in other.deep}

    assert larger
    assert larger <= smaller


def test_what_follows_in_a_conversation_is_not_kept_for_long() -> None:
    """Agents take many steps a task: the deep sample holds how each task began, and so reaches back over many more tasks."""
    group = Group([])
    for n in range(20 * KEPT):
        group.add(observed(NOW + n, 1 + n // 10 % 100, turns=1 + 2 * (n % 10)))
    deep = group.reaching_back()

    assert len(deep) >= DEEP
    assert {event.turns for event in deep} == {1}
    assert deep[-1].at - deep[0].at > 4 * (group.events[-1].at - group.events[0].at)


def test_what_began_a_conversation_counts_once() -> None:
    """Of the deep sample and of the latest; where only what goes on is left, that is all there is."""
    first, both, later = (observed(NOW + n, n, turns=1) for n in range(3))
    step = observed(NOW + 9, 9, turns=5)
    assert beginnings([both, step, later], [first, both]) == [first, both, later]
    assert beginnings([step], []) == [step]


def test_how_often_each_has_shown_the_trait_of_a_wide_family() -> None:
    """Once in the latest tenth stands for ten times; who has begun a task in the deep sample has taken all of its steps."""
    events = [observed(NOW + n, n, turns=1) for n in range(10)]
    steps = [observed(NOW + n, 1, turns=1 + 2 * (n % 5)) for n in range(10)]

    assert shown_in_all(100, events, []) == dict.fromkeys(range(10), 10)
    assert shown_in_all(10, steps, [observed(NOW, 7, turns=1)] * 3) == {1: 10, 7: 15}
