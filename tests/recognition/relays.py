"""Made-up traffic of conversations for tests of hops: a guard with its shipped policy, people, and whoever passes conversations on.

Nothing is taken from real traffic: what is asked are words drawn at random, what is answered a number. A conversation that is refused
is tried twice more, on other accounts, and then ends.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from guard.config import load
from guard.hashing import HashKey
from guard.pipeline import Guard
from guard.talk import prefix
from guard.types import Account, Call, Decision, Peer, Route, Usage

T0 = 1_790_000_000.0
DAY_S = 86_400.0
KEY = HashKey(b"a key for conversations that move, long enough")
ROUTE = Route("/v1/chat/completions", "openai_chat")
WORDS = tuple(
    f"{a}{b}{c}" for a in ("ba", "ke", "li", "mo", "nu") for b in ("ra", "si", "to", "ve") for c in ("n", "x", "l")
)


def account(name: str, age_days: float = 200.0, **facts: Any) -> Account:
    key = KEY.identifier("account", name.encode())
    names = frozenset({f"account:{key}"})
    return Account(key, created=T0 - age_days * DAY_S, names=names, **facts)


@dataclass
class Talk:
    """One conversation: its messages so far, and who received the last answer."""

    messages: list[dict[str, str]] = field(default_factory=list)
    holder: Account | None = None


class World:
    """``policy``: the shipped one, or another's text."""

    def __init__(self, seed: int = 1, policy: str = "standard") -> None:
        self.core = Guard(load(policy), key=KEY)
        self.chance = random.Random(seed)
        self.now = T0
        self.contained: list[tuple[float, str]] = []
        self.sent: list[tuple[float, str]] = []

    def later(self, seconds: float) -> None:
        self.now += self.chance.expovariate(1.0 / seconds)

    def ask(self) -> str:
        return " ".join(self.chance.choices(WORDS, k=30))

    def send(self, who: Account, talk: Talk, text: str = "", client: bytes = b"a client") -> Decision:
        """The next turn of a conversation; it goes on only where it was answered."""
        asked = [*talk.messages, {"role": "user", "content": text or self.ask()}]
        call = Call("POST", ROUTE.pattern, ROUTE, (), Peer(subnet=int(who.key[:6], 16)), stack=client)
        self.core.due(self.now)
        exchange = self.core.understand(call, who, {"model": "m", "messages": asked})
        receipt = self.core.decide(exchange, self.now)
        decision = receipt.decision
        self.sent.append((self.now, who.key))
        if decision.contained:
            self.contained.append((self.now, who.key))
            self.core.settle(receipt, Usage(0, 0, 0, False, False, forwarded=False), self.now)
        else:
            said = f"The answer is {self.chance.getrandbits(60)}."
            self.core.settle(receipt, Usage(200, 9, 9, True, True, prefix=prefix(said)), self.now)
            talk.messages = [*asked, {"role": "assistant", "content": said}]
            talk.holder = who
        return decision

    def touched(self, accounts: Sequence[Account]) -> int:
        keys = {one.key for one in accounts}
        return len({key for _, key in self.contained if key in keys})

    def leak(self, accounts: Sequence[Account], last: int) -> float:
        """The share of the last so many exchanges of these accounts that were answered."""
        keys = {one.key for one in accounts}
        refused = set(self.contained)
        mine = [one for one in self.sent if one[1] in keys][-last:]
        return sum(one not in refused for one in mine) / len(mine)

    @property
    def clusters(self) -> list[Any]:
        return list(self.core.recognition.clusters)


def people(world: World, accounts: Sequence[Account], talks: dict[str, Talk], client: bytes = b"people's") -> None:
    """One turn of somebody's own conversation."""
    who = world.chance.choice(accounts)
    if who.key not in talks or world.chance.random() < 0.4:
        talks[who.key] = Talk()
    world.send(who, talks[who.key], client=client)


def relay(
    world: World, accounts: Sequence[Account], talks: list[Talk], *, moves: float = 0.3, client: bytes = b"the relay's"
) -> None:
    """One turn of a live customer's conversation over a pool: it stays with the account that has it, or moves on."""
    if talks and world.chance.random() < 0.6:
        talk = talks.pop(world.chance.randrange(len(talks)))
    else:
        talk = Talk()
    who = talk.holder
    if who is None or world.chance.random() < moves:
        who = world.chance.choice(accounts)
    decision = world.send(who, talk, client=client)
    for _ in range(2):
        if decision.contained:
            # Somebody waits for the answer: another account is tried.
            decision = world.send(world.chance.choice(accounts), talk, client=client)
    if not decision.contained and len(talk.messages) < 9:
        talks.append(talk)
        del talks[:-12]


def run(world: World, turns: int, *steps: Callable[[], None], seconds: float = 20.0) -> None:
    """So many turns, each by one of the steps in turn."""
    for number in range(turns):
        world.later(seconds)
        steps[number % len(steps)]()
