"""What is asked of a verdict: evidence of two kinds, one of it costly, and accounts enough for one operator's."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

from guard.recognition.accounts import Accounts, Known
from guard.recognition.groups import Observed
from guard.recognition.verdicts import (
    FEWEST,
    FEWEST_TIED,
    Clip,
    Verdict,
    Weighing,
    agrees,
    ended,
    lives_apart,
    owners,
    prior,
    wide_enough,
)
from guard.samples import Sample, Weighed
from guard.types import Account, Evidence
from tests.signals.groups_made_up import DAY, START, made, rng_of, sample_of

CAPS = {"coordination": 6.0, "rhythm": 6.0, "infrastructure": 6.0}


class Says:
    """A signal that says the same of every group."""

    name: ClassVar[str]
    group: ClassVar[str]
    costly: ClassVar[bool]

    def __init__(self, kind: str, nats: float, *, costly: bool = True) -> None:
        self.name, self.group, self.costly = f"{kind} {nats} {costly}", kind, costly  # type: ignore[misc]
        self._nats = nats

    def weigh(self, sample: Sample) -> Weighed:
        return Weighed(self._nats, "says so")


def weighing(*signals: Says) -> Weighing:
    return Weighing(signals, {signal.name: Clip(1.0, -100.0, 100.0) for signal in signals}, CAPS)


def crowd(accounts: int = FEWEST, **fields: Any) -> Sample:
    """Two hundred exchanges of so many accounts without standing, each on a network of its own."""
    return sample_of(made(rng_of(1), np.arange(200.0), np.arange(200) % accounts), **fields)


def verdict(*signals: Says, sample: Sample | None = None, **asked: Any) -> Verdict:
    return ended(weighing(*signals).weighing(sample or crowd(), 1, **asked))


@pytest.mark.parametrize(("second", "band"), [(0.0, 2), (1.9, 2), (2.0, 3), (6.0, 3)])
def test_two_strong_kinds_confirm_and_one_does_not(second: float, band: int) -> None:
    found = verdict(Says("coordination", 6.0), Says("rhythm", second, costly=False))

    assert found.band == band
    assert (found.score >= 0.9) == (band == 3)


@pytest.mark.parametrize(
    ("signals", "band"),
    [
        ([Says("coordination", 6.0, costly=False), Says("rhythm", 6.0, costly=False)], 0),
        ([Says("coordination", 2.6), Says("coordination", 3.4, costly=False), Says("rhythm", 6.0, costly=False)], 0),
        ([Says("coordination", 2.7), Says("coordination", 3.3, costly=False), Says("rhythm", 6.0, costly=False)], 3),
        ([Says("coordination", 5.0), Says("coordination", -2.6, costly=False), Says("rhythm", 6.0, costly=False)], 0),
    ],
    ids=["cheap alone", "too little is costly", "enough is costly", "what is costly is outweighed"],
)
def test_no_heap_of_cheap_marks_convicts(signals: list[Says], band: int) -> None:
    assert verdict(*signals).band == band


def test_each_kind_counts_up_to_its_cap_both_ways() -> None:
    found = verdict(Says("coordination", 50.0), Says("rhythm", -50.0), Says("infrastructure", 3.0))

    assert found.nats == pytest.approx(prior(1) + 6.0 - 6.0 + 3.0)


def test_what_is_cleared_speaks_neither_by_itself_nor_as_a_second_signal() -> None:
    """Neither in the sum nor in the evidence, nor where accounts of standing count and several costly signals must speak."""
    signals = (Says("coordination", 6.0), Says("rhythm", 6.0), Says("infrastructure", 3.0, costly=False))
    cleared = frozenset({"coordination"})
    found = verdict(*signals, cleared=cleared)
    assert found.nats == pytest.approx(prior(1) + 6.0 + 3.0)
    assert {one.group for one in found.evidence} == {"rhythm", "infrastructure"}

    few = crowd(FEWEST - 1)
    assert verdict(*signals, sample=few, seasoned=1).seasoned
    assert verdict(*signals, sample=few, seasoned=1, cleared=cleared).band == 0


def test_what_is_cleared_ties_no_accounts_together() -> None:
    signals = (Says("coordination", 6.0), Says("rhythm", 6.0), Says("infrastructure", 2.0))

    assert verdict(*signals, sample=crowd(FEWEST_TIED)).band == 3
    assert verdict(*signals, sample=crowd(FEWEST_TIED - 1)).band == 0
    assert verdict(*signals, sample=crowd(FEWEST_TIED), cleared=frozenset({"infrastructure"})).band == 0


@pytest.mark.parametrize(("accounts", "band"), [(FEWEST - 1, 0), (FEWEST, 3)])
def test_a_group_needs_enough_accounts(accounts: int, band: int) -> None:
    """Unless whoever asks knows that there are enough."""
    signals = (Says("coordination", 6.0), Says("rhythm", 6.0))

    assert verdict(*signals, sample=crowd(accounts)).band == band
    assert verdict(*signals, sample=crowd(accounts), enough=True).band == 3


NETWORKS = [
    (list(range(1, 17)), 16),
    ([7] * 16, 16),
    ([1] * 8 + [2] * 8, 8),
    ([0] * 16, 16),
    ([0] * 4 + [1] * 6 + [2] * 6, 6),
    ([0] * 10 + [1] * 3 + [2] * 3, 12),
]
"""The network of each of sixteen accounts (0: unknown), and for how many owners they speak."""


@pytest.mark.parametrize(("networks", "most"), NETWORKS)
def test_a_few_keys_behind_one_address_are_one_owners(networks: list[int], most: int) -> None:
    """Networks count, or the accounts on the one that has most; quick and exact look agree whether there are enough."""
    network = np.tile(np.array(networks, np.uint32), 13)[:200]
    assert owners(crowd(16, network=network)) == most

    known = members(16)
    events = [seen(START + n, one, networks[n % 16]) for n, one in enumerate(known * 2)]
    by_number = {one.number: one for one in known}
    assert wide_enough(events, by_number.get) == (most >= FEWEST)


def test_accounts_of_standing_speak_for_nobody() -> None:
    standing = np.zeros(20, np.float32)
    standing[:5] = 0.5
    assert owners(crowd(20, standing=standing)) == 15

    known = members(20)
    for one in known[:5]:
        one.born = START - 90 * DAY
    events = [seen(START + n, one, n + 1) for n, one in enumerate(known)]
    by_number = {one.number: one for one in known}
    assert not wide_enough(events, by_number.get)
    assert wide_enough(events, by_number.get, whoever=True)


@pytest.mark.parametrize(("payers", "enough"), [("aab", True), ("abc", False), ("aa", False), ("   ", False)])
def test_three_accounts_of_which_two_have_one_payer_may_be_enough(payers: str, enough: bool) -> None:
    known = members(len(payers))
    for one, payer in zip(known, payers, strict=True):
        one.state(ord(payer) if payer != " " else 0, 0, 0)
    events = [seen(START + n, one, 1) for n, one in enumerate(known)]

    assert wide_enough(events, {one.number: one for one in known}.get) == enough


def test_signals_agree_where_nothing_of_their_kind_speaks_against_it() -> None:
    costly = [("coordination", 3.0), ("coordination", 1.6)]

    assert agrees({"coordination": 4.6}, costly)
    assert not agrees({"coordination": 2.6}, costly)
    assert not agrees({"coordination": 4.6}, costly[:1])


def members(count: int) -> list[Known]:
    accounts = Accounts(100)
    return [accounts.meet(Account(f"{number:032x}"), START) for number in range(count)]


def seen(at: float, who: Known, network: int) -> Observed:
    return Observed(at, who.number, b"", 1, b"", 0.0, 1, 1, 1, network, 0)


@pytest.mark.parametrize(
    ("load", "hours", "apart"),
    [
        (-2.3, -2.3, True),
        (-6.0, 1.0, True),
        (-6.0, 2.0, False),
        (-2.0, -2.0, False),
        (3.0, -6.0, False),
        (0.0, 0.0, False),
    ],
)
def test_accounts_live_apart_where_their_conduct_says_so(load: float, hours: float, apart: bool) -> None:
    """All of it together, a hundred to one; what else is said of them doesn't count."""
    found = verdict(Says("coordination", load), Says("rhythm", hours), Says("infrastructure", -6.0))

    assert lives_apart(found.evidence) is apart


@pytest.mark.parametrize(
    ("clock", "others", "band"),
    [
        (12.0, (Says("coordination", 1.5), Says("rhythm", 1.1, costly=False)), 2),
        # Neither the clock by itself, nor with another kind alone, nor with another signal of its kind alone.
        (12.0, (), 0),
        (12.0, (Says("rhythm", 3.0, costly=False),), 0),
        (12.0, (Says("coordination", 3.0),), 0),
        # Nor a weak one, nor one that loads, cards or hours plainly speak against.
        (1.0, (Says("coordination", 1.5), Says("rhythm", 1.1, costly=False)), 0),
        (12.0, (Says("coordination", -9.0), Says("rhythm", 1.1, costly=False)), 0),
        (12.0, (Says("coordination", 1.5), Says("rhythm", -6.0, costly=False)), 0),
    ],
)
def test_what_was_done_since_convicts_by_the_clock_and_something_else(
    clock: float, others: tuple[Says, ...], band: int
) -> None:
    said = Evidence("shared_clock", "coordination", clock, "paced")
    found = ended(weighing(*others).since(crowd(), 100, said))

    assert found.band == band
    assert found.evidence[0] == said
