"""Conversations that move: a relay is found by nothing else, and nobody who only shares a transcript is."""

from __future__ import annotations

import orjson
import pytest

from guard.recognition import keeping
from guard.settings import Grant
from tests.recognition.relays import DAY_S, KEY, T0, Talk, World, account, people, relay, run

ORDINARY = [account(f"person {n}", age_days=5.0 + n) for n in range(60)]
POOL = [account(f"rented {n}", age_days=5.0 + 6 * n, verified=n % 6 == 0) for n in range(40)]


def relaying(seed: int = 1, turns: int = 2_400, moves: float = 0.3) -> World:
    """A relay over rented accounts, old and some of them verified, among ordinary people."""
    world = World(seed)
    talks: list[Talk] = []
    own: dict[str, Talk] = {}
    run(world, turns, lambda: relay(world, POOL, talks, moves=moves), lambda: people(world, ORDINARY, own))
    return world


@pytest.mark.parametrize("seed", [1, 2])
def test_a_relay_over_rented_accounts_is_found(seed: int) -> None:
    """No template, old and verified accounts, people's own words: by its moves alone it is one cluster, and nobody else is touched."""
    world = relaying(seed)

    assert len(world.clusters) == 1
    assert world.touched(ORDINARY) == 0
    assert world.touched(POOL) >= 0.9 * len(POOL)
    assert world.leak(POOL, 400) <= 0.05
    evidence = {one.signal for one in world.clusters[0].evidence}
    assert "relayed" in evidence


def test_a_relay_that_keeps_nearly_every_conversation_is_not() -> None:
    """What hides: a pool whose conversations hardly ever move looks like people; the others' limits hold it."""
    assert relaying(moves=0.005, turns=1_200).clusters == []


def test_a_victim_is_never_suspect() -> None:
    """A relay goes on from a person's transcripts, again and again: edges go out of him, none come back."""
    world = relaying()
    victim = account("victim")
    mine = Talk()
    for _ in range(25):
        world.later(200.0)
        assert not world.send(victim, mine, client=b"people's").contained
        pasted = Talk(list(mine.messages), victim)
        world.send(world.chance.choice(POOL), pasted, client=b"the relay's")
    known = world.core.recognition.accounts.find(victim.key)
    assert known is not None
    assert (known.cluster, known.hops) == (0, 0)


def test_a_transcript_that_many_go_on_from_ties_nobody() -> None:
    """A published conversation, also one of a relay's: after two readers it is public."""
    world = World()
    readers = [account(f"reader {n}") for n in range(40)]
    for _ in range(30):
        published = Talk()
        world.send(world.chance.choice(readers), published)
        for who in world.chance.sample(readers, 12):
            world.later(60.0)
            assert not world.send(who, Talk(list(published.messages), published.holder)).contained
    assert world.clusters == []
    per_talk = len(world.core.recognition.hops.steps) / 30
    assert per_talk <= 2.0


@pytest.mark.parametrize(
    ("keys", "facts"),
    [(12, {}), (40, {"org": "a" * 32}), (40, {"payment": "b" * 32})],
    ids=["twelve keys of nobody known", "an organisation's", "one payer's"],
)
def test_a_router_is_left_alone(keys: int, facts: dict[str, str]) -> None:
    """One owner's keys behind a balancer pass every conversation round, and are no cluster."""
    world = World()
    team = [account(f"key {n}", age_days=1.0 + 9 * n, **facts) for n in range(keys)]
    talks: list[Talk] = []
    run(world, 900, lambda: relay(world, team, talks, moves=0.9))
    assert world.clusters == []
    assert world.contained == []


def test_an_office_that_shares_transcripts_is_left_alone() -> None:
    """Thirty colleagues, each with an account of his own: one turn in thirty goes on from what another pasted, an hour later."""
    world = World()
    office = [account(f"colleague {n}") for n in range(30)]
    own: dict[str, Talk] = {}

    def share() -> None:
        giver = world.chance.choice([one for one in office if own.get(one.key, Talk()).messages] or office)
        copied = Talk(list(own.get(giver.key, Talk()).messages), giver)
        taker = world.chance.choice([one for one in office if one is not giver])
        world.now += 3_600.0
        own[taker.key] = copied
        world.send(taker, copied)

    run(world, 1_200, *[lambda: people(world, office, own, b"a client")] * 29, share)
    assert world.clusters == []
    assert world.contained == []


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_chaff_does_not_hide_a_relay(share: float) -> None:
    """Half or four fifths of what its accounts send are requests of their own that stay: the moves remain, it only takes longer."""
    world = World()
    talks: list[Talk] = []
    own: dict[str, Talk] = {}

    def mixed() -> None:
        if world.chance.random() < share:
            people(world, POOL, own, b"the relay's")
        else:
            relay(world, POOL, talks, moves=0.6)

    run(world, 3_000, mixed)
    assert len(world.clusters) == 1
    assert world.leak(POOL, 300) <= 0.1


def test_the_owner_of_a_stolen_key_goes_on() -> None:
    """Five days of his own, then a relay uses his key as well: its exchanges are contained, his own are not."""
    world = World()
    owner = account("owner", age_days=400.0)
    mine: dict[str, Talk] = {}
    for _ in range(40):
        world.later(3 * 3_600.0)
        people(world, [owner], mine)
    assert world.now - T0 > 4 * DAY_S
    pool = [*POOL, owner]
    talks: list[Talk] = []
    run(world, 1_600, lambda: relay(world, pool, talks))
    assert len(world.clusters) == 1
    before = len(world.contained)
    for _ in range(20):
        world.later(600.0)
        people(world, [owner], mine)
    assert len(world.contained) == before


def test_what_the_operator_forgave_stays_forgiven() -> None:
    """A cluster is taken back: its accounts are free, and the same moves convict them no more."""
    world = relaying(turns=1_600)
    name = world.clusters[0].name
    assert world.core.forgive(f"cluster:{name}", world.now) >= 30
    before = len(world.contained)
    talks: list[Talk] = []
    run(world, 400, lambda: relay(world, POOL, talks))
    assert len(world.contained) == before


def test_a_granted_account_is_in_no_component() -> None:
    """The operator's word comes before."""
    world = World()
    granted = POOL[0]
    world.core.grant(Grant(next(iter(granted.names)), "known to us", 0.0), world.now)
    talks: list[Talk] = []
    run(world, 1_600, lambda: relay(world, POOL, talks))
    assert world.touched([granted]) == 0
    assert world.touched(POOL) > 30


def test_an_erased_account_is_nowhere() -> None:
    """What it received, what it went on from and what went on from it are forgotten."""
    world = relaying(turns=600)
    hops = world.core.recognition.hops
    known = world.core.recognition.accounts.find(POOL[3].key)
    assert known is not None
    assert known.number in hops.nodes
    world.core.erase(next(iter(POOL[3].names)), world.now)
    assert known.number not in hops.nodes
    assert all(known.number not in (step.giver, step.taker) for step in [*hops.steps, *hops.waiting])


def test_a_restored_one_decides_on_as_the_one_before_it_did() -> None:
    """Written down in the middle and read again: the rest is decided the same."""
    whole = relaying(turns=1_200)
    world = World()
    talks: list[Talk] = []
    own: dict[str, Talk] = {}
    steps = (lambda: relay(world, POOL, talks), lambda: people(world, ORDINARY, own))
    run(world, 700, *steps)
    recognition = world.core.recognition
    pieces = orjson.loads(orjson.dumps([*keeping.findings(recognition, whole=True), *keeping.verdicts(recognition)]))
    fresh = recognition.another(type(recognition.clusters))
    restoring = keeping.Restoring(fresh, world.now)
    for piece in pieces:
        restoring.take(piece)
    restoring.done()
    world.core.recognition = fresh
    run(world, 500, *steps)
    assert world.contained == whole.contained
    assert [(one.name, one.evidence) for one in world.clusters] == [(one.name, one.evidence) for one in whole.clusters]


def test_no_words_are_kept() -> None:
    """Of a thousand exchanges neither a word asked nor an answer is found in what is written down."""
    world = relaying(turns=1_000)
    written = orjson.dumps(list(keeping.findings(world.core.recognition, whole=True)))
    assert b"baran" not in written
    assert b"The answer" not in written
    assert KEY.identifier("account", b"rented 1").encode() in written
