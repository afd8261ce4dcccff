"""Ordinary accounts: people, users of tools, apps, scripts, teams. Each asks what it needs, at hours of its own.

Everything is drawn while it is asked for: an account is a generator that knows its next exchange, so that a year takes no more
memory than a day. The generators of one kind share their dice; in whatever order they are asked (by time, ``traffic.py``), that
order is always the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import NamedTuple

from guard.simulation.owners import DAY_S, EAST_H, HOUR_S, Facts, JSONObject, Look, Owner, owner
from guard.simulation.prompts import PLAIN, Prompts, Wording, answer, fixed, further

_GAP_S = 90.0
_LESSONS = 24


class Stage(NamedTuple):
    """What every kind is told: when the traffic begins and ends (seconds since 1970), what is asked, and the kind's dice."""

    start: float
    end: float
    prompts: Prompts
    dice: Random
    looks: Sequence[Look] = ()
    """What the clients of a campaign look like, where that is to be as beside it; empty: as simulated ones do."""


class Kind(NamedTuple):
    """``share``: how many of all ordinary accounts are of this kind."""

    name: str
    does: str
    share: float
    accounts: Callable[[Stage, int], list[Iterator[JSONObject]]]


def label(segment: str) -> JSONObject:
    return {"segment": segment, "campaign": None, "extraction": False}


def poisson(dice: Random, mean: float) -> int:
    """How often something of that mean happens."""
    count, at = 0, dice.expovariate(1.0)
    while at < mean:
        count += 1
        at += dice.expovariate(1.0)
    return count


def visits(stage: Stage, who: Owner, per_day: float, *, visit: float = 3.0, workdays: bool = False) -> Iterator[float]:
    """When a person asks: several questions a visit, at hours of his own. ``per_day``: his exchanges a day, on the mean."""
    dice = stage.dice
    middle, width = dice.gauss(14.5, 2.5), dice.uniform(2.0, 4.0)
    east_s = EAST_H[who.country] * HOUR_S
    last = stage.start
    for day in range(int((stage.end - stage.start) // DAY_S) + 2):
        if workdays and day % 7 >= 5:
            continue
        begin = stage.start + day * DAY_S
        times = []
        for _ in range(poisson(dice, per_day / visit)):
            at = begin + dice.gauss(middle, width) * HOUR_S - east_s
            for _ in range(1 + int(dice.expovariate(1.0 / (visit - 1.0)))):
                times.append(at)
                at += 15.0 + dice.expovariate(1.0 / _GAP_S)
        for at in sorted(times):
            # What a time zone pushes before the beginning or behind the end falls away.
            if stage.start <= at < stage.end:
                last = max(last, at)
                yield last


def need(dice: Random, per_day: float) -> float:
    """How much one of many owners asks: most little, a few much."""
    return dice.gammavariate(0.8, per_day / 0.8)


def chat(stage: Stage, count: int) -> list[Iterator[JSONObject]]:
    """People. Half of them talk on: each turn carries the conversation so far."""

    def asks(who: Owner) -> Iterator[JSONObject]:
        dice, prompts = stage.dice, stage.prompts
        topics = dice.sample(prompts.topics, min(3, len(prompts.topics)))
        talks = dice.random() < 0.5
        turns: list[dict[str, str]] = []
        topic, last = topics[0], 0.0
        for at in visits(stage, who, need(dice, 1.1)):
            if not turns or not talks or at - last > HOUR_S or len(turns) > 8:
                topic = dice.choices(topics, (6, 2, 1)[: len(topics)])[0]
                turns = [{"role": "user", "content": prompts.question(dice, topic)}]
            else:
                turns = [*turns, {"role": "user", "content": further(dice, topic)}]
            last, said = at, answer(dice, topic)
            yield who.exchange(at, dice, turns, label("chat"), said)
            turns = [*turns, {"role": "assistant", "content": said}]

    return [asks(who) for who in _owners(stage, "chat", count, Facts(verified=0.35))]


def _owners(stage: Stage, name: str, count: int, facts: Facts) -> list[Owner]:
    return [owner(stage.dice, f"{name}-{n}", stage.start, facts) for n in range(count)]


def _users(stage: Stage, owners: list[Owner], wording: Wording, per_day: float) -> list[Iterator[JSONObject]]:
    """Many people who use one thing, which sends its own text with what they ask. The segment is what they are named after."""

    def asks(who: Owner) -> Iterator[JSONObject]:
        dice, prompts = stage.dice, stage.prompts
        segment = who.id.partition("-")[0]
        topics = dice.sample(prompts.topics, min(3, len(prompts.topics)))
        for at in visits(stage, who, need(dice, per_day)):
            slot = prompts.question(dice, dice.choices(topics, (6, 2, 1)[: len(topics)])[0])
            yield who.exchange(at, dice, wording.asking(slot), label(segment))

    return [asks(who) for who in owners]


def extension(stage: Stage, count: int) -> list[Iterator[JSONObject]]:
    """A browser extension: one template, hundreds of owners."""
    wording = fixed(stage.dice, "letters", system=False)
    return _users(stage, _owners(stage, "extension", count, Facts(stack=1, dialect="openai")), wording, 2.5)


def tool(stage: Stage, count: int) -> list[Iterator[JSONObject]]:
    """A popular assistant: one system prompt, one client; a third of its users came this week."""
    wording = fixed(stage.dice, "code", system=True)
    facts = Facts(stack=2, dialect="openai", more={"temperature": 0.2})
    young = facts._replace(age_days=(0.0, 6.0), verified=0.0)
    owners = _owners(stage, "tool", count - count // 3, facts) + _owners(stage, "newcomer", count // 3, young)
    return _users(stage, owners, wording, 2.0)


def course(stage: Stage, count: int) -> list[Iterator[JSONObject]]:
    """A class: the same exercises for all, fresh accounts, one country."""
    dice, prompts = stage.dice, stage.prompts
    exercises = [prompts.question(dice, dice.choice(prompts.topics)) for _ in range(_LESSONS)]
    wording = Wording(before="I attend an evening class, and this is one of the exercises. Please help me with it.")

    def asks(who: Owner) -> Iterator[JSONObject]:
        for at in visits(stage, who, need(dice, 1.5)):
            week = int((at - stage.start) // (2 * DAY_S)) * 4
            slot = exercises[(week + dice.randrange(6)) % _LESSONS]
            yield who.exchange(at, dice, wording.asking(slot), label("course"))

    facts = Facts(age_days=(0.0, 20.0), tier="free", verified=0.1, country="DE")
    return [asks(who) for who in _owners(stage, "course", count, facts)]


def app(stage: Stage, count: int) -> list[Iterator[JSONObject]]:
    """Services: one key, one system prompt, whatever their own users ask, by day."""

    def asks(who: Owner) -> Iterator[JSONObject]:
        dice, prompts = stage.dice, stage.prompts
        topics = dice.sample(prompts.topics, min(4, len(prompts.topics)))
        wording = fixed(dice, dice.choice(topics), system=True)
        for at in visits(stage, who, need(dice, 40.0), visit=5.0):
            yield who.exchange(at, dice, wording.asking(prompts.question(dice, dice.choice(topics))), label("app"))

    facts = Facts(age_days=(20.0, 900.0), tier="paid", verified=0.7, network="hosting")
    return [asks(who) for who in _owners(stage, "app", count, facts)]


def script(stage: Stage, count: int) -> list[Iterator[JSONObject]]:
    """Small owners, each with a script of his own, on working days."""

    def asks(who: Owner) -> Iterator[JSONObject]:
        dice, prompts = stage.dice, stage.prompts
        topic = dice.choice(prompts.topics)
        wording = fixed(dice, topic, system=dice.random() < 0.5)
        for at in visits(stage, who, need(dice, 8.0), visit=6.0, workdays=True):
            yield who.exchange(at, dice, wording.asking(prompts.question(dice, topic)), label("script"))

    return [asks(who) for who in _owners(stage, "script", count, Facts(network="hosting"))]


def team(stage: Stage, count: int) -> list[Iterator[JSONObject]]:
    """Organisations: five keys each, one payment, one system prompt of their own."""
    found: list[Iterator[JSONObject]] = []
    dice = stage.dice
    for first in range(0, count, 5):
        org = f"org-{first // 5}"
        wording = fixed(dice, dice.choice(stage.prompts.topics), system=True)
        facts = Facts(tier="enterprise", verified=0.8, payment=f"account-{org}", org=org, country="GB")
        for n in range(first, min(count, first + 5)):
            who = owner(dice, f"team-{n}", stage.start, facts)
            found.append(_colleague(stage, who, wording))
    return found


def _colleague(stage: Stage, who: Owner, wording: Wording) -> Iterator[JSONObject]:
    dice, prompts = stage.dice, stage.prompts
    for at in visits(stage, who, need(dice, 6.0), workdays=True):
        topic = dice.choice(prompts.topics)
        how = wording if dice.random() < 0.6 else PLAIN
        yield who.exchange(at, dice, how.asking(prompts.question(dice, topic)), label("team"))


def batch(stage: Stage, count: int) -> list[Iterator[JSONObject]]:
    """Nightly jobs: one key, one template, hundreds in an hour."""

    def asks(who: Owner) -> Iterator[JSONObject]:
        dice, prompts = stage.dice, stage.prompts
        topic = dice.choice(prompts.topics)
        wording = fixed(dice, topic, system=True)
        night_s = dice.uniform(0.0, 5.0) * HOUR_S
        day = stage.start
        while day < stage.end:
            at = day + night_s
            for _ in range(poisson(dice, 160.0)):
                at += dice.expovariate(1.0 / 20.0)
                if at < min(stage.end, day + DAY_S):
                    yield who.exchange(at, dice, wording.asking(prompts.question(dice, topic)), label("batch"))
            day += DAY_S

    facts = Facts(age_days=(20.0, 900.0), tier="paid", verified=0.7, network="hosting")
    return [asks(who) for who in _owners(stage, "batch", count, facts)]


def evals(stage: Stage, count: int) -> list[Iterator[JSONObject]]:
    """Evaluation harnesses: the same few hundred tasks every other day, each with "think step by step"."""

    def asks(who: Owner) -> Iterator[JSONObject]:
        dice, prompts = stage.dice, stage.prompts
        tasks = [prompts.exam(dice) for _ in range(120)]
        wording = Wording(after="Think step by step. Put the answer into a box.")
        at = stage.start + dice.uniform(0.0, 2.0) * DAY_S
        while at < stage.end:
            for n, task in enumerate(tasks):
                if (then := at + 4.0 * n) < stage.end:
                    yield who.exchange(then, dice, wording.asking(task), label("evals"))
            at += 2.0 * DAY_S

    facts = Facts(age_days=(20.0, 900.0), tier="paid", verified=0.5, network="hosting")
    return [asks(who) for who in _owners(stage, "evals", count, facts)]


KINDS = (
    Kind("chat", "people who chat", 0.53, chat),
    Kind("extension", "one extension's template", 0.12, extension),
    Kind("tool", "a popular assistant", 0.12, tool),
    Kind("course", "a class with the same exercises", 0.07, course),
    Kind("app", "services with one key", 0.04, app),
    Kind("script", "scripts of their owners", 0.08, script),
    Kind("team", "organisations with several keys", 0.025, team),
    Kind("batch", "nightly jobs", 0.01, batch),
    Kind("evals", "evaluation harnesses", 0.005, evals),
)
