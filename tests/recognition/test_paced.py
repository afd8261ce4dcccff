"""Queues without a template: chosen by what they did first, tested by what they do then."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from guard.recognition import paced
from guard.recognition.accounts import Accounts, Known
from guard.recognition.clusters import Clusters
from guard.recognition.cohorts import HOLDS_S
from guard.recognition.crowds import EXCHANGES
from guard.recognition.explained import Scene
from guard.recognition.groups import Observed
from guard.recognition.joining import on_trial
from guard.recognition.paced import EACH, FEWEST_BEGUN, KEPT, STEPS, WINDOW_S, Paced
from guard.samples import GIST
from tests.recognition.test_cohorts import BASELINE, shipped
from tests.recognition.town import account

T0 = 1_790_035_200.0
DAY, HOUR = 86_400.0, 3_600.0
CLIENT = 5


class Town:
    """Accounts that ask about things: directions in the space of gists."""

    def __init__(self, seed: int = 1) -> None:
        self.accounts = Accounts(10_000)
        self.clusters = Clusters(self.accounts)
        self.paced = Paced(self.clusters)
        self.dice = np.random.default_rng(seed)
        self.made: list[tuple[float, Known, bytes, int, bool]] = []

    def met(self, name: str, *, age_days: float = 400.0, **facts: Any) -> Known:
        known = self.accounts.meet(account(name, created=T0 - age_days * DAY, verified=True, **facts), T0)
        known.first_at = T0
        return known

    def asks(
        self, at: float, known: Known, centre: np.ndarray, own: float, turns: int = 1, *, moved: bool = False
    ) -> None:
        said = centre + own * self.dice.normal(size=GIST)
        gist = (100 * said / np.linalg.norm(said)).round().astype(np.int8).tobytes()
        self.made.append((at, known, gist, turns, moved))

    def queue(
        self, count: int = 80, exchanges: int = 1_600, *, how: str = "paced", spread: float = 0.0, **facts: Any
    ) -> list[Known]:
        """One deck of cards, dealt out over two days: ``paced`` evenly, ``in talks`` of three or so each of which stays with its
        account, ``in turn``, or ``at any time``. ``spread``: how unequal the accounts' shares are (sigma of a lognormal)."""
        centre = self.dice.normal(size=GIST)
        pool = [self.met(f"queue {n}", **facts) for n in range(count)]
        share = np.exp(spread * self.dice.normal(size=count))
        # Faster and slower from time to time, as whatever is worked off is.
        steps = np.repeat(np.exp(0.35 * self.dice.normal(size=12)), -(-exchanges // 12))[:exchanges]
        begins, step = T0 + (steps.cumsum() - steps) * (2 * DAY / steps.sum()), 2 * DAY / steps.sum()
        open_talks: list[tuple[Known, int]] = []
        for n in range(exchanges):
            at = float(begins[n] + self.dice.uniform() * steps[n] * step)
            if how == "at any time":
                at = T0 + self.dice.uniform(0.0, 2 * DAY)
            known, turns = pool[n % count if how == "in turn" else self.dice.choice(count, p=share / share.sum())], 1
            if how == "in talks":
                if open_talks and self.dice.random() < 0.6:
                    known, turns = open_talks.pop(self.dice.integers(len(open_talks)))
                open_talks = [*open_talks[-8:], (known, turns + 2)]
            self.asks(at, known, centre, 1.5, turns)
        return pool

    def router(self, keys: int = 24, talks: int = 120) -> list[Known]:
        """One owner's keys, taken in turn by chance: each conversation goes on under another one at its reader's pace."""
        centre = self.dice.normal(size=GIST)
        pool = [self.met(f"key {n}") for n in range(keys)]
        for _ in range(talks):
            at, last = T0 + self.dice.uniform(0.0, 2 * DAY), -1
            for turn in range(1 + self.dice.poisson(4.0)):
                key = int(self.dice.integers(keys))
                self.asks(at, pool[key], centre, 1.5, 2 * turn + 1, moved=last not in (-1, key))
                at, last = at + 40.0 * float(np.exp(0.6 * self.dice.normal())), key
        return pool

    def timers(self, count: int = 48) -> list[Known]:
        """Owners' monitors, each on the hour by a clock of its own, evenly over the hour as chance had it."""
        centre = self.dice.normal(size=GIST)
        pool = [self.met(f"timer {n}") for n in range(count)]
        for n, known in enumerate(pool):
            for hour in range(48):
                self.asks(T0 + (hour + n / count) * HOUR + self.dice.uniform(0.0, 2.0), known, centre, 1.5)
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
        for number, (at, known, gist, turns, moved) in enumerate(sorted(self.made, key=lambda one: one[0]), 1):
            known.count += 1
            known.last_at = at
            one = Observed(at, known.number, b"", number, gist, 0.0, turns, CLIENT, 5, known.number, 0, 0, moved)
            self.paced.observe(one, known)
            if self.paced.due:
                self.look(at)
        self.look(at)
        self.made = []
        return at

    def look(self, now: float) -> None:
        for _ in self.paced.weigh(self.scene(now)):
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
    assert linked(pool) >= 0.65 * len(pool)
    assert linked(owners) <= 1
    assert 0.5 <= cluster.score < 0.9, "without a trait nobody is more than suspect"
    assert {one.signal for one in cluster.evidence} >= {"shared_clock", "even_load"}
    assert end < cluster.held_until <= end + HOLDS_S
    held = [known for known in pool if known.cluster]
    assert {known.client for known in held} == {CLIENT}
    assert all(map(on_trial, held))
    held[0].count += EXCHANGES + 1
    assert not on_trial(held[0]), "what is not found any more is let alone"


@pytest.mark.parametrize(
    ("how", "spread", "most"), [("in talks", 0.4, 0.6), ("in turn", 0.0, 0.6), ("paced", 1.0, 0.4)]
)
def test_so_is_one_that_lives_more_like_people(how: str, spread: float, most: float) -> None:
    """In conversations, in strict turn, or with shares as unequal as theirs."""
    town = Town()
    pool, owners = town.queue(exchanges=2_400, how=how, spread=spread), town.owners()

    town.play()

    assert linked(pool) >= most * len(pool)
    assert linked(owners) <= 1


def test_new_accounts_are_found_beside_old_ones() -> None:
    """Who they are says nothing here."""
    town = Town()
    pool = town.queue()
    for known in pool[40:]:
        known.born, known.verified = T0 - DAY, 0
    town.owners()

    town.play()

    assert not pool[40].of_standing(T0 + DAY)
    assert linked(pool[:40]) >= 25
    assert linked(pool[40:]) >= 25


@pytest.mark.parametrize("kind", ["router", "timers"])
def test_honest_keys_that_keep_a_pace_are_no_queue(kind: str) -> None:
    """The keys of one owner whose conversations go from one to the next; timers that have always kept their places to each other."""
    town = Town()
    keys, owners = getattr(town, kind)(), town.owners()

    town.play()

    assert linked(keys) == linked(owners) == 0


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
    pool = town.queue(how="at any time")
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
    for _ in town.paced.weigh(town.scene(end)):
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


def test_who_was_found_by_text_is_held_as_well() -> None:
    """What accounts with a life of their own send without the traits is the cluster's too. They stay with what their text found, and
    nobody joins that for their company."""
    town = Town()
    pool = town.queue()
    town.owners()
    one, other = (town.clusters.whose(some, value, T0) for value, some in ((1, pool[:1]), (2, pool[1:2])))
    for cluster, some in ((one, pool[:30]), (other, pool[30:60])):
        town.clusters.link(cluster, some, dict.fromkeys(range(999), T0), dict.fromkeys(range(999), 3), T0)
    for known in pool[:50]:
        known.first_at, known.first_bearing_at = T0 - 40 * DAY, T0
        known.count += 40
    for known in pool[50:60]:
        known.born, known.verified = T0 - DAY, 0

    town.play()

    assert sum(on_trial(known) for known in pool[:50]) >= 30
    assert not any(known.hops for known in pool[50:60]), "a member without a life of its own is held by that"
    assert {known.cluster for known in pool[:60]} == {one.number, other.number}
    assert not {known.cluster for known in pool[60:]} & {one.number, other.number}
    assert one.held_until == other.held_until == 0.0
    assert not {known.number for known in pool[:60]} & town.paced._linked


def test_one_who_asks_all_the_time_hides_nobody() -> None:
    """Follow-up turns of one account in a loop would come between any two others."""
    town = Town()
    pool = town.queue()
    town.owners()
    loud = town.met("loud")
    centre = town.made[0][2]
    for n in range(8_000):
        town.made.append((T0 + n * 21.0, loud, centre, 1 if n < 6 else 9, False))

    town.play()

    assert linked(pool) >= 0.65 * len(pool)
    assert loud.cluster == 0


def test_whoever_turns_out_not_to_keep_the_clock_is_let_go() -> None:
    """Owners who were linked while little was known of them; what others have linked stays theirs."""
    town = Town()
    pool, owners = town.queue(), town.owners()
    town.play()
    (cluster,) = town.clusters
    busy = [known for known in owners if known.count >= 6 and not known.cluster]
    mistaken, others = busy[:8], busy[8]
    for known in (*mistaken, others):
        known.cluster, known.hops, known.bearing, known.client = cluster.number, -5, 4, CLIENT
    town.paced._linked.update([known.number for known in mistaken])
    before = cluster.linked = cluster.linked + 9

    town.look(T0 + 2 * DAY)

    free = [known for known in mistaken if not known.cluster]
    assert len(free) >= 6
    assert {(known.hops, known.bearing, known.client) for known in free} == {(0, 0, 0)}
    assert not {known.number for known in free} & town.paced._linked
    assert others.cluster == cluster.number
    assert cluster.linked >= before - len(free)
    assert linked(pool) >= 0.65 * len(pool)


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """By number, by age, and of each account; who asks all the time is not weighed. Of later turns only the moment is kept."""
    monkeypatch.setattr(paced, "KEPT", 2_048)
    monkeypatch.setattr(paced, "STEPS", 1_024)
    town = Town()
    gist = bytes(range(1, GIST + 1))
    names = [town.met(f"one {n}") for n in range(100)]

    def sees(known: Known, at: float, turns: int = 1, told: bytes = gist) -> None:
        town.paced.observe(Observed(at, known.number, b"", 1, told, 0.0, turns, 1, 1, 0, 0), known)

    for turns, told in ((5, gist), (1, bytes(GIST))):
        sees(names[0], T0, turns, told)
    assert not town.paced._events
    assert len(town.paced._at) == 2
    for number in range(3 * EACH):
        sees(names[0], T0 + number)
    assert town.paced._each == {names[0].number: EACH}
    assert town.paced.due is (3 * EACH >= FEWEST_BEGUN)
    for number in range(4_096):
        sees(names[number % 100], T0 + DAY + number)
    assert len(town.paced._events) == sum(town.paced._each.values()) == 2_048
    assert sum(town.paced._walked.values()) == 1_024
    assert len(town.paced._at) == len(town.paced._numbers) <= 2 * 1_024 + 1
    sees(names[1], T0 + DAY + WINDOW_S + 5_000.0)
    assert town.paced._each == {names[1].number: 1}
    town.paced.clear()
    assert not town.paced._events
    assert not town.paced._each
    assert not town.paced._at
    assert not town.paced._walked
    assert not town.paced.due
    assert not town.paced._numbers
    assert KEPT >= 2 * 8_192, "several days' worth"
    assert STEPS >= 2 * KEPT
