"""SECURITY 127 to 129 and 67, 70: nobody can merge everything into one cluster, drift away from it, or hide behind a good account.

Precision is what counts: a cluster holds the accounts of its campaign and no others, whatever those send.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from guard.config import load
from guard.replay import ExchangeLog, Replay
from tests.populations import (
    CONTAINED,
    DAY,
    START,
    Crowd,
    Judged,
    Record,
    Template,
    chat,
    eliciting,
    hydra,
    judge,
    log,
    people,
    prose,
    template,
)

TOOLS = [template(60 + n, system=True) for n in range(4)]


def users(**more: Any) -> list[Record]:
    """Owners of four tools, new and old."""
    return [
        one
        for n, tool in enumerate(TOOLS)
        for one in Crowd(f"tool{n}", 40, 10 + n, age=(0.0, 400.0), **more).visits(tool, days=3, per_day=2.5)
    ]


def bounded(found: Judged, campaigns: int = 1) -> None:
    """Each cluster has members of one crowd, the campaign's; of the tools' users at most one in a hundred is touched."""
    members = Counter(who.rpartition("-")[0] for who, name in found.clusters.items() if name is not None)
    assert members["queue"] >= 45
    honest = sum(count for crowd, count in members.items() if not crowd.startswith("queue"))
    assert honest <= 0.01 * members.total(), members
    for n in range(len(TOOLS)):
        assert len(found.touched(f"tool{n}")) <= 1
    assert len(set(found.clusters.values()) - {None}) <= campaigns


def test_accounts_that_use_many_tools_as_well_merge_nothing() -> None:
    """Case 127: half of what each account sends is ordinary use of four popular tools; the tools' users stay outside."""
    own = eliciting(6)

    def mixed(dice: Random) -> dict[str, Any]:
        return own(dice) if dice.random() < 0.5 else dice.choice(TOOLS)(dice)

    bounded(judge(log(users(), hydra(1_400, mixed, start=START + DAY), people(60, days=3))))


@pytest.mark.xfail(
    strict=True,
    reason="whether a tool's whole family is convicted before the campaign's own wording is the luck of the seed (of six tried four "
    "fail, this one among them); founding would have to prefer the narrower family",
)
def test_traits_of_many_tools_in_every_prompt_merge_nothing() -> None:
    """Case 127: each prompt of the campaign bears a tool's system prompt and its closing words as well."""
    own = eliciting(6)

    def within(dice: Random) -> dict[str, Any]:
        tool = dice.choice(TOOLS)
        return replace(own, system=tool.system, after=f"{own.after}\n{tool.after}")(dice)

    bounded(judge(log(users(), hydra(1_400, within, start=START + DAY, seed=5), people(60, days=3))))


def test_two_campaigns_that_share_no_account_stay_two() -> None:
    """Case 127: and each of their accounts is told as one of its own cluster's."""
    found = judge(
        log(
            hydra(900, eliciting(6), accounts=40),
            hydra(900, eliciting(7), accounts=40, name="other", seed=3),
            people(200, days=2),
        )
    )
    named = {
        crowd: {name for who, name in found.clusters.items() if who.startswith(f"{crowd}-") and name is not None}
        for crowd in ("queue", "other")
    }

    assert len(named["queue"]) == len(named["other"]) == 1
    assert named["queue"].isdisjoint(named["other"])


def test_a_chain_through_another_tools_template_ends_at_its_accounts() -> None:
    """Case 127: a few accounts of a campaign are ordinary users of one tool too. Its other users are not drawn in."""
    tool = TOOLS[0]
    campaign = hydra(900, start=START + DAY)
    also = [
        {**one, "account": {**one["account"], "id": f"queue-{n % 12}"}}
        for n, one in enumerate(Crowd("also", 12, 20).visits(tool, days=3, per_day=6.0, least=2))
    ]
    facts = {one["account"]["id"]: one["account"] for one in campaign}
    also = [{**one, "account": facts[one["account"]["id"]]} for one in also]

    bounded(judge(log(users(), campaign, also, people(60, days=3))))


def test_what_others_have_asked_in_every_prompt_merges_nothing() -> None:
    """Case 127: the campaign quotes in each request what another user has just asked (as far as it can know it)."""
    tool_records = users()
    quotes = [one["request"]["body"]["messages"][-1]["content"] for one in tool_records]
    own = eliciting(6)

    def quoting(dice: Random) -> dict[str, Any]:
        return own.asking(dice.choice(quotes))

    found = judge(log(tool_records, hydra(1_500, quoting, start=START + DAY), people(60, days=3)))

    for n in range(len(TOOLS)):
        assert len(found.touched(f"tool{n}")) <= 1
    assert len(found.touched("people")) <= 1


def drifting(days: int) -> list[Record]:
    """A campaign that rewords a sixth of its template every day, in the same accounts."""
    own = eliciting(8)
    head, foot = own.before.split(), own.after.split()
    records: list[Record] = []
    for day in range(days):
        dice = Random(f"drift {day}")
        part = slice(day * 6, day * 6 + 6)
        head[part] = prose(dice, 6).rstrip(".").split()
        foot[(day * 4) % 20 : (day * 4) % 20 + 3] = prose(dice, 3).rstrip(".").split()
        wording = Template(before=" ".join(head), after=" ".join(foot))
        daily = hydra(400, wording, start=START + day * DAY, days=1.0)
        facts = {one["account"]["id"]: one["account"] for one in records or daily}
        records += [{**one, "account": facts[one["account"]["id"]]} for one in daily]
    return records


def test_a_template_that_drifts_is_followed() -> None:
    """Case 128: after six days hardly a word is what it was; the campaign is held all the while, and nobody else."""
    found = judge(log(drifting(6), people(60, days=6)))

    assert found.leak("queue", 300) <= 0.05
    assert len(found.touched("people")) <= 1


def test_a_slow_shift_of_what_is_usual_hides_nothing() -> None:
    """Case 128: eighty accounts, a fifth of all, ask for reasoning day by day so that this becomes usual; a campaign that then comes is found."""
    shifting = Crowd("shift", 80, 15, age=(0.0, 5.0), verified=False).visits(eliciting(33), days=3, per_day=3.0)

    found = judge(log(shifting, hydra(900, start=START + 2 * DAY, days=1.0), people(200, days=3)))

    assert found.leak("queue", 450) <= 0.1


def stolen(**facts: Any) -> tuple[list[bytes], list[str]]:
    """The life of one account, and the campaign that has its key from the fifth day on; of each line whose it was."""
    wording = eliciting(7)
    campaign = hydra(1_200, wording, start=START + 4 * DAY, days=3.0)
    life = Crowd("victim", 1, 9, **facts).visits(chat, days=7, per_day=12.0, spread=9.0, least=20)
    theft = Crowd("victim", 1, 10, start=START + 5 * DAY, **facts).queue(60, wording, days=2.0)
    assert sum(one["at"] > START + 5 * DAY for one in life) >= 6
    moments = {one["at"] for one in theft}
    for one in theft:
        one["account"] = life[0]["account"]
    records = [*campaign, *life, *theft, *people(60, days=7)]
    records.sort(key=lambda one: (one["at"], one["account"]["id"]))
    whose = [
        "" if one["account"]["id"] != "victim-0" else "theft" if one["at"] in moments else "life" for one in records
    ]
    return log(records), whose


@pytest.mark.parametrize("facts", [{"age": (300.0, 301.0), "verified": True}, {}], ids=["old", "unknown"])
def test_a_stolen_key_costs_its_owner_only_what_the_thief_sends(facts: dict[str, Any]) -> None:
    """Case 129: of an account with a life of its own the exchanges with the campaign's traits are contained, and no other."""
    lines, whose = stolen(**facts)
    outcomes = Replayed(lines)

    thefts = [action for action, who in zip(outcomes.actions, whose, strict=True) if who == "theft"]
    lives = [action for action, who in zip(outcomes.actions, whose, strict=True) if who == "life"]
    assert len(thefts) == 60
    assert sum(action in CONTAINED for action in thefts) >= 54
    # Nor is the account itself refused for good: at worst its own exchanges bear a tag.
    assert set(lives) <= {"allow", "tag"}
    assert "refuse" not in thefts


class Replayed:
    """The action on each line."""

    def __init__(self, lines: list[bytes]) -> None:
        reader, replay = ExchangeLog(), Replay(load("standard"))
        self.actions = [replay.decide(reader.read(line)).decision.action for line in lines]


@pytest.mark.parametrize(
    "cover", [0.5, pytest.param(0.3, marks=pytest.mark.slow), pytest.param(0.7, marks=pytest.mark.slow)]
)
def test_cover_traffic_does_not_hide_a_campaign(cover: float) -> None:
    """Case 70: a share of what the accounts send is ordinary chat. The harvest itself is contained."""
    own = eliciting(9)
    asked: list[bool] = []

    def mixed(dice: Random) -> dict[str, Any]:
        asked.append(dice.random() >= cover)
        return own(dice) if asked[-1] else chat(dice)

    campaign = hydra(1_500, mixed)
    harvest = {one["at"] for one, is_harvest in zip(campaign, asked, strict=True) if is_harvest}
    records = sorted([*campaign, *people(150)], key=lambda one: (one["at"], one["account"]["id"]))
    actions = Replayed(log(records)).actions
    full = [
        action not in CONTAINED for one, action in zip(records, actions, strict=True)
        if one["account"]["id"].startswith("queue-") and one["at"] in harvest
    ]  # fmt: skip

    assert sum(full[300:]) <= 0.05 * len(full[300:])
