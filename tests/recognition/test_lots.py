"""Queues dealt out in lots: each few accounts have a wording of their own, and all lots are one group by how they act."""

from __future__ import annotations

from array import array
from collections.abc import Generator
from typing import Any

import numpy as np
import pytest

from guard.recognition.accounts import Accounts, Known
from guard.recognition.clusters import Clusters
from guard.recognition.explained import Scene
from guard.recognition.families import Family
from guard.recognition.groups import Observed
from guard.recognition.lots import EVERY_S, FEWEST_NEW, Lots
from guard.recognition.verdicts import ended
from guard.samples import GIST, Baseline
from tests.recognition.test_cohorts import shipped
from tests.recognition.town import account

T0 = 1_790_035_200.0
DAY, HOUR = 86_400.0, 3_600.0
BASELINE = Baseline(
    5_000, 100_000, T0 - 60 * DAY, 0.05, 0.25, 1.0, 0.8, 1e-4, 0.2, 1e-3, np.zeros(GIST, np.float32), 0.6
)


class Village:
    """Lots of accounts, each with a wording, and what they have asked by now."""

    def __init__(self, seed: int = 1) -> None:
        self.accounts = Accounts(10_000)
        self.clusters = Clusters(self.accounts)
        self.lots = Lots(self.clusters)
        self.dice = np.random.default_rng(seed)
        self.families: dict[int, Family] = {}
        self.events: list[Observed] = []
        self.now = T0

    def met(self, name: str, *, age_days: float = 3.0, **facts: Any) -> Known:
        known = self.accounts.meet(account(name, created=T0 - age_days * DAY, **facts), T0)
        known.first_at = T0
        return known

    def asks(self, at: float, known: Known, wording: int, centre: np.ndarray, *, slot: int = 0) -> None:
        """One exchange. What it is about is half its wording, whose every trait is a family."""
        family = self.families.setdefault(wording, Family(wording, T0))
        said = centre + self.dice.normal(size=GIST)
        gist = (100 * said / np.linalg.norm(said)).round().astype(np.int8).tobytes()
        own = slot or int(self.dice.integers(1, 1 << 62))
        family.numbers.append(known.number)
        family.times.append(at)
        traits = array("Q", [wording, own]).tobytes()
        self.events.append(Observed(at, known.number, traits, own, gist, 0.0, 1, 4, 5, 0, 0))
        family.count += 1
        known.count += 1
        self.now = max(self.now, at)

    def queue(self, lots: int = 20, each: int = 12, exchanges: int = 900, **facts: Any) -> list[Known]:
        """One queue for all, dealt out like cards."""
        pool = [self.met(f"queue {n}", **facts) for n in range(lots * each)]
        centres = self.dice.normal(size=(lots, GIST))
        hand: list[int] = []
        for n in range(exchanges):
            hand = hand or self.dice.permutation(len(pool)).tolist()
            who = hand.pop()
            at = T0 + (n + self.dice.uniform(0.0, 1.0)) * 14 * HOUR / exchanges
            self.asks(at, pool[who], 1_000 + who // each, centres[who // each])
        return pool

    def teams(self, teams: int = 20, each: int = 12, first: int = 1_000, **facts: Any) -> list[Known]:
        """As many teams, each with an internal prompt: who works does so when he has something to do."""
        made = []
        pool = [self.met(f"team {n}", **facts) for n in range(teams * each)]
        centres = self.dice.normal(size=(teams, GIST))
        for number in range(len(pool)):
            for _ in range(1 + self.dice.poisson(self.dice.gamma(0.7, 2.0))):
                at = T0 + self.dice.uniform(0.0, 12.0) * HOUR
                for _ in range(1 + self.dice.poisson(1.0)):
                    made.append((at, number))
                    at += self.dice.exponential(200.0)
        for at, number in sorted(made):
            self.asks(at, pool[number], first + number // each, centres[number // each])
        return pool

    def steps(self, *, queue: bool = False) -> Generator[None, None, list[Observed]]:
        """Looks at all, in slices. ``queue``: at a queue, first of all."""
        if queue:
            self.queue(lots=4, exchanges=240)
        scene = Scene(self.accounts, self.accounts.number, shipped(), BASELINE, self.now)
        return self.lots.weigh(sorted(self.events), self.families.get, 5_000, scene)

    def looked(self) -> list[Observed]:
        """What is found when all is looked at."""
        return ended(self.steps())


def linked(pool: list[Known]) -> int:
    return sum(known.cluster != 0 for known in pool)


@pytest.mark.parametrize("seed", range(3))
def test_lots_of_one_queue_are_one_cluster(seed: int) -> None:
    """Each dozen has a text of its own, so none is wide enough for a verdict by itself."""
    village = Village(seed)
    pool = village.queue()
    events = village.looked()

    assert len(events) == 900
    assert linked(pool) >= 0.95 * len(pool)
    assert len(village.clusters) == 1
    assert len({known.cluster for known in pool if known.cluster}) == 1
    assert next(iter(village.clusters)).linked == linked(pool)


@pytest.mark.parametrize("seed", range(3))
def test_teams_with_prompts_of_their_own_are_nobodys(seed: int) -> None:
    """Just as new, just as small; but each works when it has something to do."""
    village = Village(seed)
    pool = village.teams()

    assert village.looked() == []
    assert linked(pool) == 0


def test_teams_beside_a_queue_are_left_out() -> None:
    """What speaks against a queue by itself is no lot of it."""
    village = Village()
    pool = village.queue(lots=12)
    teams = village.teams(teams=6, first=5_000)

    assert village.looked() != []
    assert linked(pool) >= 0.9 * len(pool)
    assert linked(teams) == 0


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"age_days": 400.0, "verified": True, "payment": "ab" * 16}, "they have standing"),
        ({"org": "cd" * 16}, "one organisation's seats"),
        ({"payment": "ef" * 16}, "one payer's keys"),
    ],
)
def test_who_is_in_no_lot(facts: dict[str, Any], why: str) -> None:
    village = Village()
    pool = village.queue(**facts)

    assert village.looked() == [], why
    assert linked(pool) == 0


@pytest.mark.parametrize("how", ["granted", "cleared", "cluster"])
def test_whom_the_operator_or_another_finding_speaks_for_is_in_no_lot(how: str) -> None:
    village = Village()
    pool = village.queue()
    for known in pool:
        setattr(known, how, 7)

    assert village.looked() == []
    assert all(getattr(known, how) == 7 for known in pool)


@pytest.mark.parametrize("how", ["granted", "cleared"])
def test_whom_the_operator_lets_go_while_it_is_weighed_is_not_linked(how: str) -> None:
    """Weighing takes many slices. His word holds from whichever of them he speaks in."""
    slices = sum(1 for _ in Village().steps(queue=True))
    assert ended(Village().steps(queue=True)) != []
    for spoken in range(slices - 40, slices):
        village = Village()
        for number, _ in enumerate(village.steps(queue=True)):
            if number == spoken:
                for known in village.accounts:
                    setattr(known, how, 7)
        assert linked(list(village.accounts)) == 0
        assert all(getattr(known, how) == 7 for known in village.accounts)


@pytest.mark.parametrize(("lots", "each"), [(2, 20), (1, 40), (40, 2)])
def test_two_wordings_or_too_few_accounts_are_no_lots(lots: int, each: int) -> None:
    """A wording of many is weighed by itself; two of anything are soon alike."""
    village = Village()
    pool = village.queue(lots=lots, each=each, exchanges=400)

    assert village.looked() == []
    assert linked(pool) == 0


def test_cover_that_is_most_of_what_an_account_asks_hides_it() -> None:
    """Known, and so written down: then it is by its content or its conduct that it must be found."""
    village = Village()
    pool = village.queue()
    for known in pool:
        for n in range(12):
            village.asks(T0 + n * HOUR, known, 10_000 + 100 * known.number + n, village.dice.normal(size=GIST))

    assert village.looked() == []


def test_what_joins_the_lots_is_found_with_them() -> None:
    """A part of a queue has no clock that one could see; beside the lots that were found it has."""
    village = Village()
    pool = village.queue(lots=20, exchanges=1_800)
    early = [event for event in village.events if event.number <= pool[119].number or event.at > T0 + 7 * HOUR]
    late = [event for event in village.events if event not in early]
    village.events = [event for event in early if event.at <= T0 + 7 * HOUR]
    village.now = T0 + 7 * HOUR
    assert village.looked() != []
    assert linked(pool[:120]) >= 110
    assert linked(pool[120:]) == 0

    village.events = [*early, *late]
    village.now = T0 + 14 * HOUR
    assert village.looked() != []
    assert linked(pool) >= 0.95 * len(pool)
    assert len(village.clusters) == 1


def test_teams_do_not_join_the_lots_that_were_found() -> None:
    village = Village()
    pool = village.queue(lots=12)
    assert village.looked() != []
    teams = village.teams(teams=12, each=4, first=5_000)
    village.looked()

    assert linked(pool) >= 0.9 * len(pool)
    assert linked(teams) == 0


def test_what_members_ask_later_is_kept_and_nobody_elses() -> None:
    village = Village()
    pool = village.queue()
    last = village.looked()[-1]
    stranger = village.met("stranger")
    stranger.cluster = 77
    for known in (pool[0], stranger, village.met("nobody")):
        village.lots.observe(last._replace(number=known.number), known)

    assert [event.number for event in village.lots._members] == [pool[0].number]
    village.lots.clear()
    assert not village.lots._members


def test_a_wording_that_accounts_with_standing_use_is_somebodys() -> None:
    """A third of its founders is enough."""
    village = Village()
    old = [village.met(f"old {n}", age_days=400.0, verified=True, payment=f"{n:032x}") for n in range(8)]
    for known in old:
        known.count = 100
    assert all(known.of_standing(T0) for known in old)
    for wording in range(1_000, 1_020):
        family = village.families.setdefault(wording, Family(wording, T0))
        for known in old:
            family.numbers.append(known.number)
            family.times.append(T0)
    pool = village.queue()

    assert village.looked() == []
    assert linked(pool) == 0


def test_it_is_looked_at_now_and_then() -> None:
    """Not before there is something new, and not more often than every quarter of an hour."""
    village = Village()
    assert not village.lots.due(FEWEST_NEW - 1, T0)
    assert village.lots.due(FEWEST_NEW, T0)
    village.queue()
    village.looked()
    assert not village.lots.due(5_000 + FEWEST_NEW - 1, village.now + DAY)
    assert not village.lots.due(50_000, village.now + EVERY_S - 1.0)
    assert village.lots.due(5_000 + FEWEST_NEW, village.now + EVERY_S)
