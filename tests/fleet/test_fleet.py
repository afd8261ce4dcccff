"""Replicas that share a real server: they find together what none of them sees, and each acts by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from guard.config import load
from guard.fleet.frames import Given
from tests.fleet.conftest import Replicas
from tests.populations import hydra, log, people
from tests.servers import Cluster, Server

pytestmark = pytest.mark.anyio
Make = Callable[..., Replicas]
HALF = 1_014
LINES = log(people(), hydra())


async def test_a_campaign_dealt_over_two_replicas_is_found_and_contained_by_both(replicas: Make) -> None:
    """Each sees half of it; one leads; verdicts and traits reach both, and no ordinary account is touched."""
    two = replicas()
    first, second = two.add(), two.add()
    await two.led()
    found = await two.deal(LINES)
    assert [one.fleet.leads for one in (first, second)].count(True) == 1
    assert found.touched("people") == []
    assert found.leak("queue", 300) < 0.01
    for one in (first, second):
        assert len(one.guard.recognition.clusters) == 1
        assert one.guard.recognition.clusters.traits
        assert not one.guard.faults
        assert one.fleet.condition(two.clock.now())["errors"] == {}


async def test_who_joins_takes_up_what_was_found_before_it_judges_by_it(replicas: Make) -> None:
    """A third replica says that it isn't ready until it knows what the others know; then it contains what they contain."""
    group = replicas()
    group.add()
    await group.led()
    await group.deal(LINES[:HALF])
    joined = group.add()
    assert not joined.fleet.ready(group.clock.now())
    await group.settle()
    assert joined.fleet.ready(group.clock.now())
    known = group.leader().guard.recognition
    theirs = joined.guard.recognition
    assert theirs.clusters.traits == known.clusters.traits
    assert len(theirs.accounts) == len(known.accounts)
    assert [cluster.name for cluster in theirs.clusters] == [cluster.name for cluster in known.clusters]
    group.all = [one for one in group.all if one is not joined]
    group.all.append(joined)
    later = await group.deal(LINES[HALF:])
    assert later.leak("queue", 0) < 0.01
    assert later.touched("people") == []


async def test_whoever_leads_next_goes_on_where_the_one_before_was_killed(replicas: Make) -> None:
    """The leader dies without a word in the midst of a campaign that is not yet found: nothing that anybody sent is lost."""
    group = replicas()
    group.add(), group.add(), group.add()
    led = await group.led()
    before = await group.deal(LINES[:200])
    known = Given(4_242, next(iter(led.guard.recognition.accounts)).number, 0, group.clock.now())
    led.duty.head.recognition.hops.answers.give(*known)
    group.clock.advance(60.0)
    await group.settle()
    assert not any(len(one.guard.recognition.clusters) for one in group.all)
    await group.lost(group.leader())
    after = await group.led()
    found = await group.deal(LINES[200:])
    condition = after.fleet.condition(group.clock.now())
    assert condition["warnings"] == []
    answer = after.duty.head.recognition.hops.answers.find(4_242, group.clock.now())
    assert answer is not None
    assert answer.number == known.number
    assert before.touched("people") == found.touched("people") == []
    assert found.leak("queue", 300) < 0.01
    assert all(len(one.guard.recognition.clusters) == 1 for one in group.all)


async def test_verdicts_outlast_leader_and_store(replicas: Make, own_server: Server) -> None:
    """The store is killed and comes back empty, and who led is gone: everybody goes on by what was found, in the meantime and after,
    and who joins then takes it up from the next leader."""
    group = Replicas(own_server.url)
    first, second = group.add(), group.add()
    await group.led()
    await group.deal(LINES[:HALF])
    names = [cluster.name for cluster in first.guard.recognition.clusters]
    assert names
    own_server.kill()
    meantime = await group.deal(LINES[HALF : HALF + 400], every=100)
    assert meantime.leak("queue", 0) < 0.01
    assert {one.fleet.condition(group.clock.now())["state"] for one in (first, second)} == {"local"}
    await first.link.close() if first.fleet.leads else await second.link.close()
    group.all = [one for one in group.all if not one.fleet.leads]
    own_server.start()
    await group.led()
    joined = group.add()
    await group.settle()
    await group.settle()
    assert [cluster.name for cluster in joined.guard.recognition.clusters] == names
    later = await group.deal(LINES[HALF + 400 :])
    assert later.leak("queue", 0) < 0.01
    assert later.touched("people") == []
    for one in group.all:
        assert one.fleet.condition(group.clock.now())["state"] == "up"
        await one.close()


async def test_a_store_that_was_emptied_is_filled_again_by_who_leads(replicas: Make, store_server: Server) -> None:
    """FLUSHALL lifts nothing: the leader leaves a new whole behind, and the operator's words are told again."""
    group = replicas()
    first = group.add()
    await group.led()
    await group.deal(LINES[:HALF])
    first.fleet.voice.block("account:somebody", "a test", 0.0, group.clock.now())
    await group.settle()
    store_server.call("FLUSHALL")
    await group.settle(3.0, 6)
    joined = group.add()
    await group.settle(3.0, 6)
    assert joined.guard.words.counts()["blocks"] == 1
    assert joined.guard.recognition.clusters.traits == first.guard.recognition.clusters.traits
    assert joined.guard.recognition.clusters.traits


async def test_a_replica_that_hears_of_no_leader_looks_by_itself_and_later_goes_along(
    replicas: Make, own_server: Server
) -> None:
    """While the store is gone a replica finds a campaign of which it has enough by itself; when it is back all know of it."""
    group = Replicas(own_server.url)
    first, second = group.add(), group.add()
    await group.led()
    await group.settle()
    own_server.kill()
    for line in LINES[:HALF]:
        follower = second if first.fleet.leads else first
        logged = group._reader.read(line)
        group.clock.set(logged.at)
        if follower.fleet.alone(logged.at):
            follower.guard.due(logged.at)
        follower.replay.decide(logged)
    assert len(follower.guard.recognition.clusters) == 1
    own_server.start()
    await group.settle(3.0, 6)
    await group.settle(12.0, 12)
    found = await group.deal(LINES[HALF:])
    assert found.leak("queue", 200) < 0.01
    assert found.touched("people") == []
    assert all(len(one.guard.recognition.clusters) == 1 for one in group.all)
    for one in group.all:
        await one.close()


async def test_a_worker_leads_rather_than_a_replica(replicas: Make) -> None:
    """A replica that leads hands over to a worker that comes; when the worker ends, a replica leads again."""
    group = replicas()
    replica = group.add()
    await group.led()
    assert replica.fleet.leads
    worker = group.add(serves=False)
    await group.settle(6.0, 12)
    assert worker.fleet.leads
    assert not replica.fleet.leads
    found = await group.deal(LINES[:HALF])
    assert found.leak("queue", 300) < 0.01
    group.all.remove(worker)
    await worker.close()
    await group.settle(6.0, 12)
    assert replica.fleet.leads


async def test_different_policies_are_shown(replicas: Make) -> None:
    """Replicas that run different policies are named to the operator of each."""
    group = replicas()
    first = group.add()
    group.add(policy=replace(load("standard"), limits=()))
    await group.led()
    warnings = first.fleet.condition(group.clock.now())["warnings"]
    assert any("different policies" in warning for warning in warnings)


async def test_one_policy_with_other_places_is_no_other_policy(replicas: Make) -> None:
    """Where a replica keeps its state, its logs and its socket tells nothing of how it decides."""
    text = 'version = 1\nmode = "enforce"\n[protect]\nroutes = ["/v1/*"]\n[state]\ndir = "{0}/state"\n[audit]\nfile = "{0}/a"\n'
    group = replicas()
    here, there = (load(text.format(place)) for place in ("here", "there"))
    assert here.digest != there.digest
    one, other = group.add(policy=here), group.add(policy=there)
    await group.led()
    await group.settle()
    for replica in (one, other):
        condition = replica.fleet.condition(group.clock.now())
        assert len(condition["digests"]) == 2
        assert condition["warnings"] == []


@pytest.mark.parametrize("name", ["rows", "news", "said"])
@pytest.mark.parametrize(
    "content", [b"", b"gr", b"gf\x02", b'{"v":2,"verb":"erase","names":[]}', b"gr\x02" + bytes(60), bytes(300)]
)
async def test_what_is_none_of_guards_in_the_streams_is_passed_over(
    replicas: Make, store_server: Server, name: str, content: bytes
) -> None:
    """Foreign entries, torn ones and a newer guard's are counted, and change nothing."""
    group = replicas()
    first, second = group.add(), group.add()
    await group.led()
    key = next(key for key in store_server.call("KEYS", "*:live")).replace(":live", f":{name}")
    store_server.call("XADD", key, "*", "f", content)
    await group.deal(LINES[:60])
    await group.settle()
    assert group.leader().fleet.condition(group.clock.now())["led"] == 60
    for one in (first, second):
        assert len(one.guard.recognition.accounts)
        assert not one.guard.faults


@pytest.mark.parametrize("name", ["rows", "news", "said", "words", "live", "lead", "base"])
async def test_keys_of_the_wrong_kind_stop_no_request(replicas: Make, store_server: Server, name: str) -> None:
    """Somebody has put something else under a name of guard's: rounds fail, are counted, and exchanges are decided all the same."""
    group = replicas()
    one = group.add()
    await group.led()
    key = next(key for key in store_server.call("KEYS", "*:live")).replace(":live", f":{name}")
    store_server.call("DEL", key)
    store_server.call("SADD", key, "x")
    found = await group.deal(LINES[:60])
    assert sum(found.actions.values()) == 60
    assert one.fleet.condition(group.clock.now())["errors"].get("wrongtype") or name in {"rows", "base", "words"}


async def test_every_key_has_an_end(replicas: Make, store_server: Server) -> None:
    """Nothing that replicas leave in the store stays for ever, and all of it lies in one slot."""
    group = replicas()
    group.add()
    await group.led()
    group.all[0].fleet.voice.block("account:somebody", "a test", 0.0, group.clock.now())
    await group.deal(LINES[:100])
    keys = store_server.call("KEYS", "*")
    assert {key.split("}")[1].split(":")[1] for key in keys} >= {"news", "said", "words", "live", "lead", "base", "w"}
    assert all(store_server.call("PTTL", key) > 0 for key in keys)
    assert len({key.split("{")[1].split("}")[0] for key in keys}) == 1


async def test_replicas_find_each_other_on_a_cluster(store_cluster: Cluster) -> None:
    """All of a fleet lies in one slot, wherever that is."""
    group = Replicas(store_cluster.url)
    first, second = group.add(), group.add()
    await group.led()
    found = await group.deal(LINES[:HALF], every=100)
    first.fleet.voice.block("account:somebody", "a test", 0.0, group.clock.now())
    await group.settle()
    assert second.guard.words.counts()["blocks"] == 1
    assert found.touched("people") == []
    for one in (first, second):
        assert len(one.guard.recognition.clusters) == 1
        assert one.fleet.condition(group.clock.now())["errors"] == {}
        await one.close()


async def test_while_nobody_adds_up_each_replica_has_its_part_of_a_ceiling(own_server: Server) -> None:
    """What was left when the store went is shared, not handed out once for each; with the store, all is one sum again."""
    group = Replicas(own_server.url)
    first, second = group.add(), group.add()
    await group.led()
    for one in (first, second):
        one.guard.recognition.ceilings.adopt(0, (100.0, 0.0, 40.0, group.clock.now()), group.clock.now())
    own_server.kill()
    await group.settle()
    passed = 0
    for one in (first, second):
        for _ in range(100):
            passed += one.guard.recognition.ceilings.over((), 1, group.clock.now()) is None
    assert 40 <= passed <= 60, "the last of it goes to those who have taken least"
    assert first.guard.unions.portion == 0.5
    own_server.start()
    await group.settle(3.0, 6)
    assert first.fleet.condition(group.clock.now())["state"] == "up"
    for one in (first, second):
        await one.close()
