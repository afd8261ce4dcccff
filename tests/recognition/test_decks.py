"""Queues whose cards are dealt several times: each question to a few accounts, each time to others."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from guard.recognition import decks
from guard.recognition.accounts import Accounts, Known
from guard.recognition.clusters import Clusters
from guard.recognition.cohorts import HOLDS_S
from guard.recognition.decks import EACH, EVERY, KEPT, LONG, RARE, Decks
from guard.recognition.explained import Scene
from guard.recognition.groups import Observed
from guard.recognition.joining import on_trial, try_out
from guard.samples import GIST, Baseline
from guard.types import Exchange, Facet
from tests.recognition.test_cohorts import shipped
from tests.recognition.town import account, exchange, recognition

T0 = 1_790_035_200.0
DAY, HOUR = 86_400.0, 3_600.0
BASELINE = Baseline(
    5_000, 100_000, T0 - 60 * DAY, 0.05, 0.25, 1.0, 0.8, 1e-4, 0.2, 1e-3, np.zeros(GIST, np.float32), 0.6
)
CLIENT = 5


class School:
    """Accounts, and what they have asked by now."""

    def __init__(self, seed: int = 1) -> None:
        self.accounts = Accounts(10_000)
        self.clusters = Clusters(self.accounts)
        self.decks = Decks(self.clusters)
        self.dice = np.random.default_rng(seed)
        self.events: list[Observed] = []

    def met(self, name: str, *, age_days: float = 400.0, **facts: Any) -> Known:
        known = self.accounts.meet(account(name, created=T0 - age_days * DAY, verified=True, **facts), T0)
        known.first_at = T0
        return known

    def asks(self, at: float, known: Known, question: int, *, traits: int = LONG, turns: int = 1) -> None:
        gist = self.dice.normal(size=GIST)
        told = (60 * gist / np.linalg.norm(gist)).round().astype(np.int8).tobytes()
        values = array("Q", range(8 * question, 8 * question + traits)).tobytes()
        self.events.append(Observed(at, known.number, values, question, told, 0.0, turns, CLIENT, 5, known.number, 0))
        known.count += 1

    def dealt(self, accounts: int = 80, questions: int = 600, *, traits: int = LONG, **facts: Any) -> list[Known]:
        """A queue of which each question is answered by two to four accounts, over two days."""
        pool = [self.met(f"queue {n}", **facts) for n in range(accounts)]
        hand: list[int] = []
        for question in range(1, questions + 1):
            at = T0 + (question + self.dice.uniform(0.0, 1.0)) * 2 * DAY / questions
            for _ in range(self.dice.integers(2, 5)):
                hand = hand or self.dice.permutation(accounts).tolist()
                self.asks(at, pool[hand.pop()], question, traits=traits)
                at += self.dice.exponential(1_200.0)
        return pool

    def book(self, pupils: int = 120, exercises: int = 500) -> list[Known]:
        """Pupils of many schools who work through one book, in the evenings, as much as each likes."""
        pool = [self.met(f"pupil {n}") for n in range(pupils)]
        for known in pool:
            likes = self.dice.gamma(1.0, 6.0)
            for day in range(2):
                at = T0 + day * DAY + self.dice.normal(18.0, 1.5) * HOUR
                for _ in range(self.dice.poisson(likes)):
                    self.asks(at, known, 10_000 + int(self.dice.integers(exercises)))
                    at += self.dice.exponential(300.0)
        return pool

    def sees(self, event: Observed) -> None:
        self.decks.observe(event, self.accounts.number(event.number) or self.met("anybody"))

    def steps(self) -> Iterator[None]:
        """Takes in all, and looks, in slices."""
        for event in sorted(self.events):
            self.sees(event)
        now = max(event.at for event in self.events)
        return self.decks.weigh(Scene(self.accounts, self.accounts.number, shipped(), BASELINE, now))

    def look(self) -> None:
        for _ in self.steps():
            pass


def linked(pool: list[Known]) -> int:
    return sum(known.cluster != 0 for known in pool)


@pytest.mark.parametrize("seed", range(3))
def test_a_deck_that_is_dealt_several_times_is_one_cluster(seed: int) -> None:
    """Without a word in common, by accounts that are years old and verified."""
    school = School(seed)
    pool = school.dealt()
    school.look()

    assert linked(pool) >= 0.95 * len(pool)
    (cluster,) = school.clusters
    assert 0.5 <= cluster.score < 0.9
    assert {one.signal for one in cluster.evidence} >= {"even_load", "slot_partition"}
    held = [known for known in pool if known.cluster]
    assert {known.client for known in held} == {CLIENT}
    assert all(map(on_trial, held))


@pytest.mark.parametrize("seed", range(3))
def test_pupils_of_one_book_are_nobodys(seed: int) -> None:
    """They share what they ask with strangers just so; but they choose it, and each has a life."""
    school = School(seed)
    pool = school.book()
    school.look()

    assert linked(pool) == 0
    assert len(school.clusters) == 0


def test_pupils_beside_a_queue_are_left_out() -> None:
    school = School()
    pool, pupils = school.dealt(), school.book()
    school.look()

    assert linked(pupils) == 0
    assert linked(pool) in (0, *range(int(0.95 * len(pool)), len(pool) + 1))


def test_what_is_short_goes_round_or_follows_in_a_conversation_is_no_card() -> None:
    """Anybody says thanks, and anybody asks what is going round."""
    short, popular, later = School(), School(), School()
    pools = [short.dealt(traits=LONG - 1), popular.dealt(), later.dealt()]
    others = [popular.met(f"other {n}") for n in range(RARE)]
    for question in range(1, 601):
        for known in others:
            popular.asks(T0, known, question)
    later.events = [event._replace(turns=5) for event in later.events]
    for school, pool in zip((short, popular, later), pools, strict=True):
        school.look()
        assert linked(pool) == 0


def test_the_same_partners_again_and_again_are_a_team() -> None:
    """Four keys that are all asked the same, twenty times over."""
    school = School()
    pool = [school.met(f"key {n}") for n in range(80)]
    for question in range(1, 601):
        team = 4 * int(school.dice.integers(20))
        for known in pool[team : team + 4]:
            school.asks(T0 + question * 200.0, known, question)
    school.look()

    assert linked(pool) == 0


@pytest.mark.parametrize("how", ["granted", "cleared"])
def test_the_operators_word_holds(how: str) -> None:
    """Also where it is spoken while it is looked."""
    before = School()
    for known in before.dealt():
        setattr(known, how, 7)
    before.look()
    assert linked(list(before.accounts)) == 0

    meanwhile = School()
    meanwhile.dealt()
    slices = sum(1 for _ in meanwhile.steps())
    school = School()
    pool = school.dealt()
    for number, _ in enumerate(school.steps(), 1):
        if number == slices:
            for known in pool:
                setattr(known, how, 7)
    assert linked(pool) == 0


def test_what_the_operator_has_taken_back_is_no_new_finding() -> None:
    """Some of the crowd were not known when it was pardoned; a tenth of it under a pardon is another matter."""
    for pardoned, found in ((40, False), (8, True)):
        school = School()
        pool = school.dealt()
        for known in pool[:pardoned]:
            known.cleared = 3
        school.look()
        assert linked(pool[:pardoned]) == 0
        assert (linked(pool[pardoned:]) > 0.9 * (len(pool) - pardoned)) is found
        assert bool(linked(pool)) is found


def test_questions_of_which_nothing_is_known_any_more_speak_neither_for_nor_against(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More than half of what they asked is forgotten; of the rest nearly all is shared."""
    monkeypatch.setattr(decks, "QUESTIONS", 500)
    school = School()
    pool = school.dealt(questions=900)
    school.look()

    assert linked(pool) >= 0.9 * len(pool)


def test_keys_of_a_known_owner_are_his() -> None:
    school = School()
    pool = school.dealt(org="cd" * 16)
    school.look()

    assert linked(pool) == 0


def test_who_was_found_by_text_is_not_looked_for() -> None:
    school = School()
    pool = school.dealt()
    cluster = school.clusters.whose(pool[:1], 1, T0)
    for known in pool:
        known.cluster = cluster.number
    school.look()

    assert not any(known.hops for known in pool)


def test_it_is_looked_now_and_then_and_what_is_kept_is_bounded() -> None:
    """Of one account a few days' worth; and nobody who shares but little is kept for long."""
    school = School()
    two = [school.met("one"), school.met("other")]
    for number in range(EVERY):
        assert not school.decks.due
        school.sees(Observed(T0, two[number % 2].number, bytes(8 * LONG), 1 + number // 2, b"", 0.0, 1, 1, 1, 0, 0))
    assert school.decks.due
    assert [len(begun) for begun in school.decks._begun.values()] == [EACH, EACH]

    many = School()
    for number in range(3 * KEPT):
        card = number // 2 if number % 10 < 2 else KEPT + number
        many.sees(
            Observed(T0 + number, number // 2 % 2_000 + number % 2, bytes(8 * LONG), 1 + card, b"", 0.0, 1, 1, 1, 0, 0)
        )
    held = sum(len(begun) for begun in many.decks._begun.values())
    assert held == many.decks._held <= KEPT
    for _ in many.decks.weigh(Scene(many.accounts, many.accounts.number, shipped(), BASELINE, T0)):
        pass
    assert sum(len(begun) for begun in many.decks._begun.values()) == many.decks._held < held
    many.decks.clear()
    assert not many.decks._begun


def test_who_fills_it_with_cards_of_his_own_blinds_it_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The idlest make room for those who come now."""
    monkeypatch.setattr(decks, "KEPT", 512)
    school = School()
    for number in range(512):
        known = school.met(f"filler {number % 16}")
        for who in (known, school.met(f"filler {(number + 1 + number // 16) % 16}")):
            school.asks(T0 - DAY + number, who, 50_000 + number)
    school.look()
    assert school.decks._held >= 256
    school.events = []
    pool = school.dealt(accounts=16, questions=120)
    school.look()
    now = {event.number for event in school.events}

    assert now == {known.number for known in pool}
    assert school.decks._begun.keys() <= now
    assert len(school.decks._begun) >= 8


def test_pairs_that_share_one_question_each_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accounts are cheap; of each of them nothing but an empty place would be kept."""
    monkeypatch.setattr(decks, "ACCOUNTS", 64)
    school = School()
    for number in range(1_000):
        school.sees(Observed(T0 + number, number, bytes(8 * LONG), 1 + number // 2, b"", 0.0, 1, 1, 1, 0, 0))
    assert len(school.decks._begun) <= 64 + 1
    for _ in school.decks.weigh(Scene(school.accounts, school.accounts.number, shipped(), BASELINE, T0)):
        pass
    assert len(school.decks._begun) <= 33


def asked(name: str, client: int) -> Exchange:
    one = exchange(account(name), "anything")
    return replace(one, features=replace(one.features, facets=(*one.features.facets, Facet("stack", client))))


def test_its_accounts_are_held_by_their_client_until_a_day_after_it_was_found() -> None:
    """Those of standing as well, and never as more than suspects; from another client, or a day later, nothing is held."""
    town = recognition()
    known = town.accounts.meet(account("member", created=T0 - 400 * DAY, verified=True), T0)
    cluster = town.clusters.whose([known], 1, T0)
    cluster.score, cluster.nats, cluster.held_until = 0.8, 0.5, T0 + HOLDS_S
    known.cluster, known.bearing, known.client = cluster.number, 5, 7
    try_out(known, 2)

    held = town.look(asked("member", 7), T0 + 60.0)
    other = town.look(asked("member", 8), T0 + 120.0)
    third = town.look(asked("member", 7), T0 + 180.0)
    try_out(known, 2)
    later = town.look(asked("member", 7), T0 + HOLDS_S + 1.0)

    assert held is not None
    assert held.band == 2
    assert other is None
    assert third is None, "on trial for two exchanges"
    assert later is None
