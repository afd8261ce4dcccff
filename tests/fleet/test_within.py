"""What all are to know is known to all within a second: five rounds of everybody, on a real server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from guard.config import load
from guard.fleet.alike import deciding
from guard.fleet.fleet import ROUND_S
from guard.settings import Grant
from guard.types import Account
from tests.fleet.conftest import KEY, Replicas
from tests.populations import Judged, hydra, log, people

pytestmark = pytest.mark.anyio
Make = Callable[..., Replicas]
LINES = log(people(), hydra())
HALF = 1_014
ROUNDS = 5
"""Of ``ROUND_S``: a second, and in each of them everybody has one turn, whoever leads last."""


async def second(group: Replicas) -> None:
    """A second passes; whoever leads comes last in each round, so that what it finds waits for the next one."""
    assert ROUNDS * ROUND_S <= 1.0
    for _ in range(ROUNDS):
        group.clock.advance(ROUND_S)
        for replica in sorted(group.all, key=lambda one: one.fleet.leads):
            await replica.fleet.round()


async def three(replicas: Make) -> Replicas:
    """Three replicas that know of each other."""
    group = replicas()
    for _ in range(3):
        group.add()
    await group.led()
    return group


async def test_verdicts(replicas: Make) -> None:
    """Exchanges that came to any of them convict at all of them: the same clusters, traits and members."""
    group = await three(replicas)
    led = group.leader().duty.head.recognition
    others = [one.guard.recognition for one in group.all if not one.fleet.leads]
    for first in range(0, HALF, 50):
        await group.deal(LINES[first : first + 50], every=51)
        if len(led.clusters):
            break
    await second(group)
    assert len(led.clusters) == 1
    members = {known.key for known in led.accounts if known.cluster}
    assert len(members) > 40
    for recognition in others:
        assert [cluster.name for cluster in recognition.clusters] == [cluster.name for cluster in led.clusters]
        assert recognition.clusters.traits == led.clusters.traits
        assert {known.key for known in recognition.accounts if known.cluster} == members


async def test_grants_and_blocks(replicas: Make) -> None:
    """Said at whichever of them, in force at all."""
    group = await three(replicas)
    for number, one in enumerate(group.all):
        key = f"{number:032x}"
        one.fleet.voice.grant(Grant(key, "a test", 0.0), group.clock.now())
        one.fleet.voice.block(f"org:{number}", "a test", 0.0, group.clock.now())
    await second(group)
    for one in group.all:
        assert one.guard.words.counts()["blocks"] == 3
        for number in range(3):
            name = f"{number:032x}"
            who = Account(name, names=frozenset({f"account:{name}"}))
            assert one.guard.words.grant(who, group.clock.now()) is not None


async def test_forgiveness(replicas: Make) -> None:
    """A verdict that is lifted at one is lifted at all, and by whoever leads."""
    group = await three(replicas)
    await group.deal(LINES[:HALF])
    asked = next(one for one in group.all if not one.fleet.leads)
    cluster = next(iter(asked.guard.recognition.clusters))
    asked.fleet.voice.forgive(f"cluster:{cluster.name}", group.clock.now())
    await second(group)
    for recognition in [group.leader().duty.head.recognition, *[one.guard.recognition for one in group.all]]:
        assert len(recognition.clusters) == 0
        assert not any(known.cluster for known in recognition.accounts)


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_digests(replicas: Make, place: int) -> None:
    """A replica that takes up another policy is known to differ at all of them, whoever has his turn first and whoever has only just
    told that he is there: it says so at once, and who hears that looks."""
    group = await three(replicas)
    await second(group)
    assert not any(one.fleet.condition(group.clock.now())["warnings"] for one in group.all)
    other = replace(load("standard"), mode="enforce", limits=())
    group.all[place].guard.swap(other, group.clock.now())
    await second(group)
    for one in group.all:
        condition = one.fleet.condition(group.clock.now())
        assert deciding(other) in condition["digests"].values()
        assert any("different policies" in warning for warning in condition["warnings"])


async def test_who_joins_with_another_policy_is_known_to(replicas: Make) -> None:
    """Its first word is what it runs: nobody waits for his own next beat to hear of it."""
    group = await three(replicas)
    await second(group)
    group.add(policy=replace(load("standard"), limits=()))
    await second(group)
    for one in group.all:
        assert any("different policies" in warning for warning in one.fleet.condition(group.clock.now())["warnings"])


async def test_a_policy_that_decides_alike_is_not_told_of(replicas: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the same file again costs the others nothing."""
    group = await three(replicas)
    await second(group)
    told: list[bytes] = []
    one = group.all[0]
    nudge = one.fleet._post.nudge

    async def noted(word: bytes) -> None:
        told.append(word)
        await nudge(word)

    monkeypatch.setattr(one.fleet._post, "nudge", noted)
    one.guard.swap(replace(one.guard.policy, source="elsewhere"), group.clock.now())
    await second(group)
    assert told == []
    one.guard.swap(replace(one.guard.policy, limits=()), group.clock.now())
    await second(group)
    assert len(told) == 1


async def test_who_joins_knows_all_of_it_after_its_first_round(replicas: Make) -> None:
    """Which a server does before it takes requests (``background.py``): its first exchange of a member is contained."""
    group = await three(replicas)
    await group.deal(LINES[:HALF])
    group.all[0].fleet.voice.block("account:somebody", "a test", 0.0, group.clock.now())
    await second(group)
    joined = group.add()
    assert not joined.fleet.ready(group.clock.now())
    await joined.fleet.round()
    assert joined.fleet.ready(group.clock.now())
    assert joined.guard.words.counts()["blocks"] == 1
    theirs = group.leader().duty.head.recognition
    assert joined.guard.recognition.clusters.traits == theirs.clusters.traits
    later = Judged()
    for line in LINES[HALF:]:
        later.add(joined.replay.decide(group._reader.read(line)))
    assert later.leak("queue", 0) < 0.01
    assert later.touched("people") == []
    assert KEY is joined.guard.key
