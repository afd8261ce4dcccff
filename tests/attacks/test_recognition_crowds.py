"""SECURITY 125 and 126: what honest people share (an address, a tool, a subject) never makes them a campaign."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.populations import (
    DAY,
    START,
    Crowd,
    Judged,
    Record,
    chat,
    eliciting,
    hydra,
    judge,
    log,
    people,
    template,
    text,
)

NETWORK = "10.88.8.8"


def campus(count: int = 500, **more: Any) -> list[Record]:
    """Students behind one address, most of them new, in one time zone; each asks at least once."""
    return Crowd("campus", count, 9, address=NETWORK, age=(0.0, 60.0), **more).visits(
        chat, days=1, per_day=2.5, zone=1.0, least=1
    )


def test_an_extractor_among_five_hundred_behind_one_address() -> None:
    """Case 125: one of them harvests as loudly as his limits let him; at most one in a hundred of the others is touched."""
    extractor = hydra(1_000, name="extractor", accounts=1, address=NETWORK, days=1.0)

    found = judge(log(campus(), extractor))

    assert len(found.touched("campus")) <= 5
    assert found.actions["campus", "refuse"] == 0


def test_a_campaign_behind_the_address_of_five_hundred() -> None:
    """Case 125: likewise where a whole campaign hides behind that address; and it doesn't hide it."""
    found = judge(log(campus(), hydra(900, address=NETWORK, days=1.0)))

    assert len(found.touched("campus")) <= 5
    assert found.leak("queue", 300) <= 0.05


USERS = 5_000
TOOLS: dict[str, dict[str, Any]] = {
    "sessions": {"visit": 2.0, "spread": 0.7},
    "single turns": {"visit": 1.0, "spread": 0.7},
    "even use": {"visit": 1.0, "spread": 6.0},
}


def tool_users(kind: str, *, facts: bool) -> list[Record]:
    """Five thousand owners of one tool, SDK or framework, with its system prompt; old and new, all over the world."""
    more: dict[str, Any] = {"age": (0.0, 700.0)} if facts else {}
    wording = template(51, system=True, sentences=1, more={"temperature": 0.2})
    return Crowd("tool", USERS, 6, **more).visits(wording, days=1, per_day=1.0, least=1, **TOOLS[kind])


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        ("single turns", False),
        pytest.param("sessions", True, marks=pytest.mark.slow),
        pytest.param("even use", True, marks=pytest.mark.slow),
    ],
)
def test_five_thousand_users_of_one_tool(kind: str, facts: bool) -> None:
    """Case 126: none of them is touched, whether the operator knows their ages or not."""
    records = tool_users(kind, facts=facts)
    found = judge(log(records))

    assert len({one["account"]["id"] for one in records}) >= 0.99 * USERS
    assert found.touched("tool") == []
    assert set(found.clusters.values()) == {None}


def class_of(count: int) -> list[Record]:
    """Students who all do the same exercises, a few each evening, from fresh accounts."""
    exercises = [text(Random(f"exercise {n}"), 2) for n in range(30)]
    wording = eliciting(70)

    def homework(dice: Random) -> dict[str, Any]:
        return wording.asking(dice.choice(exercises))

    return Crowd("class", count, 12, age=(0.0, 9.0), verified=False).visits(
        homework, days=3, per_day=4.0, zone=2.0, spread=4.0
    )


def test_a_class_with_the_same_exercises() -> None:
    """Case 126: fresh accounts, one wording, "think step by step", in step with each other: and yet all of them people."""
    found = judge(log(class_of(150), people(150, days=3)))

    assert found.touched("class") == []


def test_a_tool_that_goes_viral() -> None:
    """Case 126: two hundred fresh accounts with one prompt within a day, most of them for a single try."""
    users = Crowd("viral", 400, 13, age=(0.0, 1.0), verified=False).visits(
        template(71, system=True), days=1, per_day=2.0, visit=2.0, spread=0.7
    )

    found = judge(log(users, people(150, days=1)))

    assert found.touched("viral") == []


def touched_share(found: Judged, crowd: str) -> float:
    there = [who for who in found.worst if who.rpartition("-")[0] == crowd]
    return len(found.touched(crowd)) / len(there)


@pytest.mark.parametrize("loud", [1_200, pytest.param(3_500, marks=pytest.mark.slow)])
def test_ordinary_people_who_speak_of_what_a_campaign_asks(loud: int) -> None:
    """Case 126: a campaign's questions are of the same words as everybody's; its template is its own. Of the people who share
    nothing but those words at most three in a thousand are touched, however much of all traffic the campaign is."""
    found = judge(log(hydra(loud), people(100)))

    assert found.leak("queue", 600) <= 0.05
    assert touched_share(found, "people") <= 0.003


def test_common_phrases_in_a_campaigns_padding_shut_nobody_out() -> None:
    """Case 123: the attackers stuff their texts with phrases that everybody uses, so as to make them their own."""
    own = eliciting(5)

    def stuffed(dice: Random) -> dict[str, Any]:
        return own.asking(text(dice, 16))

    found = judge(log(hydra(1_500, stuffed), people(100)))

    assert found.touched("queue")
    assert touched_share(found, "people") <= 0.003


def test_who_comes_after_a_campaign_starts_with_a_clean_slate() -> None:
    """New people, first seen when a campaign has long been known, are not taken for its replacements."""
    newcomers = Crowd("newcomer", 150, 14, start=START + DAY, age=(0.0, 0.1), verified=False).visits(chat, days=1)

    found = judge(log(hydra(1_500), people(150), newcomers))

    assert found.leak("queue", 600) <= 0.05
    assert touched_share(found, "newcomer") <= 0.003
