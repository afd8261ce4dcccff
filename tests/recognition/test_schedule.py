"""When recognition looks: what a batch holds depends on the exchanges alone, so that live and replay come to the same."""

from __future__ import annotations

import random
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest

from guard.clock import ManualClock
from guard.config import load
from guard.installation import Installation
from guard.pipeline import Guard
from guard.recognition.ring import BATCH, BATCH_S, MOST_WAITING
from guard.replay import ExchangeLog, Replay
from guard.settings import Policy
from guard.types import Exchange, Peer, Usage
from tests.recognition import town
from tests.recognition.town import T0

LOG = list(town.traffic(2_000, seed=5, per_s=3.0))
WHOLE = town.run(town.recognition(), LOG)
POLICY = """
version = 1
mode = "enforce"
[state]
dir = "{folder}"
[record]
file = "{folder}/exchanges.jsonl"
[audit]
sample_allowed = 0.0
[[rule]]
id = "known"
when = {{ band = ["suspect", "confirmed"] }}
action = "refuse"
"""


def one(at: float, number: int = 0) -> Exchange:
    return town.exchange(town.account(f"a{number % 50}"), f"text {number}")


def test_a_batch_is_due_a_quarter_second_after_its_first() -> None:
    recognition = town.recognition()
    assert recognition.ring.due_at == inf
    recognition.look(one(T0), T0)
    recognition.look(one(T0), T0 + 0.2)
    assert recognition.ring.due_at == T0 + BATCH_S
    recognition.due(T0 + 0.2499)
    assert recognition.waiting == 2
    recognition.due(T0 + BATCH_S)
    assert recognition.waiting == 0


def test_a_full_batch_is_due_at_once() -> None:
    recognition = town.recognition()
    for number in range(BATCH):
        recognition.look(one(T0, number), T0 + number / 10_000)
    assert recognition.ring.due_at == T0 + (BATCH - 1) / 10_000
    recognition.due(T0 + 0.06)
    assert recognition.waiting == 0


def test_work_that_comes_late_does_what_it_would_have_done_in_time() -> None:
    """Ten seconds of exchanges at once, or each batch when it was due: the same families with the same numbers, as of the
    same moments."""
    in_time, late = town.recognition(), town.recognition()
    some = LOG[:400]
    for at, each in some:
        in_time.due(at)
        in_time.look(each, at)
        late.look(each, at)
    end = some[-1][0] + 1.0
    in_time.due(end)
    for _ in late.work(end):
        pass
    seen = [
        [(f.value, f.count, f.last_at, f.group and (f.group.seen, f.group.weight)) for f in r.parts().families]
        for r in (in_time, late)
    ]
    assert seen[0] == seen[1]
    assert len(seen[0]) > 10


def test_work_yields_often_and_loses_nothing_when_it_is_given_up() -> None:
    """Between slices requests come in; a round that ends in its middle leaves the rest for the next."""
    recognition = town.recognition()
    for number in range(400):
        recognition.look(one(T0, number), T0 + number / 10_000)
    work = recognition.work(T0 + 1)
    next(work)
    work.close()
    left = recognition.waiting
    assert 0 < left < 400
    assert sum(1 for _ in recognition.work(T0 + 1)) >= left // 64
    assert recognition.waiting == 0
    assert recognition.parts().usual.exchanges == 400


def test_who_is_too_far_behind_loses_the_oldest_and_counts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits is bounded, and what was never looked at is told."""
    recognition = town.recognition()
    most = MOST_WAITING
    for number in range(most + 7):
        recognition.look(one(T0, number), T0 + number)
    assert recognition.waiting == most
    assert recognition.lost == 7


def live(folder: Path, log: list[tuple[float, Exchange]]) -> list[tuple[str, str, str | None, float]]:
    """What a running guard decides on a clock that its test sets, with a timer that comes twenty times a second."""
    clock = ManualClock(T0 - 1.0)
    installation = Installation(load(POLICY.format(folder=folder)), clock)
    installation.guard.recognition._weighing = town.weighing(town.QUEUE, town.NIGHT)
    decided = []
    chance = random.Random(9)
    for at, exchange in log:
        while clock.now() + 0.05 < at:
            clock.advance(0.05)
            if installation.wait_s(clock.now()) < 0.05:
                clock.advance(installation.wait_s(clock.now()))
            for _ in installation.recognise(clock.now()):
                pass
            if chance.random() < 0.02:
                for _ in installation.tick(clock.now()):
                    pass
        clock.advance(max(0.0, at - clock.now()))
        for _ in installation.recognise(clock.now()):
            pass
        receipt, entry = installation.decide(exchange, installation.guard.compiled, b"")
        decision = receipt.decision
        installation.settle(receipt, Usage(200, 100, 100, reported=True, complete=True), entry)
        decided.append((exchange.account.key, decision.action, decision.cluster, round(decision.score, 9)))
    installation.close()
    assert not installation.guard.faults
    return decided


def test_a_live_run_decides_as_the_replay_of_its_own_record(tmp_path: Path) -> None:
    """On a fake clock, with ticks and snapshots in between: account by account, action, cluster and score."""
    found = live(tmp_path, LOG)
    assert sum(action == "refuse" for _, action, _, _ in found) > 100
    policy = load(POLICY.format(folder=tmp_path / "elsewhere"))
    replay = Replay(policy, guard=Guard(policy, key=_key(tmp_path)), recorded=True)
    replay.guard.recognition._weighing = town.weighing(town.QUEUE, town.NIGHT)
    reader = ExchangeLog()
    replayed = []
    for line in (tmp_path / "exchanges.jsonl").read_bytes().splitlines():
        outcome = replay.decide(reader.read(line))
        decision = outcome.decision
        replayed.append((outcome.account.key, decision.action, decision.cluster, round(decision.score, 9)))
    assert replayed == found


def test_who_shares_a_network_is_the_same_in_the_replay_of_a_record(tmp_path: Path) -> None:
    """Subnets are told apart as they were live: every account's last one has the same 32 keyed bits."""
    homes = {one.account.key: f"10.0.{number % 7}.{number}" for number, (_, one) in enumerate(LOG)}
    log = [
        (at, replace(one, peer=Peer(homes[one.account.key], homes[one.account.key]) if number % 50 else Peer()))
        for number, (at, one) in enumerate(LOG[:400])
    ]
    clock = ManualClock(T0 - 1.0)
    installation = Installation(load(POLICY.format(folder=tmp_path)), clock)
    for at, one in log:
        clock.advance(max(0.0, at - clock.now()))
        receipt, entry = installation.decide(one, installation.guard.compiled, b"")
        installation.settle(receipt, Usage(200, 100, 100, reported=True, complete=True), entry)
    known = {one.key: one.network for one in installation.guard.recognition.accounts}
    installation.close()
    policy = load(POLICY.format(folder=tmp_path / "elsewhere"))
    replay = Replay(policy, guard=Guard(policy, key=_key(tmp_path)), recorded=True)
    reader = ExchangeLog()
    for line in (tmp_path / "exchanges.jsonl").read_bytes().splitlines():
        replay.decide(reader.read(line))
    assert len(set(known.values())) >= 7
    assert {one.key: one.network for one in replay.guard.recognition.accounts} == known


def _key(folder: Path):  # type: ignore[no-untyped-def]
    from guard.keys import find_key

    return find_key(str(folder), {}).key


def test_a_guard_that_was_restarted_in_between_decides_the_same(tmp_path: Path) -> None:
    """Two runs over one state directory, one after the other, against one that never stopped."""
    whole = live(tmp_path / "whole", LOG)
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "hash.key").write_bytes((tmp_path / "whole" / "hash.key").read_bytes())
    (tmp_path / "cut" / "hash.key").chmod(0o600)
    first, second = live(tmp_path / "cut", LOG[:1_200]), live(tmp_path / "cut", LOG[1_200:])
    assert [held is not None for held in WHOLE[:1_200]].count(True) > 50
    assert first + second == whole


def test_a_fault_in_recognition_is_counted_and_the_rest_goes_on() -> None:
    """One signal that raises costs its own group's verdict: exchanges are decided, the fault is told by its stage."""

    class Broken(town.Marked):
        def weigh(self, sample):  # type: ignore[no-untyped-def]
            raise ZeroDivisionError

    guard = Guard(Policy(), key=town.KEY)
    guard.recognition._weighing = town.weighing(Broken("queue", "coordination", 1.0))
    for at, exchange in LOG[:600]:
        guard.due(at)
        assert guard.decide(exchange, at).decision.action == "allow"
    for _ in guard.recognise(LOG[600][0] + 9.0):
        pass
    assert guard.faults["recognition"] > 0
    assert set(guard.faults) == {"recognition"}
