"""What is asked of a verdict that counts accounts of standing."""

from __future__ import annotations

from math import inf, log

import numpy as np
import pytest

from guard.recognition.verdicts import AGED, AGREED_NATS, SOME_AGED, agreed_nats, ended, seasoned_nats
from guard.standing import STANDING
from tests.recognition.town import Marked, weighing
from tests.signals.groups_made_up import made, rng_of, sample_of

CAPS = {"coordination": 6.0, "rhythm": 2.5, "standing": 8.0}


@pytest.mark.parametrize(
    ("sums", "costly", "why"),
    [
        ({"coordination": 12.0, "rhythm": 3.0}, [12.0], "one signal says it all"),
        ({"coordination": 12.0, "rhythm": 3.0}, [10.0, 2.0], "without the strongest too little is left"),
        ({"coordination": 12.0}, [6.0, 3.0, 3.0], "no other kind speaks"),
        ({"coordination": 12.0, "rhythm": 0.5}, [6.0, 3.0, 3.0], "another kind hardly speaks"),
        ({}, [], "nothing is said"),
        ({"coordination": 12.0, "rhythm": 3.0, "standing": -12.0}, [6.0, 3.0, 3.0], "they are one owner's keys"),
    ],
)
def test_neither_one_signal_nor_one_kind_carries_it(sums: dict[str, float], costly: list[float], why: str) -> None:
    """Accounts of standing are convicted by several signals of several kinds, or not at all."""
    assert seasoned_nats(sums, CAPS, costly) == -inf, why


def test_signals_that_agree_count_for_up_to_twice_the_cap() -> None:
    """Clock, load and cards together say more than the cap of their kind; what speaks for the accounts is taken off."""
    sums = {"coordination": 10.0, "rhythm": 4.0, "standing": -4.0}

    assert seasoned_nats(sums, CAPS, [6.0, 3.0, 1.0]) == pytest.approx(10.0 + 2.5 - 4.0)
    assert seasoned_nats({**sums, "coordination": 20.0}, CAPS, [9.0, 8.0, 3.0]) == pytest.approx(12.0 + 2.5 - 4.0)


AGREEING = [("coordination", 3.0), ("coordination", 1.6)]


def test_load_cards_and_hours_that_agree_convict_aged_accounts() -> None:
    """All three together say more than their caps; that the accounts are old speaks for them as loudly as few campaigns have such."""
    sums = {"coordination": 4.1, "rhythm": 3.6, "standing": -4.0, "lifecycle": -1.0}

    found = agreed_nats(sums, CAPS | {"lifecycle": 3.0}, AGREEING)

    assert found == pytest.approx(4.1 + 3.6 + AGREED_NATS + log(AGED / (1 - AGED)))


@pytest.mark.parametrize(
    ("sums", "costly", "why"),
    [
        ({"coordination": 4.1, "rhythm": 2.2}, AGREEING, "they keep hours, or it is too early to say"),
        ({"coordination": 4.1}, AGREEING, "nothing is known of their hours"),
        ({"coordination": 3.0, "rhythm": 3.6}, [("coordination", 3.0)], "an even load alone is a set exercise"),
        ({"coordination": 1.1, "rhythm": 3.6}, AGREEING, "something of the same kind speaks against it"),
        (
            {"coordination": 2.0, "rhythm": 3.6, "infrastructure": 6.0},
            [("infrastructure", 3.0)] * 2,
            "it is not conduct",
        ),
    ],
)
def test_what_does_not_agree_convicts_nobody(sums: dict[str, float], costly: list[tuple[str, float]], why: str) -> None:
    """Each of the three is the way of some honest groups; only all together are a queue's."""
    assert agreed_nats(sums, CAPS | {"infrastructure": 3.0}, costly) == -inf, why


@pytest.mark.parametrize("share", [0.0, SOME_AGED - 0.05, SOME_AGED])
def test_conduct_alone_convicts_only_where_some_have_standing(share: float) -> None:
    """An event that goes on through one night, of accounts made for it, agrees in all of its conduct."""
    group = made(rng_of(1), np.arange(200.0), np.arange(200) % 20)
    standing = np.where(np.arange(20) < share * 20, STANDING, 0.0).astype(np.float32)
    sample = sample_of(group, standing=standing, reading=np.ones(200, np.float32))
    heard = [Marked("load", "coordination", 3.5), Marked("cards", "coordination", 3.5), Marked("hours", "rhythm", 5.0)]
    weighs = weighing(*heard)

    assert ended(weighs.weighing(sample, 50_000, agreeing=50)).agreed is (share >= SOME_AGED)
    assert ended(weighs.agreeing(sample, 50)).agreed is (share >= SOME_AGED)


@pytest.mark.parametrize(
    ("hours", "unknown", "agreed"), [(48.0, 20, False), (72.0, 20, True), (72.0, 15, False), (72.0, 16, True)]
)
def test_where_nobody_can_know_who_has_standing_conduct_must_agree_for_longer(
    hours: float, unknown: int, agreed: bool
) -> None:
    """An event is over in two days and a half; and it is all but a quarter of whom nothing is known."""
    group = made(rng_of(1), np.linspace(0.0, hours * 3_600.0, 200), np.arange(200) % 20)
    stated = np.arange(20) >= unknown
    sample = sample_of(
        group, dated=stated, verified=np.where(stated, 0, -1).astype(np.int8), reading=np.ones(200, np.float32)
    )
    heard = [Marked("load", "coordination", 3.5), Marked("cards", "coordination", 3.5), Marked("hours", "rhythm", 5.0)]

    assert ended(weighing(*heard).agreeing(sample, 50)).agreed is agreed


def test_to_be_new_adds_nothing() -> None:
    """A crowd at an event is new, and that is not conduct."""
    sums = {"coordination": 4.1, "rhythm": 3.6}
    caps = CAPS | {"lifecycle": 3.0}

    assert agreed_nats({**sums, "lifecycle": 3.0}, caps, AGREEING) == agreed_nats(sums, caps, AGREEING)


def test_keys_of_one_payer_are_one_owners() -> None:
    """The seats of a contact centre act as one queue, and it is no secret whose they are; to be old and verified says less."""
    sums = {"coordination": 4.1, "rhythm": 3.6, "content": 2.5}
    caps = CAPS | {"content": 2.5}

    assert agreed_nats({**sums, "standing": -4.0}, caps, AGREEING) > 0
    assert agreed_nats({**sums, "standing": -8.0}, caps, AGREEING) == -inf
    assert agreed_nats({**sums, "standing": -12.0}, caps, AGREEING) == -inf


def test_one_network_neither_convicts_nor_excuses() -> None:
    """A hall full of people and a proxy full of bought accounts have that in common: it is no conduct."""
    sums = {"coordination": 4.1, "rhythm": 3.6}
    caps = CAPS | {"infrastructure": 3.0}

    assert agreed_nats({**sums, "infrastructure": 3.0}, caps, AGREEING) == agreed_nats(sums, caps, AGREEING)
