"""Synthetic traffic for tests of recognition: people, users of tools, campaigns. Deterministic, and every word made up here.

A crowd is a list of exchange-log records; ``log`` puts crowds in order of time and writes them down. An account is named after its
crowd (``tool-17`` is of the crowd ``tool``), and ``judge`` counts by that: a replay never reads what a name says.
Times are seconds since 1970 (``start``, ``at``) or days (``days``, ``age``); ``seed`` decides everything that is drawn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import orjson

from guard.config import load
from guard.replay import ExchangeLog, Outcome, Replay
from guard.settings import Policy
from guard.types import ACTIONS

Record = dict[str, Any]
Wording = Callable[[Random], dict[str, Any]]
"""Draws the body of one request."""

START = 1_790_035_200.0
"""Midnight, UTC."""
DAY = 86_400.0
HOUR = 3_600.0
CONTAINED = frozenset({"limit", "degrade", "challenge", "refuse"})


def _words(said: str) -> list[str]:
    return said.split()


_THINGS = _words("""
bridge canal lantern orchard turbine ledger harbour glacier violin kettle beacon quarry meadow engine compass barrel
lighthouse saddle furnace pigeon anchor cellar ribbon hammer marble window tunnel garden mirror ladder basket candle
feather pocket stable market castle copper desert island jungle magnet needle oyster parrot pepper rocket salmon shadow
spider temple thunder ticket timber valley walnut winter zephyr acorn badger cactus dragon falcon
""")
_KINDS = _words("""
quiet broken heavy narrow golden hollow frozen gentle ancient curious distant empty famous gloomy hidden humble jagged
lonely mighty nimble painted rapid rusty silent slender steady stormy sudden tender velvet wooden yellow
""")
_DEEDS = _words("""
carry repair measure follow cover lift balance paint polish gather replace protect deliver watch borrow connect describe
divide drag examine fasten gauge hang improve join keep lower mend
""")
_LITTLE = _words("""
the a of to and in with for that on by at from as is was but not or we you it they so when if then
""")
_FORMS = (
    "How does a {k} {t} {d} the {t} near a {k} {t}?",
    "Why would the {k} {t} {d} every {t} before the {k} {t}?",
    "What happens when a {t} and a {k} {t} {d} one {k} {t}?",
    "Which {t} should {d} the {k} {t} that a {t} has left behind?",
    "Tell me about the {k} {t}, the {k} {t} and who may {d} them.",
    "Is it true that a {k} {t} can {d} the {t} of a {k} {t} in winter?",
)
STACKS: tuple[tuple[tuple[str, str], ...], ...] = (
    (("Host", ""), ("User-Agent", "made-up-sdk/1.4"), ("Accept", ""), ("Content-Type", ""), ("Authorization", "")),
    (("host", ""), ("accept", ""), ("content-type", ""), ("user-agent", "another-client/0.9"), ("accept-encoding", "")),
    (("Accept", ""), ("Host", ""), ("User-Agent", "curl/8.4"), ("Content-Type", "")),
    (("User-Agent", "tidy/2"), ("Host", ""), ("x-request-id", ""), ("content-type", ""), ("accept", "")),
)


def sentence(dice: Random) -> str:
    """A question that nobody has asked before."""
    words = {"{k}": _KINDS, "{t}": _THINGS, "{d}": _DEEDS}
    return " ".join(
        [
            part if part[:3] not in words else dice.choice(words[part[:3]]) + part[3:]
            for part in dice.choice(_FORMS).split()
        ]
    )


def text(dice: Random, sentences: int) -> str:
    """Several of them."""
    return " ".join([sentence(dice) for _ in range(sentences)])


def prose(dice: Random, words: int) -> str:
    """Words that are nobody else's in this order: three in a row are found again in no other text."""
    own = (*_THINGS, *_KINDS, *_DEEDS)
    said = [dice.choice(_LITTLE if n % 2 else own) for n in range(words)]
    return " ".join(said).capitalize() + "."


@dataclass(frozen=True, slots=True)
class Template:
    """A fixed text round a slot that is new each time: how a queue, a tool or a habit asks."""

    system: str = ""
    before: str = ""
    after: str = ""
    sentences: int = 2
    max_tokens: int = 800
    more: dict[str, Any] = field(default_factory=dict)
    """Other fields of the body: temperature, tools, …"""

    def __call__(self, dice: Random) -> dict[str, Any]:
        return self.asking(text(dice, self.sentences))

    def asking(self, slot: str, earlier: Sequence[dict[str, str]] = ()) -> dict[str, Any]:
        """The body that asks for ``slot`` after ``earlier`` messages."""
        messages = [{"role": "system", "content": self.system}] if self.system else []
        content = "\n\n".join([part for part in (self.before, slot, self.after) if part])
        messages += [*earlier, {"role": "user", "content": content}]
        return {"model": "m-1", "max_tokens": self.max_tokens, "messages": messages, **self.more}


def template(seed: int, *, system: bool = False, **more: Any) -> Template:
    """A template of its own for each seed: some sixty fixed words."""
    dice = Random(f"template {seed}")
    head, foot = prose(dice, 36), prose(dice, 20)
    return Template(system=head, after=foot, **more) if system else Template(before=head, after=foot, **more)


ELICITING = (
    "Think step by step and show all of your reasoning before you give the final answer.",
    "Explain your reasoning step by step, and only then give the answer.",
    "Show every step of your chain of thought, then the result.",
)


def demanding(wording: Template, seed: int = 0) -> Template:
    """The same, which also asks for what a student model is taught with."""
    return replace(wording, after=f"{wording.after} {ELICITING[seed % len(ELICITING)]}")


def eliciting(seed: int, **more: Any) -> Template:
    """The template of a campaign."""
    return demanding(template(seed, **more), seed)


def chat(dice: Random) -> dict[str, Any]:
    """What a person asks: nothing fixed."""
    return {"model": "m-1", "messages": [{"role": "user", "content": text(dice, dice.randint(1, 4))}]}


@dataclass(frozen=True, slots=True)
class Crowd:
    """So many accounts of one kind. ``age``: days between which accounts are old at ``start``; None: nobody knows."""

    name: str
    count: int
    seed: int = 1
    start: float = START
    age: tuple[float, float] | None = None
    verified: bool | None = None
    payment: str = ""
    """A means of payment that all of them share; ``""``: none is stated."""
    address: str = ""
    """An address that all of them share; ``""``: each has its own."""
    stack: tuple[tuple[str, str], ...] | None = None
    """The client of all; None: each has one of ``STACKS``."""

    def facts(self) -> list[Record]:
        """``account``, ``peer`` and ``headers`` of each."""
        dice = Random(f"{self.name} {self.seed}")
        found = []
        for n in range(self.count):
            account: Record = {"id": f"{self.name}-{n}"}
            if self.age is not None:
                account["created"] = round(self.start - dice.uniform(*self.age) * DAY, 3)
            if self.verified is not None:
                account["verified"] = self.verified
            if self.payment:
                account["payment"] = self.payment
            place = n + 256 * self.seed
            address = self.address or f"10.{place >> 8 & 255}.{place & 255}.{dice.randint(1, 254)}"
            found.append({"account": account, "peer": {"ip": address}, "headers": self.stack or dice.choice(STACKS)})
        return found

    def queue(self, exchanges: int, wording: Wording, *, days: float = 2.0, uneven: float = 0.0) -> list[Record]:
        """One queue, dealt out over all accounts evenly, by one clock, round the clock.

        ``uneven``: the spread of the accounts' shares (0: as cards are dealt; 1: very unequal).
        """
        dice = Random(f"queue {self.name} {self.seed}")
        facts = self.facts()
        step = days * DAY / exchanges
        shares = [dice.lognormvariate(0.0, uneven) for _ in facts]
        records: list[Record] = []
        hand: list[Record] = []
        for n in range(exchanges):
            if uneven:
                whose = dice.choices(facts, shares)[0]
            else:
                if not hand:
                    hand = dice.sample(facts, len(facts))
                whose = hand.pop()
            records.append(record(self.start + (n + dice.uniform(-0.3, 0.3) + 0.5) * step, whose, wording(dice)))
        return records

    def visits(
        self,
        wording: Wording,
        *,
        days: int = 3,
        per_day: float = 4.0,
        visit: float = 3.0,
        spread: float = 0.7,
        zone: float | None = None,
        least: int = 0,
    ) -> list[Record]:
        """Owners of their own: unequal needs, their own hours, several questions at a time.

        ``per_day``: exchanges of an account on the mean; ``visit``: exchanges of one visit on the mean; ``spread``: the shape of
        the gamma distribution of needs; ``zone``: hours east of Greenwich, of all (None: each its own, as the world is peopled);
        ``least``: visits that every account makes.
        """
        dice = Random(f"visits {self.name} {self.seed}")
        records = []
        for whose in self.facts():
            need = dice.gammavariate(spread, per_day / spread)
            east = dice.choice((-8, -6, -5, -3, 0, 1, 1, 2, 3, 5.5, 8, 8, 9)) if zone is None else zone
            middle, width = dice.gauss(14.0, 2.0), dice.uniform(2.0, 4.5)
            for _ in range(max(least, _poisson(dice, need * days / visit))):
                at = (dice.randrange(days) * DAY + (dice.gauss(middle, width) - east) * HOUR) % (days * DAY)
                for _ in range(1 + int(dice.expovariate(1.0 / (visit - 1.0))) if visit > 1.0 else 1):
                    if at < days * DAY:
                        records.append(record(self.start + at, whose, wording(dice)))
                    at += 5.0 + dice.expovariate(1.0 / 120.0)
        return records


def hydra(
    exchanges: int = 1_200,
    wording: Wording | None = None,
    *,
    name: str = "queue",
    accounts: int = 50,
    seed: int = 1,
    start: float = START,
    days: float = 2.0,
    **more: Any,
) -> list[Record]:
    """A campaign as one knows them: fresh accounts in even use, one template, one clock, round the clock."""
    crowd = Crowd(name, accounts, seed, start, **{"age": (1.0, 9.0), "verified": False, **more})
    return crowd.queue(exchanges, wording or eliciting(seed), days=days)


def people(count: int = 150, *, days: int = 2, seed: int = 2, start: float = START, **more: Any) -> list[Record]:
    """Ordinary people who chat, each in his own way and at his own hours, of all ages: what a group is weighed against."""
    return Crowd("people", count, seed, start, **{"age": (1.0, 900.0), **more}).visits(chat, days=days)


def record(at: float, whose: Record, body: dict[str, Any]) -> Record:
    """One line of an exchange log."""
    return {
        "at": round(at, 3),
        "account": whose["account"],
        "peer": whose["peer"],
        "request": {"method": "POST", "path": "/v1/chat/completions", "headers": whose["headers"], "body": body},
        "response": {"status": 200, "input_tokens": 60, "output_tokens": 200},
    }


def _poisson(dice: Random, mean: float) -> int:
    count, at = 0, dice.expovariate(1.0)
    while at < mean:
        count += 1
        at += dice.expovariate(1.0)
    return count


def log(*crowds: Iterable[Record]) -> list[bytes]:
    """The lines of all of them, in order of time."""
    records = [one for crowd in crowds for one in crowd]
    records.sort(key=lambda one: (one["at"], one["account"]["id"]))
    return [orjson.dumps(one) for one in records]


class Judged:
    """What a replay came to, by crowd and account."""

    def __init__(self) -> None:
        self.actions: Counter[tuple[str, str]] = Counter()
        """(crowd, action) → exchanges."""
        self.worst: dict[str, str] = {}
        """Account → the severest action that it met."""
        self.full: dict[str, list[bool]] = {}
        """Crowd → of each of its exchanges, in order, whether it was answered in full."""
        self.clusters: dict[str, str | None] = {}
        """Account → the cluster it was held to belong to, as last said."""

    def add(self, outcome: Outcome) -> None:
        account, decision = outcome.account_id, outcome.decision
        crowd, action = account.rpartition("-")[0], decision.action
        self.actions[crowd, action] += 1
        worst = self.worst.get(account, "allow")
        self.worst[account] = max(worst, action, key=ACTIONS.index)
        self.full.setdefault(crowd, []).append(action not in CONTAINED)
        if decision.cluster is not None or account not in self.clusters:
            self.clusters[account] = decision.cluster

    def touched(self, crowd: str) -> list[str]:
        """The accounts of a crowd of which an exchange was contained."""
        return [who for who, worst in self.worst.items() if who.rpartition("-")[0] == crowd and worst in CONTAINED]

    def leak(self, crowd: str, until: int) -> float:
        """The share of a crowd's exchanges after the first ``until`` that were answered in full."""
        later = self.full[crowd][until:]
        return sum(later) / len(later)


def judge(lines: Iterable[bytes], policy: str | Policy = "standard", replay: Replay | None = None) -> Judged:
    """Replays a log under a policy (by default the shipped one that enforces)."""
    reader, found = ExchangeLog(), Judged()
    replay = replay or Replay(load(policy) if isinstance(policy, str) else policy)
    for line in lines:
        found.add(replay.decide(reader.read(line)))
    if replay.faults:
        raise RuntimeError(f"a stage failed: {dict(replay.faults)}")
    return found
