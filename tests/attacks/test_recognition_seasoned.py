"""Campaigns on bought accounts: old, some of them verified. Standing is no alibi for a queue, and no honest owner pays for that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random
from typing import Any

import pytest

from tests.populations import DAY, START, Crowd, chat, demanding, eliciting, judge, log, people, template

WORDING = eliciting(11)
AGED: dict[str, Any] = {"age": (60.0, 300.0), "verified": False}
MOST_IN_FULL = 350


def bought(name: str = "queue", count: int = 40, seed: int = 3) -> Crowd:
    """Accounts that have standing by their age."""
    return Crowd(name, count, seed, START, age=(60.0, 300.0), verified=False)


def test_a_queue_over_aged_accounts_is_found_and_only_what_carries_its_words_is_held() -> None:
    """Forty aged accounts work through a queue; what they ask of their own besides is answered."""
    own = Crowd("queue", 40, 3, START, **AGED).visits(chat, days=3, per_day=1.0, spread=0.3)
    records = bought().queue(1_500, WORDING, days=3.0)

    queue = judge(log(records, people(70, days=3)))
    both = judge(log(records, own, people(70, days=3)))

    assert queue.leak("queue", MOST_IN_FULL) <= 0.05
    assert queue.touched("people") == []
    assert queue.actions["queue", "refuse"] == 0, "an account with standing is made to wait, not shut out"
    assert both.actions["queue", "limit"] <= len(records)
    assert both.touched("people") == []


def test_half_of_a_pool_being_aged_hides_neither_half() -> None:
    """Where fresh accounts are found, the aged ones that share their queue are found with them."""
    dealt = bought(count=60).queue(1_500, WORDING, days=3.0)
    fresh = {f"queue-{n}" for n in range(30)}
    mixed = [
        {**one, "account": {**one["account"], "created": START - DAY}} if one["account"]["id"] in fresh else one
        for one in dealt
    ]

    found = judge(log(mixed, people(70, days=3)))

    assert found.leak("queue", MOST_IN_FULL) <= 0.05
    assert found.touched("people") == []


def test_users_of_a_tool_with_standing_are_no_queue() -> None:
    """A hundred aged accounts that use one tool, single questions in their own hours, are left alone."""
    tool = Crowd("tool", 100, 5, **AGED).visits(demanding(template(50)), days=4, per_day=4.0, spread=1.0)

    found = judge(log(tool, people(70, days=4)))

    assert found.touched("tool") == []


@pytest.mark.parametrize("loud", [1_200, pytest.param(4_000, marks=pytest.mark.slow)])
def test_an_aged_queue_with_a_tools_words_does_not_shut_out_its_users(loud: int) -> None:
    """Of the hundred aged users of a tool at most one is touched where forty aged accounts run a queue with its public prompt."""
    tool = template(50, system=True)
    users = Crowd("tool", 100, 5, **AGED).visits(tool, days=4, per_day=3.0, spread=2.0)
    copies = [{**one, "at": one["at"] + DAY} for one in bought().queue(loud, demanding(tool), days=3.0)]

    found = judge(log(users, copies, people(70, days=4)))

    assert len(found.touched("tool")) <= 1
    assert found.actions["tool", "refuse"] == 0


def test_a_wide_queue_over_aged_accounts_is_found_by_how_it_is_dealt() -> None:
    """Three hundred aged accounts ask twelve times a day each: the latest exchanges show hardly one account twice, the deep sample does."""
    records = bought(count=300).queue(9_000, WORDING, days=2.5)

    found = judge(log(records, people(70, days=3)))

    assert found.leak("queue", 5_500) <= 0.1
    assert found.touched("people") == []


def in_steps(tasks: Iterable[dict[str, Any]], steps: int, seed: int = 8) -> Iterator[dict[str, Any]]:
    """Each as the first step of an agent's loop, the others a few seconds to a minute apart."""
    dice = Random(seed)
    for task in tasks:
        yield task
        at, body = task["at"], task["request"]["body"]
        messages = body["messages"]
        for _ in range(steps - 1):
            at += dice.uniform(5.0, 60.0)
            said = [{"role": who, "content": f"{dice.getrandbits(400):x}"} for who in ("assistant", "user")]
            messages = [*messages, *said]
            yield {**task, "at": round(at, 3), "request": {**task["request"], "body": {**body, "messages": messages}}}


def test_what_goes_on_from_a_contained_exchange_is_contained() -> None:
    """Whoever is told to wait and goes on from the same request with an answer of his own making shows only what is new in it."""
    tasks = bought(count=60).queue(1_000, WORDING, days=3.0)

    found = judge(log(in_steps(tasks, 3), people(70, days=3)))

    answered = found.full["queue"]
    assert found.leak("queue", answered.index(False)) <= 0.02
    assert answered.index(False) <= 3 * MOST_IN_FULL
    assert found.touched("people") == []


@pytest.mark.slow
def test_a_wide_aged_queue_of_long_loops_is_held_as_soon_as_it_is_found() -> None:
    """That steps of one task follow each other tells nobody apart, and whom the first sample missed is linked as he is seen."""
    tasks = bought(count=240).queue(3_000, WORDING, days=3.0)

    found = judge(log(in_steps(tasks, 5), people(70, days=3)))

    answered = found.full["queue"]
    assert found.leak("queue", answered.index(False)) <= 0.02
    assert answered.index(False) <= 10_500
    assert found.touched("people") == []


@pytest.mark.parametrize(
    "lead_days",
    [
        1.0,
        pytest.param(
            0.0,
            marks=[
                pytest.mark.slow,
                pytest.mark.xfail(
                    strict=True,
                    reason="where a queue takes up a tool's words on the tool's first day, nobody was there before it: 71 of 100 are touched",
                ),
            ],
        ),
    ],
)
def test_a_wide_aged_queue_with_a_tools_words_does_not_shut_out_its_users(lead_days: float) -> None:
    """Three hundred aged accounts outnumber a tool's hundred users three to one: the tool's words become nobody's mark all the same."""
    tool = template(50, system=True)
    users = Crowd("tool", 100, 5, **AGED).visits(tool, days=4, per_day=3.0, spread=2.0)
    dealt = bought(count=300).queue(9_000, demanding(tool), days=3.0)
    copies = [{**one, "at": one["at"] + lead_days * DAY} for one in dealt]

    found = judge(log(users, copies, people(70, days=4)))

    assert len(found.touched("tool")) <= 1
    assert found.actions["tool", "refuse"] == 0
