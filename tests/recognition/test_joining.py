"""Who joins a relay's cluster: its own accounts at their first hop, nobody for one transcript."""

from __future__ import annotations

import orjson
import pytest

from guard.recognition import keeping
from guard.recognition.accounts import SETTLED_EXCHANGES, Accounts, Known
from guard.recognition.clusters import Clusters
from guard.recognition.joining import HELD, STAYED, TRIAL, Joining, first_talk, on_trial, try_out
from guard.recognition.moving import Step
from guard.types import Account
from tests.recognition.relays import Talk, World, account, people, relay, run

ORDINARY = [account(f"person {n}", age_days=5.0 + n) for n in range(60)]
POOL = [account(f"rented {n}", age_days=5.0 + 6 * n, verified=n % 6 == 0) for n in range(40)]
POOLS = b"the relay's"


def relaying(turns: int = 1_600, *, common: bool = False) -> tuple[World, list[Talk]]:
    """A relay that is known, among ordinary people. ``common``: they come by the same client as it does."""
    world = World()
    talks: list[Talk] = []
    own: dict[str, Talk] = {}
    client = POOLS if common else b"people's"
    run(world, turns, lambda: relay(world, POOL, talks), lambda: people(world, ORDINARY, own, client))
    assert len(world.clusters) == 1
    return world, talks


def known(world: World, who: Account) -> Known:
    found = world.core.recognition.accounts.find(who.key)
    assert found is not None
    return found


def members_answer(world: World) -> Talk:
    """A conversation that a member of the relay was answered in before it was known, and that nobody has gone on from."""
    talk = Talk()
    member = next(one for one in POOL if known(world, one).hops == HELD)
    # As if the operator had let this one pass: it is answered, and its owner stays a member.
    asked = [{"role": "user", "content": world.ask()}]
    receiver = known(world, member)
    cluster, receiver.cluster = receiver.cluster, 0
    held, receiver.hops = receiver.hops, 0
    decision = world.send(member, talk, asked[0]["content"], client=POOLS)
    receiver.cluster, receiver.hops = cluster, held
    assert not decision.contained
    return talk


def own_turns(world: World, who: Account, count: int, client: bytes) -> list[bool]:
    """So many conversations of its own: which of their first turns were contained."""
    contained = []
    for _ in range(count):
        world.later(600.0)
        contained.append(world.send(who, Talk(), client=client).contained)
    return contained


def paste(world: World, who: Account, client: bytes) -> None:
    """It goes on from a member's answer: that exchange is the relay's, whoever sends it."""
    assert world.core.recognition.hops.joining.pools
    talk = members_answer(world)
    world.later(100.0)
    assert world.send(who, talk, client=client).contained


def test_one_transcript_of_a_relays_holds_nobody() -> None:
    """Whoever pastes it by a client of his own has that one exchange contained, and nothing else."""
    world, _ = relaying()
    reader = account("reader")
    paste(world, reader, b"a reader's")
    assert own_turns(world, reader, 12, b"a reader's") == [False] * 12
    assert not on_trial(known(world, reader))


def test_a_first_hop_by_the_pools_client_is_enough_for_a_while() -> None:
    """A light account of the pool's shows one hop: what it sends next is contained, its first turns as well."""
    world, _ = relaying()
    light = account("light")
    paste(world, light, POOLS)
    assert own_turns(world, light, TRIAL, POOLS) == [True] * TRIAL


def lend(world: World, who: Account, client: bytes, after_s: float = 60.0) -> None:
    """It begins a conversation, and a member goes on with it."""
    talk = Talk()
    world.send(who, talk, client=client)
    world.now += after_s
    member = next(one for one in POOL if known(world, one).hops == HELD)
    world.send(member, Talk(list(talk.messages), talk.holder), client=POOLS)
    world.now += 60.0
    world.core.due(world.now)


def test_whose_answer_a_member_takes_over_at_once_is_on_trial() -> None:
    """A light account of the pool's has taken nothing over yet, but what it was answered goes on at a member's: its next exchanges are
    contained, and then it is free. It is not named one of the cluster's."""
    world, _ = relaying()
    light = account("light")
    lend(world, light, POOLS)
    assert on_trial(known(world, light))
    assert own_turns(world, light, TRIAL + 10, POOLS) == [True] * TRIAL + [False] * 10
    assert known(world, light).hops != HELD


@pytest.mark.parametrize(
    ("client", "after_s"),
    [(b"a customer's", 60.0), (POOLS, 1_200.0)],
    ids=["by a client of his own", "pasted later"],
)
def test_whose_transcripts_a_relay_goes_on_from_is_not_on_trial(client: bytes, after_s: float) -> None:
    """A customer who goes on with the relay, and a victim who has shown his transcripts, again and again."""
    world, _ = relaying()
    victim = account("victim")
    for _ in range(4):
        lend(world, victim, client, after_s)
    assert own_turns(world, victim, 10, client) == [False] * 10
    assert (known(world, victim).hops, known(world, victim).cluster) == (0, 0)


def test_a_life_before_is_not_on_trial_for_what_it_gave() -> None:
    """Four days of its own here, however little it asked, by the same client as the pool's: one conversation that goes on at a member's
    says nothing of it, and ties it to nobody."""
    world, talks = relaying(800)
    owner = account("owner")
    for _ in range(SETTLED_EXCHANGES):
        world.now += 10 * 3_600.0
        world.send(owner, Talk(), client=POOLS)
    own: dict[str, Talk] = {}
    run(world, 1_200, lambda: relay(world, POOL, talks), lambda: people(world, ORDINARY, own))
    lend(world, owner, POOLS)
    assert own_turns(world, owner, 5, POOLS) == [False] * 5
    assert (known(world, owner).hops, known(world, owner).cluster) == (0, 0)


def test_an_app_whose_users_feed_a_relay_goes_on() -> None:
    """A new app shows what it is answered to whoever uses it, so its users can go on at once with what it began, on purpose and by the
    same client: it has had more exchanges before than a relay's account has without a hop."""
    world, _ = relaying()
    app = account("app")
    own_turns(world, app, STAYED + 1, POOLS)
    for _ in range(3):
        lend(world, app, POOLS)
    assert own_turns(world, app, 10, POOLS) == [False] * 10
    assert (known(world, app).hops, known(world, app).cluster) == (0, 0)


def test_who_gives_two_conversations_at_once_is_a_member() -> None:
    """One that was given twice is one; another makes it a member."""
    world, _ = relaying()
    light = account("light")
    lend(world, light, POOLS)
    own_turns(world, light, TRIAL, POOLS)
    assert known(world, light).hops not in {0, HELD}
    lend(world, light, POOLS)
    assert known(world, light).hops == HELD
    assert own_turns(world, light, 10, POOLS) == [True] * 10


def test_one_conversation_that_is_given_twice_is_one() -> None:
    """Whoever goes on with it himself in between has still given one."""
    world, _ = relaying()
    light = account("light")
    talk = Talk()
    member = next(one for one in POOL if known(world, one).hops == HELD)
    for _ in range(2):
        assert not world.send(light, talk, client=POOLS).contained
        world.now += 60.0
        world.send(member, Talk(list(talk.messages), talk.holder), client=POOLS)
        world.now += 60.0
        own_turns(world, light, TRIAL, POOLS)
        world.now += 60.0
    assert known(world, light).hops != HELD


def test_a_new_members_earlier_hops_are_looked_at_at_once() -> None:
    """Two light accounts pass a conversation on: nothing is known of either. When one turns out to be a member, the other is on trial,
    though hardly a conversation moves any more."""
    world, _ = relaying()
    first, second = account("first"), account("second")
    talk = Talk()
    world.send(first, talk, client=POOLS)
    world.now += 60.0
    world.send(second, talk, client=POOLS)
    lend(world, first, POOLS)
    assert known(world, second).hops == 0
    paste(world, first, POOLS)
    world.now += 60.0
    world.core.due(world.now)
    assert known(world, first).hops == HELD
    assert on_trial(known(world, second))
    assert world.core.recognition.hops.joining.grown == 0


def test_a_trial_ends() -> None:
    """Who has the relay's client by chance and pasted once is free after so many exchanges, and stays free; he was never named
    one of the cluster's."""
    world, _ = relaying()
    unlucky = account("unlucky")
    paste(world, unlucky, POOLS)
    contained = own_turns(world, unlucky, TRIAL + 20, POOLS)
    assert contained == [True] * TRIAL + [False] * 20
    assert known(world, unlucky).hops != HELD


def test_on_trial_its_other_client_is_free() -> None:
    """The account is used by two: what comes by another client is its owner's."""
    world, _ = relaying()
    shared = account("shared")
    paste(world, shared, POOLS)
    assert own_turns(world, shared, 3, b"its owner's") == [False] * 3


def test_a_second_conversation_makes_a_member() -> None:
    """On trial or after it."""
    world, _ = relaying()
    for name, between in (("soon", 1), ("late", TRIAL + 5)):
        light = account(name)
        paste(world, light, POOLS)
        own_turns(world, light, between, POOLS)
        paste(world, light, POOLS)
        assert known(world, light).hops == HELD
        assert own_turns(world, light, 10, POOLS) == [True] * 10


def test_a_life_of_its_own_is_not_on_trial() -> None:
    """An account that led one here before goes on with it."""
    world, talks = relaying(800)
    owner = account("owner", age_days=400.0)
    for _ in range(40):
        world.later(3 * 3_600.0)
        world.send(owner, Talk(), client=POOLS)
    own: dict[str, Talk] = {}
    run(world, 1_200, lambda: relay(world, POOL, talks), lambda: people(world, ORDINARY, own))
    paste(world, owner, POOLS)
    assert own_turns(world, owner, 5, POOLS) == [False] * 5


def test_what_everybody_comes_by_is_no_pools_client() -> None:
    """Then one hop says nothing of who sent it."""
    world, _ = relaying(common=True)
    assert world.core.recognition.hops.joining.pools == {}


@pytest.mark.parametrize("gives", [False, True], ids=["it took over", "members took over from it"])
def test_hops_before_the_verdict_count_after_it(gives: bool) -> None:
    """Two conversations between an account and some that were found to be a relay's only later: it is one of it."""
    world = World()
    talks: list[Talk] = []
    own: dict[str, Talk] = {}
    early = account("early")
    steps = (lambda: relay(world, POOL, talks), lambda: people(world, ORDINARY, own))
    run(world, 200, *steps)
    for _ in range(2):
        talk = Talk()
        two = [world.chance.choice(POOL), early]
        first, then = reversed(two) if gives else two
        world.send(first, talk, client=POOLS)
        world.later(60.0)
        assert not world.send(then, talk, client=POOLS).contained
    run(world, 1_600, *steps)
    assert len(world.clusters) == 1
    assert known(world, early).hops == HELD
    assert world.send(early, Talk(), client=POOLS).contained


@pytest.mark.parametrize("client", [b"a reader's", POOLS], ids=["of their own", "the pool's"])
def test_a_relays_published_transcripts_hold_no_readers(client: bytes) -> None:
    """Thirty readers of each of ten: whatever their client, at most the first two of each meet more than that exchange."""
    world, _ = relaying()
    readers = [account(f"reader {n}") for n in range(300)]
    for first in range(0, 300, 30):
        published = members_answer(world)
        for who in readers[first : first + 30]:
            world.later(60.0)
            world.send(who, Talk(list(published.messages), published.holder), client=client)
    held = [any(own_turns(world, who, 1, client)) for who in readers]
    assert sum(held) <= (20 if client == POOLS else 0)
    assert all(known(world, who).hops != HELD for who in readers)


def test_customers_who_leave_a_relay_are_not_shut_out() -> None:
    """Each goes on with one conversation of the relay's under a key of his own, and then asks his own things."""
    world, _ = relaying()
    customers = [account(f"customer {n}", age_days=1.0 + n) for n in range(20)]
    for who in customers:
        paste(world, who, b"customer's %d" % (int(who.key[:4], 16) % 5))
    own: dict[str, Talk] = {}
    before = len(world.contained)
    run(world, 200, lambda: people(world, customers, own, b"a chat window"))
    assert len(world.contained) == before


def test_a_trial_is_kept_over_a_restart() -> None:
    """With the client that the pool comes by."""
    world, _ = relaying()
    light = account("light")
    paste(world, light, POOLS)
    own_turns(world, light, 2, POOLS)
    recognition = world.core.recognition
    pieces = orjson.loads(orjson.dumps([*keeping.findings(recognition, whole=True), *keeping.verdicts(recognition)]))
    fresh = recognition.another(type(recognition.clusters))
    restoring = keeping.Restoring(fresh, world.now)
    for piece in pieces:
        restoring.take(piece)
    restoring.done()
    assert fresh.hops.joining.pools == recognition.hops.joining.pools != {}
    assert fresh.hops.joining.clients == recognition.hops.joining.clients
    assert fresh.hops.joining.grown == recognition.hops.joining.grown
    world.core.recognition = fresh
    assert own_turns(world, light, TRIAL, POOLS) == [True] * (TRIAL - 2) + [False] * 2


def test_what_was_forgiven_is_on_trial_no_more() -> None:
    """The operator lets the account go."""
    world, _ = relaying()
    light = account("light")
    paste(world, light, POOLS)
    assert world.core.forgive(next(iter(light.names)), world.now)
    assert own_turns(world, light, 3, POOLS) == [False] * 3


def test_how_a_trial_is_written() -> None:
    """One number says until which exchange, and which conversation came first."""
    one = Known(1, "k", 0.0)
    one.count, one.hops = 10, -((10 + TRIAL) << 32 | 77)
    assert first_talk(one.hops) == first_talk(77) == 77
    assert first_talk(HELD) == first_talk(0) == 0
    assert on_trial(one)
    one.count += TRIAL
    assert on_trial(one)
    one.count += 1
    assert not on_trial(one)


def test_one_of_a_crowd_that_takes_over_a_conversation_stays_on_trial() -> None:
    """Once may be chance, for it as for anybody; in a second conversation it is a member."""
    accounts = Accounts(10)
    clusters = Clusters(accounts)
    joining = Joining(accounts, clusters)
    one = accounts.meet(account("one"), 0.0)
    cluster = clusters.whose([one], 1, 0.0)
    one.count = 10
    try_out(one, 64)

    joining.joins(one, cluster, Step(1.0, 99, one.number, 77, 60, 5, 10), None)
    assert on_trial(one)
    assert first_talk(one.hops) == 77
    one.count += 64
    assert on_trial(one)
    joining.joins(one, cluster, Step(2.0, 99, one.number, 77, 60, 5, 10), None)
    assert one.hops != HELD, "the same conversation again"
    joining.joins(one, cluster, Step(3.0, 99, one.number, 78, 60, 5, 10), None)
    assert one.hops == HELD
    try_out(one, 64)
    assert one.hops == HELD, "a member is held anyway"


def test_one_of_a_crowd_may_have_had_another_life() -> None:
    """Bought accounts had; who is on trial for a conversation, and had one, is free."""
    one = Known(1, "k", 0.0)
    one.count, one.bearing, one.client, one.first_bearing_at = 60, 12, 5, 10 * 86_400.0
    try_out(one, 64)
    assert Joining.holds(one, 5)
    assert not Joining.holds(one, 6)

    one.hops -= 77
    assert on_trial(one)
    assert not Joining.holds(one, 5)
    one.hops, one.count = 0, 60
    try_out(one, 4)
    one.count += 5
    assert not Joining.holds(one, 5)


def test_what_another_was_answered_is_noted_as_moved() -> None:
    """So that the pace of who reads it is nobody's clock; what an account goes on with of its own is not."""
    world, talk = World(), Talk()
    seen = []
    take_in = world.core.recognition._take_in
    world.core.recognition._take_in = lambda observed: (seen.append(observed), take_in(observed))[1]  # type: ignore[method-assign,assignment]
    first, second = ORDINARY[:2]
    for who in (first, first, second, second):
        world.send(who, talk)
        world.later(100.0)
    world.core.recognition.due(world.now + 10.0)

    assert [observed.moved for observed in seen] == [False, False, True, False]
