"""The heart as a whole, with signals that know a campaign by a mark (``town.py``): finding, joining on sight, bounds, determinism."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from guard.config import load
from guard.fingerprint import dump
from guard.recognition.recognition import Recognition
from guard.replay import ExchangeLog, Replay
from guard.types import Account, Facet, Held
from tests.populations import hydra, log, people
from tests.recognition.town import KEY, T0, account, exchange, recognition, run, traffic

ROOT = Path(__file__).resolve().parents[2]
TEXTS = ("template a", "template b", "template c")
DAY = 86_400.0


def convicted(count: int = 200) -> tuple[Recognition, float]:
    """A town in which a campaign of twenty accounts has been found; and what time it is."""
    town = recognition()
    at = T0
    for n in range(count):
        at += 20.0
        town.due(at)
        town.look(exchange(account(f"honest {n % 40}", created=T0 - 90 * DAY), f"own {n % 40}", slot=2 * n), at)
        town.look(exchange(account(f"campaign {n % 20}"), *TEXTS, slot=2 * n + 1, marked=True), at + 1.0)
    return town, at + 20.0


def ask(town: Recognition, name: str, at: float, *texts: str, **facts: float) -> Held | None:
    town.due(at)
    return town.look(exchange(account(name, **facts), *texts, slot=int(at)), at)


def test_a_campaign_is_found_and_nobody_else() -> None:
    """After some hundred exchanges each of its accounts is held to be one cluster's, and no ordinary one."""
    exchanges = list(traffic(3_000))
    found = run(recognition(), exchanges)
    campaign = {account(f"campaign {n}").key for n in range(40)}
    late = list(zip(exchanges, found, strict=True))[1_500:]

    assert {held is not None for (_, one), held in late if one.account.key in campaign} == {True}
    assert {held for (_, one), held in late if one.account.key not in campaign} == {None}
    assert len({held.cluster for held in found if held is not None and held.cluster is not None}) == 1


def test_a_new_account_joins_on_sight() -> None:
    """The very first exchange of an account that guard has never met is the cluster's where it carries two of its traits."""
    town, at = convicted()
    held = ask(town, "newcomer", at, "template a", "template b", "something new")

    assert held is not None
    assert not held.settled
    assert held.cluster == next(iter(town.clusters)).name


def test_one_trait_alone_convicts_nobody() -> None:
    """Unless it was itself found to be one queue, a single shared text is chance."""
    town, at = convicted()
    town.clusters.proven.clear()

    assert ask(town, "newcomer", at, "template a", "something new") is None


def test_a_retry_says_nothing_new() -> None:
    """What a client sends again of itself, within ten minutes of being refused, is held likewise and counted once; what was answered
    meanwhile, what is another text and what comes later counts."""
    town, at = convicted()
    one = exchange(account("newcomer"), "template a", "template b", slot=77)
    held = town.look(one, at)
    (cluster,) = town.clusters
    waiting, taken, seen = len(town.ring), cluster.taken, town.clusters.seen

    for n in range(1, 4):
        town.failed(one, at + n - 1)
        assert town.look(one, at + n) == held is not None
    assert (len(town.ring), cluster.taken, town.clusters.seen) == (waiting, taken, seen)

    town.look(one, at + 5.0)
    town.failed(one, at + 5.0)
    town.look(exchange(account("newcomer"), "template a", "template b", slot=78), at + 6.0)
    town.look(one, at + 700.0)
    assert (len(town.ring), cluster.taken) == (waiting + 3, taken + 3)


def test_with_a_life_of_ones_own_only_the_exchange_is_held() -> None:
    """A stolen key: what carries the traits is the cluster's, below the band of certainty; what the owner asks is not."""
    town, at = convicted()
    for n in range(20):
        assert ask(town, "owner", at + n * 0.3 * DAY, f"own {n}") is None
    at += 8 * DAY
    stolen = ask(town, "owner", at, *TEXTS)
    own = ask(town, "owner", at + 60.0, "own 77")

    assert stolen is not None
    assert stolen.settled
    assert stolen.score < 0.9
    assert own is None


def test_a_member_without_a_life_of_its_own_is_held_whatever_it_asks() -> None:
    """A campaign's account that tries another text is still the campaign's."""
    town, at = convicted()
    held = ask(town, "campaign 3", at, "another text altogether")

    assert held is not None
    assert held.cluster == next(iter(town.clusters)).name


def test_the_cluster_outlives_its_accounts() -> None:
    """All are replaced after a month of silence: the new ones are known from their first exchange."""
    town, at = convicted()
    for n in range(20):
        town.accounts.forget(account(f"campaign {n}").key)

    assert all(ask(town, f"replacement {n}", at + 30 * DAY + n, *TEXTS) is not None for n in range(20))


@pytest.mark.parametrize("status", ["provisional", "anonymous"])
def test_who_was_never_accepted_is_in_nothing(status: str) -> None:
    """SECURITY 115: nobody has vouched for such a credential: it is not met, not counted, and joins nothing."""
    town, at = convicted()
    known, waiting = len(town.accounts), town.waiting
    for n in range(500):
        stranger = Account(KEY.identifier("account", b"%d" % n), status=status)  # type: ignore[arg-type]
        assert town.look(exchange(stranger, *TEXTS), at + n) is None

    assert (len(town.accounts), town.waiting) == (known, waiting)


def test_who_has_a_grant_is_not_held() -> None:
    """And leaves nothing behind by which others could be."""
    town, at = convicted()
    waiting = town.waiting
    held = town.look(exchange(account("evaluator"), *TEXTS), at, granted=True)

    assert held is None
    assert town.waiting == waiting


def test_what_waits_is_bounded() -> None:
    """Where nobody does the work beside the requests, the oldest is dropped and counted, and requests go on."""
    town = recognition()
    one = exchange(account("a"), "text")
    for n in range(70_000):
        town.look(one, T0 + n)

    assert town.waiting == 65_536
    assert town.lost == 70_000 - 65_536


def test_slices_come_to_the_same_as_all_at_once() -> None:
    """The work beside the requests, stopped after each slice while requests go on, decides as the whole does."""
    exchanges = list(traffic(1_500))
    sliced, whole = recognition(), recognition()
    found = []
    for at, one in exchanges:
        for _ in sliced.work(at):
            pass
        found.append(sliced.look(one, at))

    assert found == run(whole, exchanges)
    assert any(held is not None for held in found)


DIGEST = """
import hashlib
from tests.recognition.town import recognition, run, traffic
town = recognition()
found = run(town, list(traffic(1_500)))
print(hashlib.sha256(repr([found, sorted(town.clusters.traits.items()), [c.name for c in town.clusters]]).encode()).hexdigest())
"""


def test_the_seed_of_pythons_hashes_changes_nothing() -> None:
    """Two runs under different PYTHONHASHSEED come to the same verdicts, traits and names."""
    found = set()
    for seed in ("0", "1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        words = [sys.executable, "-c", DIGEST]
        found.add(subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout)

    assert len(found) == 1


REPLAYED = """
import sys
from guard.config import load
from guard.replay import ExchangeLog, Replay
from tests.populations import hydra, log, people
reader, replay = ExchangeLog(), Replay(load("standard"))
for line in log(hydra(500, days=1.0), people(150, days=1)):
    sys.stdout.buffer.write(replay.decide(reader.read(line)).line() + b"\\n")
"""


@pytest.mark.slow
def test_two_replays_under_different_hash_seeds_are_byte_identical() -> None:
    """The same of a whole replay with its real signals, which finds the campaign."""
    found = set()
    for seed in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        words = [sys.executable, "-c", REPLAYED]
        found.add(subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, check=True).stdout)

    assert len(found) == 1
    assert b'"refuse"' in found.pop()


def test_a_replay_of_features_decides_as_a_replay_of_bodies() -> None:
    """A log that keeps traits in the place of texts comes to the same decisions, byte for byte, clusters included."""
    bodies, featured = [], []
    reader, reading, decided = ExchangeLog(), Replay(load("standard")), Replay(load("standard"))
    again, second = ExchangeLog(), Replay(load("standard"))
    for line in log(hydra(500, days=1.0), people(150, days=1)):
        logged = reader.read(line)
        read = reading.exchange(logged)
        assert read is not None
        record = orjson.loads(line)
        del record["request"]["body"]
        record["request"]["features"] = dump(read.features)
        bodies.append(decided.decide(logged).line())
        featured.append(second.decide(again.read(orjson.dumps(record))).line())

    assert featured == bodies
    assert any(b'"refuse"' in line for line in bodies)


def test_the_same_text_under_another_kind_of_facet_is_no_trait() -> None:
    """Client stack and parameters are never a trait of a cluster: everybody copies those."""
    town, at = convicted()
    one = exchange(account("user of the same client"), "own text")
    stack = tuple(Facet(kind, value) for kind in ("stack", "parameters") for value in town.clusters.traits)

    assert town.look(replace(one, features=replace(one.features, facets=(*stack, *one.features.facets))), at) is None


def test_the_digest_of_a_verdict_names_nobody() -> None:
    """A cluster's name is a number and part of a keyed hash, not of a text or account."""
    town, _ = convicted()
    name = next(iter(town.clusters)).name
    plain = {hashlib.sha256(text.encode()).hexdigest()[:6] for text in TEXTS}

    assert name.startswith("c1-")
    assert not [text for text in TEXTS if text in name]
    assert name[3:] not in plain
