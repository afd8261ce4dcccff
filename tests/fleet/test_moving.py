"""Conversations that move between accounts are seen over all replicas: where an answer was received says nothing of where it is gone on
from."""

from __future__ import annotations

import pytest

from guard.config import load
from guard.fleet.ensemble import Ensemble
from guard.fleet.following import PROVISIONAL
from guard.fleet.leading import Head
from guard.pipeline import Guard
from tests.fleet.moving import ORDINARY, POOL, Dealt, Deciding, relayed
from tests.recognition.relays import KEY, T0, Talk, account


def test_one_replica_decides_on_a_relay_as_a_guard_alone() -> None:
    """What is told of hops, of answers that others went on from and of who was refused loses nothing that a decision depends on."""
    assert relayed(Dealt(1)).decisions == relayed(Deciding()).decisions


@pytest.mark.parametrize("replicas", [2, 4])
def test_a_relay_dealt_over_replicas_is_found_as_by_one(replicas: int) -> None:
    """One cluster, nobody else touched, and about as much of it contained."""
    one, dealt = relayed(Deciding(2)), relayed(Dealt(replicas, 2))
    assert len(dealt.clusters) == 1
    assert dealt.touched(ORDINARY) == one.touched(ORDINARY) == 0
    assert dealt.touched(POOL) >= 0.9 * one.touched(POOL)
    assert dealt.leak(POOL, 400) <= max(1.2 * one.leak(POOL, 400), one.leak(POOL, 400) + 0.05)


class Pair(Dealt):
    """Two replicas; a test says which of them an exchange comes to."""

    def __init__(self) -> None:
        super().__init__(2)
        self.at = 0
        self._lot.choice = lambda guards: guards[self.at]  # type: ignore[method-assign, assignment]

    def settle(self) -> None:
        """All is told."""
        self.later(5.0)
        self.ensemble.due(self.now)


def test_an_answer_received_at_one_replica_and_gone_on_from_at_the_other_is_a_hop() -> None:
    """Of accounts that were never seen before: the receiver has another number at the replica that answered it than at the leader."""
    world = Pair()
    talk = Talk()
    world.send(ORDINARY[0], talk)
    world.settle()
    world.at = 1
    world.send(ORDINARY[1], talk)
    world.settle()
    head = world.ensemble.head.recognition
    (step,) = head.hops.waiting or head.hops.steps
    numbers = [known.number for who in ORDINARY[:2] if (known := head.accounts.find(who.key)) is not None]
    assert [step.giver, step.taker] == numbers


def test_whoever_received_an_answer_before_the_leader_knew_him_is_known_by_the_leaders_number() -> None:
    """He goes on from it himself at either replica: that is no hop, and the answer is not held to be everybody's."""
    world = Pair()
    talk = Talk()
    world.send(ORDINARY[0], talk)
    own = world.guards[0].recognition
    known = own.accounts.find(ORDINARY[0].key)
    assert known is not None
    assert known.number >= PROVISIONAL
    world.settle()
    assert known.number < PROVISIONAL
    for at in (0, 1):
        hops = world.guards[at].recognition.hops
        keys = [int(key) for key in hops.answers._cells[0][hops.answers._cells[0] != 0]]
        (found,) = [hops.answers.find(key, world.now) for key in keys]
        assert found is not None, "it would be public"
        assert found.number == known.number


def test_an_answer_that_two_have_gone_on_from_is_public_at_every_replica() -> None:
    """A published transcript: the third reader ties nobody, wherever he comes."""
    world = Pair()
    talk = Talk()
    world.send(ORDINARY[0], talk)
    world.settle()
    shown = list(talk.messages)
    for who in ORDINARY[1:4]:
        world.send(who, Talk(list(shown), talk.holder))
        world.settle()
    hops = world.guards[1].recognition.hops
    keys = [int(key) for key in hops.answers._cells[0][hops.answers._cells[0] != 0]]
    assert sum(hops.answers.find(key, world.now) is None for key in keys) == 1


def test_numbers_that_mean_others_at_the_leader_make_nobody_the_receiver() -> None:
    """A replica that numbered accounts by itself joins: what it noted by number is forgotten rather than held against somebody."""
    world = Pair()
    for who in ORDINARY[:8]:
        world.send(who, Talk())
    world.settle()
    late = Guard(load("standard"), key=KEY)
    for number in range(1, 9):
        late.recognition.accounts.meet(account(f"of its own {number}"), T0)
        late.recognition.hops.answers.give(1_000 + number, number, 0, T0)
    follower = Ensemble([late.recognition], KEY).followers[0]
    follower.begin_anew()
    for frame in filter(None, world.ensemble.head.whole(world.now)):
        for _ in follower.adopt(frame, world.now):
            pass
    assert all(late.recognition.hops.answers.find(1_000 + number, T0) is None for number in range(1, 9))
    head = world.ensemble.head.recognition.hops.answers
    for key in (int(key) for key in head._cells[0][head._cells[0] != 0]):
        assert late.recognition.hops.answers.find(key, world.now)[:2] == head.find(key, world.now)[:2]  # type: ignore[index]


def test_who_leads_next_numbers_apart_from_replicas() -> None:
    """What a replica has numbered by itself may be among what it leads on; new numbers are not."""
    guard = Guard(load("standard"), key=KEY)
    Ensemble([guard.recognition], KEY)
    guard.recognition.accounts.meet(ORDINARY[0], T0)
    head = Head(guard.recognition, 2)
    for _ in head.resume(guard.verdicts(), T0):
        pass
    for _ in head.resume((piece for piece in guard.findings()), T0):
        pass
    assert any(known.number >= PROVISIONAL for known in head.recognition.accounts)
    assert head.recognition.accounts.meet(ORDINARY[1], T0).number < PROVISIONAL
