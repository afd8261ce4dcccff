"""Campaigns that take their time: accounts that live first, words that are shown quietly first, scouts (SECURITY.md, A4)."""

from __future__ import annotations

import pytest

from tests.populations import DAY, START, Crowd, Record, Wording, chat, eliciting, hydra, judge, log, people

LIVED_DAYS = 4
TURNED = START + 4.2 * DAY
MOST_IN_FULL = 300
WORDING = eliciting(1)


def farmed(name: str, count: int, seed: int) -> Crowd:
    """Fresh accounts that nobody has verified."""
    return Crowd(name, count, seed, START, age=(0.0, 2.0), verified=False)


def turned(crowd: Crowd) -> list[Record]:
    """The queue that the accounts run once they have waited."""
    return [{**one, "at": one["at"] + TURNED - START} for one in crowd.queue(1_200, WORDING)]


@pytest.mark.parametrize("quiet", [chat, WORDING], ids=["ordinary life", "the queue's own words"])
def test_accounts_that_lived_before_they_ran_a_queue_are_found(quiet: Wording) -> None:
    """Four days of a few exchanges a day buy nobody a queue, neither of chats nor of the queue's own words at a quiet pace."""
    crowd = farmed("queue", 50, 1)
    lived = crowd.visits(quiet, days=LIVED_DAYS, per_day=4.0, spread=9.0)

    found = judge(log(lived, turned(crowd), people(70, days=7)))

    assert found.leak("queue", len(lived) + MOST_IN_FULL) <= 0.1
    assert found.touched("people") == []


def test_scouts_do_not_make_a_wording_public() -> None:
    """Eight accounts that show the words quietly for days do not make them everybody's before the queue comes."""
    scouts = farmed("scout", 8, 9).visits(WORDING, days=LIVED_DAYS + 1, per_day=4.0, spread=9.0)

    found = judge(log(scouts, hydra(1_200, WORDING, start=TURNED), people(70, days=7)))

    assert found.leak("queue", MOST_IN_FULL) <= 0.1
    assert found.touched("people") == []
