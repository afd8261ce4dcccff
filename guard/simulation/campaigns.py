"""Campaigns in the shapes that are publicly known, as far as numbers go; who is meant stands in each shape's ``says``.

One queue of tasks, none asked twice, is dealt out over the accounts of a pool. What sets campaigns apart: how many accounts,
how much each asks, whether a fixed text stands round each task, in how many wordings, whether ordinary questions cover it, from
where, at which hours, and how soon the accounts are replaced.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Literal, NamedTuple

from guard.simulation.ordinary import Stage
from guard.simulation.owners import DAY_S, HOUR_S, Facts, JSONObject, Network, Owner, owner
from guard.simulation.prompts import PLAIN, Wording, answer, demanding, further

BEGINS_DAY = 1.0
"""Campaigns begin a day after the traffic: by then guard knows what is usual."""
_TALKS = 40
_GOES_ON, _STAYS = 0.65, 0.6
_LONGEST = 9
_OFFICE_H = (1.0, 12.0)


class Shape(NamedTuple):
    """``accounts``: at once, beside a thousand ordinary ones; ``per_day``: exchanges of one of them."""

    name: str
    says: str
    accounts: int
    per_day: float
    wordings: int = 1
    """How many fixed texts; 0: none, the tasks stand alone."""
    cover: float = 0.0
    """Share of its exchanges that are ordinary questions."""
    network: Network = "hosting"
    hours: Literal["round", "office"] = "round"
    uneven: float = 0.0
    """Spread of the accounts' shares; 0: as cards are dealt."""
    replaced_days: float = 0.0
    """After so many days every account is another; 0: never."""
    live: bool = False
    """It relays conversations of customers of its own, which go on under whatever account is at hand."""
    lasts_days: float = 0.0
    """0: to the end."""
    age_days: tuple[float, float] = (1.0, 20.0)
    verified: float = 0.05
    cards: int = 0
    """All accounts pay with so many cards; 0: each has its own, or pays nothing."""


SHAPES = MappingProxyType(
    {
        shape.name: shape
        for shape in (
            Shape("hydra", "one fixed text, one queue, clouds: 26 exchanges an account a day (June 2026)", 110, 26.0),
            Shape("relay", "live conversations of its own customers, unequal shares, office hours", 150, 9.0, wordings=0,
                  network="home", hours="office", uneven=0.9, live=True, age_days=(2.0, 120.0), verified=0.2),
            Shape("camouflaged", "forty wordings, rotating addresses, half of it cover, all accounts replaced every two days",
                  120, 18.0, wordings=40, cover=0.5, network="rotating", replaced_days=2.0),
            Shape("slow", "5.6 exchanges an account a day, from homes: the lowest rate seen (September 2026)", 300, 5.6,
                  network="home"),
            Shape("aged", "as hydra, from homes and with accounts that were bought aged", 110, 26.0, network="home",
                  age_days=(20.0, 400.0), verified=0.2),
            Shape("burst", "857 exchanges an account a day, the highest rate seen, over in six hours", 24, 857.0,
                  lasts_days=0.25),
            Shape("bulk", "a few loud accounts on three cards: 730 exchanges a day each", 12, 730.0, cards=3),
        )
    }
)  # fmt: skip


class Pool:
    """The accounts of one campaign. New ones are made when they are asked for."""

    def __init__(self, stage: Stage, shape: Shape, name: str, size: int) -> None:
        self._shape, self._name, self._size = shape, name, size
        self._dice, self._looks = stage.dice, stage.looks
        self.made = 0
        """How many accounts there have been."""
        self.accounts: list[Owner] = []
        self._shares: list[float] = []
        self._hand: list[Owner] = []

    def fill(self, now: float) -> None:
        """Makes new accounts until there are as many as there should be."""
        while len(self.accounts) < self._size:
            self.accounts.append(self.fresh(now))
            self._shares.append(self._dice.lognormvariate(0.0, self._shape.uneven))

    def fresh(self, now: float) -> Owner:
        """One more account, bought or made and used the same hour. It is not yet one of ``accounts``."""
        shape, dice = self._shape, self._dice
        payment = f"card-{self._name}-{dice.randrange(shape.cards)}" if shape.cards else None
        facts = Facts(age_days=shape.age_days, verified=shape.verified, network=shape.network, payment=payment,
                      dialect="openai", stack=0 if shape.network == "hosting" else -1,
                      more={"max_tokens": 4096, "temperature": 0.6})  # fmt: skip
        self.made += 1
        made = owner(dice, f"{self._name}-{self.made - 1}", now, facts)
        if self._looks:
            made.headers, made.model = dice.choice(self._looks)
        return made

    def empty(self) -> None:
        """Every account is given up."""
        self.accounts.clear()
        self._shares.clear()
        self._hand.clear()

    def drop(self, who: Owner) -> None:
        """That account is given up, if it is one of them."""
        if who in self.accounts:
            place = self.accounts.index(who)
            del self.accounts[place], self._shares[place]
            self._hand = [one for one in self._hand if one is not who]

    def next(self) -> Owner:
        """Whose turn it is: as cards are dealt, or by unequal shares."""
        if self._shape.uneven:
            return self._dice.choices(self.accounts, self._shares)[0]
        if not self._hand:
            self._hand = self._dice.sample(self.accounts, len(self.accounts))
        return self._hand.pop()


class Dealt:
    """One queue, dealt out: each task once, in one of the campaign's wordings, or an ordinary question as cover."""

    def __init__(self, stage: Stage, shape: Shape, name: str) -> None:
        self._stage, self._shape, self._name = stage, shape, name
        self._queue = stage.dice.choice(stage.prompts.queues)
        self._n = 0
        self._back: list[str] = []
        self.wordings = [self.worded() for _ in range(shape.wordings)] or [PLAIN]

    def worded(self) -> Wording:
        """A fixed text that was never used before."""
        return demanding(self._stage.dice, self._queue)

    def task(self) -> str:
        """The next one; first what was asked for nothing."""
        if self._back:
            return self._back.pop()
        self._n += 1
        return self._stage.prompts.task(self._stage.dice, self._queue, self._n - 1)

    def give_back(self, task: str) -> None:
        """It was not answered: somebody has to ask it again."""
        self._back.append(task)

    def asks(self, at: float, who: Owner, task: str, wording: Wording) -> JSONObject:
        """The exchange in which ``who`` asks it."""
        return who.exchange(at, self._stage.dice, wording.asking(task), label(self._name, extraction=True))

    def covers(self, at: float, who: Owner) -> JSONObject:
        """An exchange that is to look like anybody's."""
        dice, prompts = self._stage.dice, self._stage.prompts
        question = prompts.question(dice, dice.choice(prompts.topics))
        return who.exchange(at, dice, PLAIN.asking(question), label(self._name, extraction=False))

    def exchange(self, at: float, pool: Pool) -> JSONObject:
        """The next one, whatever it is."""
        dice, who = self._stage.dice, pool.next()
        if dice.random() < self._shape.cover:
            return self.covers(at, who)
        return self.asks(at, who, self.task(), dice.choice(self.wordings))


class Relayed:
    """Conversations of the operator's own customers, as they come. One stays with its account as long as that is convenient."""

    def __init__(self, stage: Stage, name: str) -> None:
        self._stage, self._name = stage, name
        self._talks: list[tuple[Owner, str, list[dict[str, str]]]] = []

    def exchange(self, at: float, pool: Pool) -> JSONObject:
        """The next turn of one of them, or the first of a new one."""
        dice, prompts = self._stage.dice, self._stage.prompts
        if self._talks and dice.random() < _GOES_ON:
            who, topic, turns = self._talks.pop(dice.randrange(len(self._talks)))
            if dice.random() >= _STAYS or who not in pool.accounts:
                who = pool.next()
            turns = [*turns, {"role": "user", "content": further(dice, topic)}]
        else:
            who, topic = pool.next(), dice.choice(prompts.topics)
            turns = [{"role": "user", "content": prompts.question(dice, topic)}]
        said = answer(dice, topic)
        self._talks.append((who, topic, [*turns, {"role": "assistant", "content": said}]))
        if len(turns) > _LONGEST or len(self._talks) > _TALKS:
            self._talks.pop(0 if len(turns) <= _LONGEST else -1)
        return who.exchange(at, dice, turns, label(self._name, extraction=True), said)


def label(campaign: str, *, extraction: bool) -> JSONObject:
    return {"segment": campaign, "campaign": campaign, "extraction": extraction}


def moments(stage: Stage, shape: Shape, per_day: float) -> Iterator[float]:
    """When the campaign asks: paced by one clock, though not to the second."""
    begin = stage.start + BEGINS_DAY * DAY_S
    end = min(stage.end, begin + shape.lasts_days * DAY_S) if shape.lasts_days else stage.end
    first, last = _OFFICE_H if shape.hours == "office" else (0.0, 24.0)
    step = DAY_S / per_day * (last - first) / 24.0
    at = begin + step * stage.dice.random()
    while at < end:
        if first <= at % DAY_S / HOUR_S < last:
            yield at
        at += step * stage.dice.uniform(0.7, 1.3)


def campaign(stage: Stage, shape: Shape, name: str, accounts: int) -> Iterator[JSONObject]:
    """All its exchanges, unopposed: nobody here hears what guard answers (in ``operators.py`` somebody does)."""
    pool = Pool(stage, shape, name, accounts)
    asking = Relayed(stage, name) if shape.live else Dealt(stage, shape, name)
    renewed_at = stage.start + (BEGINS_DAY + shape.replaced_days) * DAY_S if shape.replaced_days else stage.end
    for at in moments(stage, shape, accounts * shape.per_day):
        if at >= renewed_at:
            pool.empty()
            renewed_at += shape.replaced_days * DAY_S
        pool.fill(at)
        yield asking.exchange(at, pool)
