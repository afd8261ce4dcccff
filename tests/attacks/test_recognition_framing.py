"""SECURITY 123, 124 and 130: nobody can make another's account look like his own campaign, and what was forgiven stays so.

The attacker copies all that a client sends: prompts, system prompt, client, parameters, network. ``tag`` is the most that may
befall who is copied: the app answers, and nothing is told of him.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from guard.config import load
from guard.replay import Replay
from tests.populations import (
    DAY,
    ELICITING,
    HOUR,
    STACKS,
    START,
    Crowd,
    Judged,
    Record,
    Wording,
    chat,
    demanding,
    eliciting,
    hydra,
    judge,
    log,
    people,
    prose,
    sentence,
    template,
)

ATTACKED = START + 4 * DAY
"""When the attackers begin: the victims have lived four days by then."""
AWAY_S = 12 * HOUR
VICTIMS: dict[str, dict[str, Any]] = {
    "old and verified": {"age": (300.0, 700.0), "verified": True},
    "old": {"age": (60.0, 300.0)},
    "young": {"age": (0.0, 2.0), "verified": False},
    "of unknown age": {},
}


def attack(wording: Wording, **more: Any) -> list[Record]:
    """Fifty fresh accounts run a queue with it for two days."""
    return hydra(900, wording, start=ATTACKED, **more)


QUICK = ("old and verified", "young")
"""The kinds that are tried in every run; the others in slow ones."""
KINDS = [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow) for kind in VICTIMS]


def victims(kind: str, wording: Any, count: int = 6, **more: Any) -> list[Record]:
    """Accounts that ask several times a day in their own hours: before the attack a life of 3 ½ days and 15 exchanges, and
    more after its first half day."""
    records = Crowd("victim", 4 * count, 9, **VICTIMS[kind], **more).visits(wording, days=6, per_day=12.0, spread=9.0)
    lives: dict[str, list[float]] = {}
    for one in records:
        lives.setdefault(one["account"]["id"], []).append(one["at"])
    chosen = [
        who
        for who, times in sorted(lives.items())
        if min(times) < START + DAY / 2
        and sum(at < ATTACKED for at in times) >= 15
        and sum(at > ATTACKED + AWAY_S for at in times) >= 6
    ][:count]
    assert len(chosen) == count
    return [one for one in records if one["account"]["id"] in chosen]


def unharmed(found: Judged, crowd: str = "victim") -> None:
    assert found.touched("queue"), "the attack was not even noticed: this run shows nothing"
    worst = {who: action for who, action in found.worst.items() if who.startswith(f"{crowd}-")}
    assert worst
    assert set(worst.values()) <= {"allow", "tag"}, worst


@pytest.mark.parametrize("kind", KINDS)
def test_copying_a_client_and_a_network_harms_nobody(kind: str) -> None:
    """Case 123: the campaign has the victims' client, parameters and address, and its own text."""
    shared: dict[str, Any] = {"address": "10.77.7.7", "stack": STACKS[0]}

    unharmed(judge(log(victims(kind, chat, **shared), attack(eliciting(3), **shared), people(70, days=6))))


OWN = {
    "system": template(77, system=True),
    "turn": template(77),
    "everywhere": replace(template(77), system=prose(Random("his system prompt"), 30)),
}


PLACES = [
    ("old and verified", "everywhere"),
    ("young", "turn"),
    pytest.param("old", "system", marks=pytest.mark.slow),
    pytest.param("young", "everywhere", marks=pytest.mark.slow),
    pytest.param("of unknown age", "everywhere", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("kind", "where"), PLACES)
def test_republishing_prompts_harms_nobody(kind: str, where: str) -> None:
    """Case 124: a victim has a prompt of his own, which the attackers copy word for word while he sleeps; only what stands
    between is the attackers'."""
    own = OWN[where]
    # He was there four days, and comes back when all is over.
    mine = [one for one in victims(kind, own, 1) if not ATTACKED <= one["at"] < ATTACKED + AWAY_S]

    def copied(dice: Random) -> dict[str, Any]:
        return own.asking(f"{sentence(dice)} {ELICITING[0]}")

    unharmed(judge(log(mine, attack(copied), people(70, days=6))))


def test_republishing_what_colleagues_share_harms_none_of_them() -> None:
    """Case 124: the same where two had the prompt before: then there is a family that knows who was there first."""
    own = OWN["everywhere"]
    mine = [one for one in victims("young", own, 2) if not ATTACKED <= one["at"] < ATTACKED + AWAY_S]

    unharmed(judge(log(mine, attack(own), people(70, days=6))))


@pytest.mark.parametrize("kind", KINDS)
def test_republishing_prompts_among_ones_own_harms_nobody(kind: str) -> None:
    """Case 124: the attackers put a victim's words into their own template, and the victim chats of other things as well."""
    his = template(78)

    def life(dice: Any) -> dict[str, Any]:
        return his(dice) if dice.random() < 0.4 else chat(dice)

    own = eliciting(4)
    mixed = replace(own, before=f"{his.before}\n{own.before}", after=f"{his.after}\n{own.after}")

    unharmed(judge(log(victims(kind, life, 4), attack(mixed), people(70, days=6))))


USERS: dict[str, dict[str, Any]] = {
    "with standing": {"age": (60.0, 900.0), "verified": True},
    "without": {"age": (0.0, 9.0), "verified": False},
}
LOUD = {"quiet": 1_200, "loud": 3_500}


@pytest.mark.parametrize(
    ("standing", "loudness"),
    [
        ("with standing", "quiet"),
        ("without", "quiet"),
        pytest.param("with standing", "loud", marks=pytest.mark.slow),
        ("without", "loud"),
    ],
)
def test_copying_a_tool_does_not_shut_out_its_users(standing: str, loudness: str) -> None:
    """Case 126: fifty fresh accounts run a queue with a tool's public prompt. Of the tool's hundred users none is refused, and
    at most one in a hundred meets any containment."""
    tool = template(50, system=True)
    users = Crowd("tool", 100, 5, **USERS[standing]).visits(tool, days=4, per_day=3.0, spread=2.0)
    copies = hydra(LOUD[loudness], demanding(tool), start=START + DAY, days=3.0)

    found = judge(log(users, copies, people(70, days=4)))

    assert len(found.touched("tool")) <= 1
    assert found.actions["tool", "refuse"] == 0


def test_what_was_forgiven_is_not_held_against_an_account_again() -> None:
    """Case 130: the operator clears a member of a cluster; the same evidence, which goes on, doesn't touch it again."""
    records = hydra(900, days=1.0)
    lines = log(records, people(200, days=1))
    replay = Replay(load("standard"))
    before = judge(lines[:800], replay=replay)
    member = before.touched("queue")[0]
    assert replay.guard.forgive(f"account:{member}", records[0]["at"] + DAY / 2) >= 1

    after = judge(lines[800:], replay=replay)

    assert after.worst[member] in {"allow", "tag"}
    assert len(after.touched("queue")) >= 45


def test_a_verdict_that_was_cleared_stays_cleared_after_a_restart() -> None:
    """Case 130: the same where a new guard takes up the snapshot in between."""
    lines = log(hydra(900, days=1.0), people(200, days=1))
    first = Replay(load("standard"))
    before = judge(lines[:800], replay=first)
    member = before.touched("queue")[0]
    now = START + DAY
    assert first.guard.forgive(f"account:{member}", now) >= 1
    second = Replay(load("standard"))
    second.guard.restore(first.guard.snapshot(), now)
    second.guard.resume(list(first.guard.findings()), list(first.guard.verdicts()), now)

    after = judge(lines[800:], replay=second)

    assert after.worst[member] in {"allow", "tag"}
    # The cluster is known to the second one from its first exchange on: nobody else starts afresh.
    assert after.leak("queue", 0) <= 0.1
