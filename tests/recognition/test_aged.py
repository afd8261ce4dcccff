"""Queues without a template over accounts of standing: found by what they ask, convicted by clock and load."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from guard.recognition import aged
from guard.recognition.accounts import Accounts, Known
from guard.recognition.aged import EACH, FEWEST_BEGUN, KEPT, WINDOW_S, Aged
from guard.recognition.clusters import Clusters
from guard.recognition.cohorts import HOLDS_S
from guard.recognition.explained import Scene
from guard.recognition.groups import Observed
from guard.recognition.joining import HELD
from guard.samples import GIST
from tests.recognition.test_cohorts import BASELINE, shipped
from tests.recognition.town import account

T0 = 1_790_035_200.0
DAY, HOUR = 86_400.0, 3_600.0
CLIENT = 5


class Town:
    """Accounts of standing that ask about things: directions in the space of gists."""

    def __init__(self, seed: int = 1) -> None:
        self.accounts = Accounts(10_000)
        self.clusters = Clusters(self.accounts)
        self.aged = Aged(self.clusters)
        self.dice = np.random.default_rng(seed)
        self.made: list[tuple[float, Known, bytes]] = []

    def met(self, name: str, *, age_days: float = 400.0, **facts: Any) -> Known:
        known = self.accounts.meet(account(name, created=T0 - age_days * DAY, verified=True, **facts), T0)
        known.first_at = T0
        return known

    def asks(self, at: float, known: Known, centre: np.ndarray, own: float) -> None:
        said = centre + own * self.dice.normal(size=GIST)
        self.made.append((at, known, (100 * said / np.linalg.norm(said)).round().astype(np.int8).tobytes()))

    def queue(self, count: int = 80, exchanges: int = 1_600, *, paced: bool = True, **facts: Any) -> list[Known]:
        """One deck of cards, dealt out evenly over two days: by one clock, or at any time."""
        centre = self.dice.normal(size=GIST)
        pool = [self.met(f"queue {n}", **facts) for n in range(count)]
        step = 2 * DAY / exchanges
        for n in range(exchanges):
            off = self.dice.uniform(0.0, 1.0) if paced else self.dice.uniform(-n, exchanges - n)
            self.asks(T0 + (n + off) * step, pool[self.dice.integers(count)], centre, 1.5)
        return pool

    def owners(self, count: int = 300, *, alike: float = 1.0) -> list[Known]:
        """Each has subjects and hours of its own, and asks several things at a time. ``alike``: how far their subjects lie apart."""
        found, middle = [], self.dice.normal(size=GIST)
        for n in range(count):
            known = self.met(f"owner {n}")
            centre = middle * (1.0 - alike) + alike * self.dice.normal(size=GIST)
            hour = self.dice.uniform(0.0, 24.0)
            for _ in range(1 + self.dice.poisson(self.dice.gamma(0.7, 5.0))):
                at = T0 + self.dice.integers(2) * DAY + (self.dice.normal(hour, 2.0) % 24.0) * HOUR
                for _ in range(1 + self.dice.poisson(1.0)):
                    self.asks(at, known, centre, 1.0)
                    at += self.dice.exponential(120.0)
            found.append(known)
        return found

    def scene(self, now: float) -> Scene:
        def weighable(number: int) -> Known | None:
            known = self.accounts.number(number)
            return None if known is None or known.granted else known

        return Scene(self.accounts, weighable, shipped(), BASELINE, now)

    def play(self) -> float:
        """Everything that was made, in order of time; looked at when it is due, and at the end. Returns when it ended."""
        at = T0
        for number, (at, known, gist) in enumerate(sorted(self.made, key=lambda one: one[0]), 1):
            known.count += 1
            known.last_at = at
            one = Observed(at, known.number, b"", number, gist, 0.0, 1, CLIENT, 5, known.number, 0)
            self.aged.observe(one, known)
            if self.aged.due:
                self.look(at)
        self.look(at)
        self.made = []
        return at

    def look(self, now: float) -> None:
        for _ in self.aged.weigh(self.scene(now)):
            pass


def linked(pool: list[Known]) -> int:
    return sum(known.cluster != 0 for known in pool)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_queue_over_old_accounts_is_found(seed: int) -> None:
    """Of eighty verified accounts that are a year old most are one cluster, of three hundred owners hardly one."""
    town = Town(seed)
    pool, owners = town.queue(), town.owners()

    end = town.play()

    (cluster,) = town.clusters
    assert linked(pool) >= 0.75 * len(pool)
    assert linked(owners) <= 1
    assert 0.5 <= cluster.score < 0.9, "without a trait nobody is more than suspect"
    assert {one.signal for one in cluster.evidence} >= {"shared_clock", "even_load"}
    assert end < cluster.held_until <= end + HOLDS_S
    assert {(known.hops, known.client) for known in pool if known.cluster} == {(HELD, CLIENT)}


@pytest.mark.parametrize("alike", [1.0, 0.5, 0.0])
@pytest.mark.parametrize("seed", [1, 2])
def test_owners_alone_are_no_queue(seed: int, alike: float) -> None:
    """Not even where all of them ask about the same: they have hours and loads of their own, and no clock."""
    town = Town(seed)
    owners = town.owners(alike=alike)

    town.play()

    assert len(town.clusters) == 0
    assert linked(owners) == 0


def test_one_deck_and_one_load_without_a_clock_convict_nobody() -> None:
    """One kind of conduct alone is what some honest crowds show."""
    town = Town()
    pool = town.queue(paced=False)
    town.owners()

    town.play()

    assert linked(pool) == 0


def test_keys_of_a_known_owner_are_his() -> None:
    """A company whose balancer deals its work out to its own keys."""
    town = Town()
    pool = town.queue(org="cd" * 16)
    town.owners()

    town.play()

    assert linked(pool) == 0


@pytest.mark.parametrize("how", ["granted", "cleared"])
def test_the_operators_word_holds(how: str) -> None:
    """Also where it is spoken while it is looked."""
    town = Town()
    pool = town.queue()
    town.owners()
    for known in pool[:40]:
        setattr(known, how, 7)
    end = town.play()
    assert linked(pool[:40]) == 0

    for known in pool:
        known.leave()
        known.granted, known.cleared = False, 0
    for _ in town.aged.weigh(town.scene(end)):
        for known in pool:
            setattr(known, how, 7)
    assert linked(pool) == 0


def test_what_the_operator_has_taken_back_is_no_new_finding() -> None:
    """Some of the crowd were not known when it was pardoned; a fifth of it under a pardon is another matter."""
    town, other = Town(), Town()
    pool, others = town.queue(), other.queue()
    town.owners()
    other.owners()
    for known in (*pool[:40], *others[:12]):
        known.cleared = 3

    town.play()
    other.play()

    assert linked(pool) == 0
    assert linked(others[12:]) >= 40


def test_who_was_found_by_text_is_not_looked_for() -> None:
    """What it shows says more than what it is."""
    town = Town()
    pool = town.queue()
    town.owners()
    cluster = town.clusters.whose(pool[:1], 1, T0)
    for known in pool:
        known.cluster = cluster.number

    town.play()

    assert not any(known.hops for known in pool)


def test_whoever_turns_out_not_to_keep_the_clock_is_let_go() -> None:
    """An owner who was linked while little was known of him; what others have linked stays theirs."""
    town = Town()
    pool, owners = town.queue(), town.owners()
    town.play()
    (cluster,) = town.clusters
    mistaken, others = (known for known in owners if known.count >= 6 and not known.cluster), owners[-1]
    wrong = next(mistaken)
    for known in (wrong, others):
        known.cluster, known.hops, known.bearing, known.client = cluster.number, HELD, 4, CLIENT
    town.aged._linked.add(wrong.number)
    before = cluster.linked = cluster.linked + 2

    town.look(T0 + 2 * DAY)

    assert (wrong.cluster, wrong.hops, wrong.bearing, wrong.client) == (0, 0, 0, 0)
    assert others.cluster == cluster.number
    assert cluster.linked == before - 1
    assert linked(pool) >= 0.75 * len(pool)
    assert wrong.number not in town.aged._linked


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """By number, by age, and of each account; who asks all the time is not weighed, and nothing is kept of those without standing."""
    monkeypatch.setattr(aged, "KEPT", 2_048)
    town = Town()
    gist = bytes(range(1, GIST + 1))
    names = [town.met(f"one {n}") for n in range(100)]
    fresh = town.met("fresh", age_days=1.0)
    fresh.verified = 0

    def sees(known: Known, at: float, turns: int = 1, told: bytes = gist) -> None:
        town.aged.observe(Observed(at, known.number, b"", 1, told, 0.0, turns, 1, 1, 0, 0), known)

    for known, turns, told in ((fresh, 1, gist), (names[0], 5, gist), (names[0], 1, bytes(GIST))):
        sees(known, T0, turns, told)
    assert not town.aged._events
    for number in range(3 * EACH):
        sees(names[0], T0 + number)
    assert town.aged._each == {names[0].number: EACH}
    assert town.aged.due is (3 * EACH >= FEWEST_BEGUN)
    for number in range(4_096):
        sees(names[number % 100], T0 + DAY + number)
    assert len(town.aged._events) == sum(town.aged._each.values()) == 2_048
    sees(names[1], T0 + DAY + WINDOW_S + 5_000.0)
    assert town.aged._each == {names[1].number: 1}
    town.aged.clear()
    assert not town.aged._events
    assert not town.aged._each
    assert KEPT >= 2 * 8_192, "several days' worth"
