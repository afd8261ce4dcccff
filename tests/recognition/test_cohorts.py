"""Groups without text: a queue among accounts without standing is found by what it asks about and how it deals that out."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from guard.contracts import GroupSignal
from guard.recognition.accounts import Accounts, Known
from guard.recognition.clusters import Clusters
from guard.recognition.cohorts import HOLDS_S, KEPT, MOST_EACH, Cohorts
from guard.recognition.groups import Observed
from guard.recognition.recognition import Recognition
from guard.recognition.verdicts import Clip, Verdict, Weighing
from guard.registry import signals
from guard.samples import GIST, Baseline
from guard.scoring import read_weights
from guard.types import Exchange, Facet
from tests.recognition.town import account, exchange, recognition

T0 = 1_790_035_200.0
DAY = 86_400.0
BASELINE = Baseline(
    5_000, 100_000, T0 - 60 * DAY, 0.05, 0.25, 1.0, 0.8, 1e-4, 0.2, 1e-3, np.zeros(GIST, np.float32), 0.6
)


def shipped() -> Weighing:
    """All group signals with the shipped weights."""
    heard = list(signals(GroupSignal))
    weights = read_weights("", {})
    return Weighing(heard, {s.name: Clip(**weights.group_signals[s.name]) for s in heard}, weights.caps)


class Scene:
    """Accounts that ask about things: directions in the space of gists."""

    def __init__(self, seed: int = 1) -> None:
        self.accounts = Accounts(10_000)
        self.clusters = Clusters(self.accounts)
        self.cohorts = Cohorts(self.accounts, self.clusters)
        self.dice = np.random.default_rng(seed)
        self.made: list[tuple[float, Known, bytes, int]] = []

    def met(self, name: str, *, age_days: float = 1.0) -> Known:
        return self.accounts.meet(account(name, created=T0 - age_days * DAY), T0)

    def gist(self, centre: np.ndarray, own: float) -> bytes:
        """One text about something: the direction plus its own words."""
        said = centre + own * self.dice.normal(size=GIST)
        return bytes((100 * said / np.linalg.norm(said)).round().astype(np.int8).tobytes())

    def queue(self, count: int, exchanges: int, **more: float) -> list[Known]:
        """One deck of cards, dealt out evenly by one clock over two days."""
        centre = self.dice.normal(size=GIST)
        pool = [self.met(f"queue {n}", **more) for n in range(count)]
        step = 2 * DAY / exchanges
        for n in range(exchanges):
            at = T0 + (n + self.dice.uniform(0.0, 1.0)) * step
            self.made.append((at, pool[self.dice.integers(count)], self.gist(centre, 1.5), 1))
        return pool

    def owners(self, count: int) -> list[Known]:
        """Each has subjects of its own, hours of its own, and asks several things at a time."""
        found = []
        for n in range(count):
            known = self.met(f"owner {n}")
            centre, hour = self.dice.normal(size=GIST), self.dice.uniform(0.0, 24.0)
            for _ in range(1 + self.dice.poisson(self.dice.gamma(0.7, 5.0))):
                at = T0 + self.dice.integers(2) * DAY + (self.dice.normal(hour, 2.0) % 24.0) * 3600.0
                for _ in range(1 + self.dice.poisson(1.0)):
                    self.made.append((at, known, self.gist(centre, 1.0), 3))
                    at += self.dice.exponential(120.0)
            found.append(known)
        return found

    def play(self) -> float:
        """Everything that was made, in order of time; looked at when it is due. Returns when it ended."""
        apt = shipped()
        for number, (at, known, gist, model) in enumerate(sorted(self.made, key=lambda one: one[0]), 1):
            known.count += 1
            known.last_at = at
            if not known.of_standing(at):
                one = Observed(at, known.number, b"", number, gist, 0.0, 1, 1, model, known.number, 0)
                self.cohorts.observe(one, known)
            if self.cohorts.due:
                for _ in self.cohorts.weigh(apt, BASELINE, at):
                    pass
        return max(at for at, *_ in self.made)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_queue_without_a_word_of_its_own_is_found(seed: int) -> None:
    """Of eighty accounts that share a deck of cards and a clock most are one cluster; of two hundred owners at most one is."""
    scene = Scene(seed)
    pool, owners = scene.queue(80, 1_600), scene.owners(200)

    end = scene.play()

    assert len(scene.clusters) == 1
    (cluster,) = scene.clusters
    assert sum(known.cluster == cluster.number for known in pool) >= 0.75 * len(pool)
    assert sum(known.cluster != 0 for known in owners) <= 1
    assert end < cluster.held_until <= end + HOLDS_S
    assert {one.signal for one in cluster.evidence} >= {"shared_clock", "even_load"}


@pytest.mark.parametrize("seed", [1, 2])
def test_owners_alone_are_no_queue(seed: int) -> None:
    """Three hundred owners, each with subjects and hours of its own, make no core that convicts anybody."""
    scene = Scene(seed)
    owners = scene.owners(300)

    scene.play()

    assert len(scene.clusters) == 0
    assert not any(known.cluster for known in owners)


def test_whom_the_operator_has_cleared_is_not_looked_at() -> None:
    """A pardon holds for what is found without text, too."""
    scene = Scene()
    for known in scene.queue(80, 1_600):
        known.cleared = 1

    scene.play()

    assert list(scene.cohorts) == []


def test_who_gains_standing_is_not_linked() -> None:
    """Of an account of standing nothing is contained that shows no trait: it is in no core's cluster."""
    scene = Scene()
    pool = scene.queue(80, 2_400)
    scene.owners(200)
    for known in pool[:20]:
        known.verified, known.born = 1, T0 - 14.8 * DAY  # of standing some hours after it began

    scene.play()

    assert sum(known.cluster != 0 for known in pool[20:]) >= 40
    assert not any(known.cluster for known in pool[:20])


def test_what_is_kept_is_bounded() -> None:
    """One account keeps at most so many places, and all together no more than there are."""
    scene = Scene()
    dice = random.Random(1)
    names = [scene.met(f"many {n}") for n in range(2 * KEPT // MOST_EACH)]
    gist = bytes(range(1, GIST + 1))
    for number in range(3 * KEPT):
        known = names[0] if number % 2 else dice.choice(names)
        scene.cohorts.observe(Observed(T0 + number, known.number, b"", number, gist, 0.0, 1, 1, 1, 0, 0), known)

    held = list(scene.cohorts)

    assert len(held) <= KEPT
    assert sum(one.number == names[0].number for one in held) <= MOST_EACH


def quiet_member(town: Recognition, name: str, at: float) -> Known:
    """An account that is held to be a cluster's by what it is alone."""
    known = town.accounts.meet(account(name), at)
    cluster = town.clusters.whose([known], 1, at)
    cluster.hear(Verdict(1.0, 2, ()))
    cluster.held_until = at + HOLDS_S
    known.cluster, known.bearing = cluster.number, 5
    return known


def asked(name: str, text: str, client: int) -> Exchange:
    """One exchange of that client."""
    one = exchange(account(name), text)
    return replace(one, features=replace(one.features, facets=(*one.features.facets, Facet("stack", client))))


def test_members_without_a_trait_are_held_by_membership_for_a_day() -> None:
    """Whatever they ask from the client that they used when they were found; from another, or a day after, nothing is held."""
    town = recognition()
    quiet_member(town, "member", T0)

    held = town.look(asked("member", "anything", 7), T0 + 60.0)
    other = town.look(asked("member", "anything else", 8), T0 + 120.0)
    later = town.look(asked("member", "much later", 7), T0 + HOLDS_S + 1.0)

    assert held is not None
    assert held.cluster is not None
    assert held.band == 2
    assert other is None
    assert later is None


def test_an_owner_with_standing_is_never_held_by_membership() -> None:
    """Somebody verified who is old enough meets nothing, whatever was found of his account before."""
    town = recognition()
    known = quiet_member(town, "member", T0)
    known.verified, known.born = 1, T0 - 100 * DAY

    assert town.look(exchange(account("member", created=T0 - 100 * DAY, verified=True), "anything"), T0 + 60.0) is None
