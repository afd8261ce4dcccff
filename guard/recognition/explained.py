"""Who in a convicted group only shares its words with a cluster that explains it.

A queue that uses a public prompt makes whatever shows the prompt look like one operator's. So where those that are not yet the cluster's
are enough to be weighed, their exchanges must not speak against it by themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple

from guard.recognition.accounts import Accounts, Known
from guard.recognition.groups import Observed, sampling
from guard.recognition.verdicts import FEWEST, Weighing, owners, prior
from guard.samples import Baseline

EXPLAINED = 0.25
"""The share of a convicted group's exchanges that must be one cluster's for the cluster to explain it."""


class Scene(NamedTuple):
    """What a group is weighed with. ``weighable``: an account whose exchanges count; None: they don't."""

    accounts: Accounts
    weighable: Callable[[int], Known | None]
    weighing: Weighing
    baseline: Baseline
    now: float


def explained(
    events: Sequence[Observed], scene: Scene, chances: int, cleared: frozenset[str]
) -> Generator[None, None, set[int]]:
    """The numbers of the accounts of a convicted group, one of ``chances``, that a cluster explains. In slices."""
    whose = Counter(
        known.cluster
        for event in events
        if (known := scene.accounts.number(event.number)) is not None and known.cluster
    )
    if not whose:
        return set()
    owner = max(whose, key=lambda number: (whose[number], -number))
    rest = [
        event for event in events if (known := scene.weighable(event.number)) is not None and known.cluster != owner
    ]
    if whose[owner] < EXPLAINED * len(events) or not rest:
        return set()
    taken = yield from sampling(rest, scene.weighable, scene.baseline, scene.now)
    if taken is None or owners(taken) < FEWEST:
        return set()
    verdict = yield from scene.weighing.weighing(taken, chances, cleared)
    return set() if verdict.nats > prior(chances) else {event.number for event in rest}
