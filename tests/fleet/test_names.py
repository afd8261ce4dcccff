"""Whom one replica has come to know the others know as well: credentials that the app answers, and accounts under another name."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from guard.fleet import rows
from guard.fleet.rows import ACCEPTED, LOOK, Row
from guard.hashing import HashKey
from guard.routes import FLAT
from guard.types import Account, Call, Exchange, Peer, Route
from guard.unjudged import UNREAD
from tests.fleet.conftest import KEY, Replica, Replicas
from tests.populations import START, hydra, log, people

pytestmark = pytest.mark.anyio
Make = Callable[..., Replicas]
LINES = log(people(), hydra())[:1_014]
LATER = HashKey(b"the key of the year after, long enough to be one")


def comes(replica: Replica, secret: bytes = b"sk-one") -> Account:
    """Somebody with a credential."""
    headers = ((b"authorization", b"Bearer " + secret),)
    call = Call("POST", "/v1/x", Route("/v1/x", FLAT), headers, Peer(network="203.0.113.0"))
    account = replica.guard.identities.resolve(call, START)
    assert isinstance(account, Account)
    return account


async def test_who_was_answered_at_one_replica_is_no_stranger_at_the_others(replicas: Make) -> None:
    """Within a second of his first answer; whoever got none is a stranger everywhere."""
    group = replicas()
    here, there = group.add(), group.add()
    await group.led()
    first = comes(here)
    assert (first.status, comes(there).status) == ("provisional", "provisional")
    assert here.guard.identities.answered(first, 200)
    assert not here.guard.identities.answered(comes(here, b"sk-made-up"), 401)
    await group.settle(1.0, 5)
    assert comes(there).status == "accepted"
    assert comes(there, b"sk-made-up").status == "provisional"


async def test_who_was_answered_at_a_worker_led_fleet_is_known_too(replicas: Make) -> None:
    """A worker passes it on, though nobody comes to it."""
    group = replicas()
    here, there = group.add(), group.add()
    group.add(serves=False)
    await group.led()
    here.guard.identities.answered(comes(here), 200)
    await group.settle(1.0, 5)
    assert comes(there).status == "accepted"


async def test_who_joins_knows_whom_the_others_have_met(replicas: Make) -> None:
    """A replica that starts without state treats nobody as a stranger who has come twice before."""
    group = replicas()
    here = group.add()
    await group.led()
    here.guard.identities.answered(comes(here), 200)
    met = comes(here)
    assert met.status == "accepted"
    here.guard.recognition.look(Exchange(met, Peer(), "/v1/x", UNREAD), group.clock.now())
    await group.settle()
    joined = group.add()
    await group.settle()
    assert comes(joined).status == "accepted"
    assert comes(joined, b"sk-made-up").status == "provisional"


async def test_a_fleet_under_another_key_goes_on_with_what_was_found_under_the_one_before(replicas: Make) -> None:
    """A worker that keeps nothing leads next; an account that comes by under its new name is the cluster's at every replica."""
    group = replicas()
    group.add()
    await group.led()
    await group.deal(LINES)
    before = group.all.pop()
    names = [cluster.name for cluster in before.guard.recognition.clusters]
    number = next(cluster.number for cluster in before.guard.recognition.clusters)
    member = next(known for known in before.guard.recognition.accounts if known.cluster == number)
    await before.close()
    group.add(serves=False, key=LATER, former=KEY)
    one, other = (group.add(key=LATER, former=KEY) for _ in range(2))
    await group.led()
    await group.settle()
    assert [cluster.name for cluster in one.guard.recognition.clusters] == names
    kept = other.guard.recognition.hops.answers
    kept.give(77, 3, 0, group.clock.now())
    renamed = "ab" * 16
    one.guard._carry("account", member.key, renamed)
    one.guard.recognition.look(Exchange(Account(renamed), Peer(), "/v1/x", UNREAD), group.clock.now())
    await group.settle(1.0, 5)
    assert group.leader().duty.head.recognition.accounts.find(member.key) is None
    for replica in (one, other):
        assert replica.guard.recognition.accounts.find(member.key) is None
        known = replica.guard.recognition.accounts.find(renamed)
        assert known is not None
        assert (known.number, known.cluster) == (member.number, member.cluster)
        assert replica.fleet.condition(group.clock.now())["errors"] == {}
    assert kept.find(77, group.clock.now()) is not None, "numbers stand for whom they stood for"
    for replica in group.all:
        assert not replica.guard.faults


async def test_rows_of_a_kind_to_come_are_passed_over(replicas: Make) -> None:
    """A guard of a later version tells more; what this one knows of the same batch is looked at."""
    group = replicas()
    group.add()
    led = await group.led()
    look = Row(LOOK, group.clock.now(), Exchange(Account("cd" * 16), Peer(), "/v1/x", UNREAD))
    later = look._replace(kind=ACCEPTED + 40)
    led.duty.head.lead(rows.batch(b"\x01" * 8, 1, group.clock.now(), [rows.packed(one, 0, 0) for one in (later, look)]))
    await group.settle()
    assert led.duty.head.led == 1
