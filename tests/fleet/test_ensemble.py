"""Replicas decide as one process would: recognition sees all of their exchanges in order of time."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from guard.config import load
from guard.fleet.ensemble import Ensemble
from guard.pipeline import Guard
from guard.recognition import keeping
from guard.replay import ExchangeLog, Replay
from tests.fleet.conftest import KEY
from tests.populations import Judged, hydra, log, people

LINES = log(people(), hydra())


def decided(lines: Sequence[bytes], count: int) -> tuple[Judged, list[bytes], list[Guard], Ensemble]:
    """The lines, each decided by one of so many guards that share limits and what they find."""
    policy = replace(load("standard"), mode="enforce")
    first = Guard(policy, key=KEY)
    guards = [first, *[Guard(policy, key=KEY, store=first.store) for _ in range(1, count)]]
    ensemble = Ensemble([guard.recognition for guard in guards], KEY)
    replays = [Replay(policy, guard=guard, due=ensemble.due) for guard in guards]
    lot, reader, found, out = random.Random(3), ExchangeLog(), Judged(), []
    for line in lines:
        outcome = lot.choice(replays).decide(reader.read(line))
        found.add(outcome)
        out.append(outcome.line())
    assert not any(guard.faults for guard in guards)
    return found, out, guards, ensemble


def test_one_replica_decides_byte_for_byte_as_a_guard_alone() -> None:
    """What is sent, led, told and taken up changes nothing: forms lose nothing that a decision depends on."""
    reader, alone = ExchangeLog(), Replay(load("standard"))
    assert decided(LINES, 1)[1] == [alone.decide(reader.read(line)).line() for line in LINES]


def test_three_replicas_find_and_contain_what_one_does() -> None:
    """The same leak but for a half of a percent, the same accounts in one cluster, and nobody ordinary touched."""
    one, three = decided(LINES, 1)[0], decided(LINES, 3)[0]
    assert three.touched("people") == one.touched("people") == []
    assert three.leak("queue", 0) <= max(1.2 * one.leak("queue", 0), one.leak("queue", 0) + 0.005)
    assert three.clusters == one.clusters


def test_every_replica_holds_what_the_leader_holds() -> None:
    """Traits, clusters with their evidence, who is linked, how many exchanges there were: all that the hot path reads."""
    _, _, guards, ensemble = decided(LINES[:1_500], 2)
    ensemble.due(1e12)
    led = ensemble.head.recognition
    for guard in guards:
        own = guard.recognition
        assert own.clusters.traits == led.clusters.traits
        assert own.clusters.proven == led.clusters.proven
        assert own.clusters.seen == led.clusters.seen
        assert [keeping.of_cluster(one) for one in own.clusters] == [keeping.of_cluster(one) for one in led.clusters]
        for known in led.accounts:
            mine = own.accounts.find(known.key)
            assert mine is not None
            for name in (
                "number",
                "count",
                "cluster",
                "bearing",
                "first_at",
                "client",
                "cleared",
                "hops",
                "born",
                "stopped_at",
            ):
                assert getattr(mine, name) == getattr(known, name), name
            assert own.accounts.number(known.number) is mine


def test_a_whole_says_all_that_single_frames_have_said() -> None:
    """Who takes up a whole knows what who has followed from the start knows."""
    _, _, guards, ensemble = decided(LINES[:1_500], 1)
    ensemble.due(1e12)
    late = Guard(load("standard"), key=KEY)
    joined = Ensemble([late.recognition], KEY).followers[0]
    joined.begin_anew()
    for frame in filter(None, ensemble.head.whole(1e12)):
        for _ in joined.adopt(frame, 1e12):
            pass
    assert joined.taken_up
    theirs, mine = guards[0].recognition, late.recognition
    assert mine.clusters.traits == theirs.clusters.traits
    assert len(mine.accounts) == len(theirs.accounts)
    assert [keeping.of_cluster(one) for one in mine.clusters] == [keeping.of_cluster(one) for one in theirs.clusters]
    assert sorted(mine.ceilings.limited()) == sorted(theirs.ceilings.limited())


def test_ceilings_are_used_up_by_all_replicas_together() -> None:
    """What one lets pass counts at the other."""
    _, _, guards, ensemble = decided(LINES, 2)
    ensemble.due(1e12)
    led = ensemble.head.recognition.ceilings
    for trait in [0, *led.limited()]:
        for guard in guards:
            told, mine = led.told(trait), guard.recognition.ceilings.told(trait)
            assert mine == told or told[0] == float("inf")
