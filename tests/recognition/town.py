"""A town for tests of recognition: ordinary accounts, one campaign, and signals that know the campaign by a mark.

The mark is a content reading of 1.0, so that verdicts need no real evidence; everything else is the real thing.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, ClassVar

from guard.fingerprint import VERSION
from guard.hashing import HashKey
from guard.recognition.recognition import Recognition
from guard.recognition.verdicts import Clip, Weighing
from guard.samples import NOTHING, Sample, Weighed
from guard.types import Account, Exchange, Facet, Features, Held, Peer

T0 = 1_790_000_000.0
KEY = HashKey(b"a town's key, long enough to be one")
CAPS = {"coordination": 6.0, "rhythm": 6.0, "infrastructure": 6.0, "lifecycle": 6.0}


class Marked:
    """Speaks with ``nats`` against groups most of whose exchanges bear the mark."""

    costly: ClassVar[bool] = True

    def __init__(self, name: str, group: str, nats: float) -> None:
        self.name, self.group, self._nats = name, group, nats  # type: ignore[misc]

    def weigh(self, sample: Sample) -> Weighed:
        return Weighed(self._nats, "bears the mark") if float(sample.reading.mean()) > 0.5 else NOTHING


QUEUE, NIGHT = Marked("queue", "coordination", 6.0), Marked("night", "rhythm", 5.0)
CARDS, YOUNG = Marked("cards", "infrastructure", 6.0), Marked("young", "lifecycle", 5.0)


def recognition(*signals: Any, max_accounts: int = 10_000) -> Recognition:
    """A new one that hears ``QUEUE`` and ``NIGHT``, or what is given."""
    heard = signals or (QUEUE, NIGHT)
    return Recognition(weighing(*heard), KEY, max_accounts)


def weighing(*signals: Any) -> Weighing:
    return Weighing(signals, {signal.name: Clip(1.0, -10.0, 10.0) for signal in signals}, CAPS)


def account(name: str, **facts: Any) -> Account:
    key = KEY.identifier("account", name.encode())
    return Account(key, names=frozenset({f"account:{key}"}), **facts)


def exchange(who: Account, *texts: str, slot: int = 0, marked: bool = False) -> Exchange:
    """One exchange that carries these texts as traits."""
    facets = tuple(Facet("shingle", KEY.facet("system", text.encode())) for text in texts)
    features = Features(
        VERSION,
        "openai_chat",
        "m",
        False,
        facets,
        (("mark", 1.0),) if marked else (),
        100,
        500,
        turns=1,
        slot=slot,
        gist=bytes(range(32)),
    )
    return Exchange(who, Peer(), "/v1/chat/completions", features)


def traffic(count: int, *, seed: int = 1, per_s: float = 2.0) -> Iterator[tuple[float, Exchange]]:
    """Exchanges in order of time: four of five of 200 ordinary accounts, the rest of a campaign of 40 with one template."""
    chance = random.Random(seed)
    honest = [account(f"honest {n}", created=T0 - 86_400.0 * chance.randrange(1, 300)) for n in range(200)]
    campaign = [account(f"campaign {n}") for n in range(40)]
    at = T0
    for number in range(count):
        at += chance.expovariate(per_s)
        if chance.random() < 0.8:
            who = chance.choice(honest)
            yield at, exchange(who, f"tool {number % 7}", f"own {chance.randrange(400)}", slot=chance.getrandbits(64))
        else:
            texts = ("template a", "template b", "template c", f"slot {number}")
            yield at, exchange(chance.choice(campaign), *texts, slot=chance.getrandbits(64), marked=True)


def run(town: Recognition, log: list[tuple[float, Exchange]]) -> list[Held | None]:
    """Decides a log as a replay does."""
    found = []
    for at, one in log:
        town.due(at)
        found.append(town.look(one, at))
    return found
