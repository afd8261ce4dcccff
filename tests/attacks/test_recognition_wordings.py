"""Campaigns that deal their queue out under many wordings, over aged accounts; and honest owners who say many things, too."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from guard.config import load
from guard.recognition.mercy import forgive_cluster
from guard.replay import ExchangeLog, Replay
from tests.populations import CONTAINED, START, Crowd, Record, Template, judge, log, people, template

AGED: dict[str, Any] = {"age": (60.0, 300.0), "verified": False}
TWENTY = [template(100 + n) for n in range(20)]


def reworded(dice: Random) -> dict[str, Any]:
    """One of twenty wordings, at random."""
    return dice.choice(TWENTY)(dice)


def slow(accounts: int = 300, exchanges: int = 7_200, days: float = 4.0) -> list[Record]:
    """A queue over aged accounts in which each wording comes to each account less than once."""
    return Crowd("queue", accounts, 3, START, **AGED).queue(exchanges, reworded, days=days)


def frames() -> list[Template]:
    """Twenty frames, each of one of four heads and one of five feet."""
    heads = [template(200 + n).before for n in range(4)]
    feet = [template(300 + n).after for n in range(5)]
    return [Template(before=head, after=foot, sentences=2) for head in heads for foot in feet]


def kept(records: list[Record], seed: int = 9) -> list[Record]:
    """The same, where each account keeps one of twenty frames."""
    dice, own = Random(seed), frames()
    whose = {name: dice.choice(own) for name in sorted({one["account"]["id"] for one in records})}
    return [
        {**one, "request": {**one["request"], "body": whose[one["account"]["id"]](Random(f"{seed} {n}"))}}
        for n, one in enumerate(records)
    ]


def test_a_queue_under_twenty_wordings_is_found() -> None:
    """Each wording by itself shows nobody twice; what its accounts do in all of them is one queue's."""
    found = judge(log(slow(), people(70, days=4)))

    assert found.leak("queue", 5_500) <= 0.2
    assert found.actions["queue", "refuse"] == 0, "an account with standing is made to wait, not shut out"
    assert found.touched("people") == []


def test_users_of_a_tool_of_many_prompts_are_no_queue() -> None:
    """Two hundred aged owners use a tool of twenty prompts, each as much and when he likes."""
    users = Crowd("tool", 200, 5, **AGED).visits(reworded, days=4, per_day=4.0, spread=1.0, visit=1.0)

    found = judge(log(users, people(70, days=4)))

    assert found.touched("tool") == []


@pytest.mark.parametrize("visit", [1.0, 3.0])
def test_owners_who_keep_their_frames_are_no_queue(visit: float) -> None:
    """Two hundred aged owners with frames of their own, single questions or several at a time."""
    users = kept(Crowd("tool", 200, 5, **AGED).visits(reworded, days=4, per_day=5.0, spread=1.0, visit=visit), seed=12)

    found = judge(log(users, people(70, days=4)))

    assert found.touched("tool") == []


def test_teams_with_balanced_keys_are_no_queue() -> None:
    """Twenty teams of seven keys each, dealt out evenly and round the clock, some of them with words in common: each has its own load."""
    dice, own = Random(4), frames()
    teams: list[list[Record]] = []
    for n, frame in enumerate(own):
        crowd = Crowd(f"team{n}", 7, 40 + n, **AGED)
        load_a_day = 7 * dice.lognormvariate(2.3, 0.9)
        teams.append(crowd.queue(max(20, int(3 * load_a_day)), replace(frame, sentences=2), days=3.0))

    found = judge(log(*teams, people(70, days=3)))

    assert [name for n in range(20) for name in found.touched(f"team{n}")] == []


def test_a_pardon_lifts_it_and_the_same_evidence_does_not_find_it_again() -> None:
    """What the operator forgives stays forgiven, whichever wording comes next."""
    replay, reader = Replay(load("standard")), ExchangeLog()
    recognition = replay.guard.recognition
    forgiven: set[str] = set()
    contained = 0
    for line in log(slow(), people(70, days=4)):
        outcome = replay.decide(reader.read(line))
        contained += bool(forgiven) and outcome.account_id in forgiven and outcome.decision.action in CONTAINED
        named = next((cluster for cluster in recognition.clusters if cluster.linked > 250), None)
        if named is not None and not forgiven:
            keys = set(forgive_cluster(recognition, named.name, recognition.ring.due_at) or ())
            forgiven = {f"queue-{n}" for n in range(300)}
            assert len(keys) > 250

    assert forgiven
    assert contained == 0
