"""What a group's accounts do in all groups: who is taken, when nothing is, and that it stays small."""

from __future__ import annotations

from array import array
from collections.abc import Generator
from random import Random
from typing import Any, TypeVar

import numpy as np
import pytest

from guard.recognition import elsewhere as module
from guard.recognition.accounts import Accounts
from guard.recognition.elsewhere import Elsewhere, Whole
from guard.recognition.explained import Scene
from guard.recognition.families import Family
from guard.recognition.groups import Group, Observed
from guard.samples import GIST, Baseline
from guard.types import Account
from tests.recognition.town import QUEUE, weighing

T0 = 1_790_000_000.0
HOUR = 3_600.0
BASELINE = Baseline(0, 0, T0, 0.0, 0.5, 0.0, 0.5, 0.0, 0.0, 0.0, np.zeros(GIST, np.float32))
_Result = TypeVar("_Result")


def end(work: Generator[None, None, _Result]) -> tuple[_Result, int]:
    """What it returns, and in how many slices."""
    for slices in range(1_000_000):
        try:
            next(work)
        except StopIteration as stop:
            return stop.value, slices
    raise AssertionError


def observed(at: float, number: int, *traits: int, **more: Any) -> Observed:
    values = Observed(at, number, array("Q", traits).tobytes(), 1, bytes(range(GIST)), 0.0, 1, 4, 5, 6, 0)
    return values._replace(**more)


def dealt(accounts: int, wordings: int, exchanges: int, hours: float, *, kept: bool = False) -> list[Family]:
    """Families, by wording, of a queue dealt out at random; ``kept``: each account keeps one wording."""
    dice = Random(5)
    families = [Family(1_000 + n, T0) for n in range(wordings)]
    events: list[list[Observed]] = [[] for _ in families]
    for n in range(exchanges):
        number = 1 + dice.randrange(accounts)
        wording = number % wordings if kept else dice.randrange(wordings)
        events[wording].append(observed(T0 + n * hours * HOUR / exchanges, number, 1_000 + wording, 10_000 + n))
    for family, own in zip(families, events, strict=True):
        family.group = Group(own)
    return families


def asked(held: Elsewhere, family: Family) -> Whole | None:
    assert family.group is not None
    return end(held.of(family.value, family.group.events))[0]


def gathered(families: list[Family]) -> Elsewhere:
    held = Elsewhere()
    end(_nothing(held.gather(families, 5_000, T0 + 48 * HOUR)))
    return held


def _nothing(work: Any) -> Generator[None, None, None]:
    yield from work


def test_of_a_groups_accounts_all_is_taken_that_they_did_in_any_group() -> None:
    """In order of time, each account whole."""
    families = dealt(100, 20, 1_000, 40.0)
    held = gathered(families)
    whole = asked(held, families[3])

    assert whole is not None
    everything = sorted(event for family in families if family.group for event in family.group.events)
    accounts = {event.number for event in families[3].group.events} if families[3].group else set()
    assert whole.together == [event for event in everything if event.number in accounts]
    assert {event.number for event in whole.apart} <= accounts


def test_a_group_is_looked_at_once_until_it_is_gathered_anew() -> None:
    families = dealt(100, 20, 1_000, 40.0)
    held = gathered(families)

    assert asked(held, families[0]) is not None
    assert held.looked(families[0].value)
    assert asked(held, families[0]) is None
    end(_nothing(held.gather(families, 9_000, T0 + 49 * HOUR)))
    assert not held.looked(families[0].value)
    assert asked(held, families[0]) is not None


@pytest.mark.parametrize(
    ("families", "why"),
    [
        (dealt(100, 20, 1_000, 20.0), "nothing is known of hours"),
        (dealt(100, 1, 1_000, 40.0), "they did no more than what the group shows"),
        (dealt(10, 20, 1_000, 40.0), "these are too few"),
        (dealt(140, 7, 1_000, 40.0, kept=True), "each says always the same: they may be teams"),
    ],
)
def test_nothing_is_taken_where_it_could_say_nothing(families: list[Family], why: str) -> None:
    assert asked(gathered(families), families[0]) is None, why


def test_what_is_held_is_bounded_and_an_account_is_in_it_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is too much, accounts are left out by a hash, and not exchanges."""
    monkeypatch.setattr(module, "MOST", 500)
    families = dealt(200, 20, 4_000, 40.0)
    held = gathered(families)
    kept = held._held

    assert 100 < sum(map(len, kept.values())) <= 500
    everything = [event for family in families if family.group for event in family.group.events]
    for number, events in kept.items():
        assert sorted(events) == sorted(event for event in everything if event.number == number)


def test_gathering_yields_after_each_group() -> None:
    """So that a slice is at most one group's exchanges."""
    families = dealt(200, 20, 4_000, 40.0)
    held = Elsewhere()

    assert held.due(600, T0)
    assert end(_nothing(held.gather(families, 4_000, T0)))[1] >= len(families)
    assert not held.due(4_100, T0 + HOUR)
    assert not held.due(9_000, T0 + 60.0)
    assert held.due(9_000, T0 + HOUR)


def test_who_mostly_does_other_things_is_a_stranger() -> None:
    """He shares a word with the queue, and has a life elsewhere."""
    accounts = Accounts(100)
    for n in range(40):
        known = accounts.meet(Account(f"{n:032x}"), T0)
        known.count = 100 if n < 5 else 12
    families = dealt(40, 20, 400, 40.0)
    held = gathered(families)
    scene = Scene(accounts, accounts.number, weighing(QUEUE), BASELINE, T0 + 48 * HOUR)
    everything = [event for family in families if family.group for event in family.group.events]

    theirs, strangers = end(held.life(everything, scene))[0]

    assert {1, 2, 3, 4, 5} <= strangers
    assert len(strangers) < 20
    assert {event.number for event in theirs} == {event.number for event in everything} - strangers
