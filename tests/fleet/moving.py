"""A world of conversations that move, before several replicas: each exchange comes to one of them, by lot."""

from __future__ import annotations

import random
from dataclasses import replace

from guard.config import load
from guard.fleet.ensemble import Ensemble
from guard.pipeline import Guard
from guard.types import Account, Decision
from tests.recognition.relays import KEY, Talk, World, account, people, relay, run

ORDINARY = [account(f"person {n}", age_days=5.0 + n) for n in range(60)]
POOL = [account(f"rented {n}", age_days=5.0 + 6 * n, verified=n % 6 == 0) for n in range(40)]


class Deciding(World):
    """Keeps every decision."""

    def __init__(self, seed: int = 1) -> None:
        super().__init__(seed)
        self.decisions: list[tuple[object, ...]] = []

    def send(self, who: Account, talk: Talk, text: str = "", client: bytes = b"a client") -> Decision:
        found = super().send(who, talk, text, client)
        self.decisions.append((who.key, found.action, found.cluster, found.score, found.band, found.reasons))
        return found


class Dealt(Deciding):
    """``count`` replicas; what they tell each other passes through the forms that it has between processes."""

    def __init__(self, count: int, seed: int = 1) -> None:
        super().__init__(seed)
        policy = replace(load("standard"), mode="enforce")
        self.guards = [self.core, *[Guard(policy, key=KEY, store=self.core.store) for _ in range(1, count)]]
        self.ensemble = Ensemble([guard.recognition for guard in self.guards], KEY)
        for guard in self.guards:
            guard.due = self.ensemble.due  # type: ignore[method-assign]
        self._lot = random.Random(seed)

    def send(self, who: Account, talk: Talk, text: str = "", client: bytes = b"a client") -> Decision:
        self.core = self._lot.choice(self.guards)
        return super().send(who, talk, text, client)


def relayed(world: Deciding, turns: int = 1_000, moves: float = 0.3) -> Deciding:
    """A relay over rented accounts among people (``tests/recognition/test_hops.py``)."""
    talks: list[Talk] = []
    own: dict[str, Talk] = {}
    run(world, turns, lambda: relay(world, POOL, talks, moves=moves), lambda: people(world, ORDINARY, own))
    return world
