"""Queues that are dealt out in lots: a few accounts share a wording, and every few another one.

Whoever knows that it takes sixteen accounts to be found (``verdicts.FEWEST``) gives each dozen a text of its own. Such a wording says
nothing by itself; a small team's internal prompt looks the same. But teams have little to do with each other: what gives the queue
away is that all of its lots run by one clock and under one load. So accounts without standing are put to the wording that they
mostly show, where only a few do, and all such lots together are weighed like any other group, each lot's content less its own mean
(what lots differ in is their wording).

Lots that speak against a queue by themselves (sessions, loads of their own, the same questions) are left out before, and so are those
of one payer or organisation. Whoever has standing, is cleared, granted or already in a cluster is in no lot.

What hides from it: lots of fewer than ``FEWEST_TOGETHER`` accounts, and cover that is most of what an account asks. Honest traffic
sets it off only where many unrelated small groups of new accounts act by one clock, in even loads.

Bounded: ``MOST`` exchanges. Nothing is kept over a restart: it is gathered again. Cost: about 30 µs a group, at most once in
``EVERY_S``; a lot costs about 2 ms, and there is hardly one in ordinary traffic.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from guard.recognition.accounts import Known
from guard.recognition.clusters import Clusters
from guard.recognition.earlier import earlier
from guard.recognition.elsewhere import LOUD
from guard.recognition.explained import Scene
from guard.recognition.families import Family
from guard.recognition.groups import Observed, sampling
from guard.recognition.peeling import outsiders
from guard.recognition.seasoned import of_it
from guard.recognition.verdicts import AGREES_NATS, FEWEST, Verdict
from guard.samples import GIST

MOST = 4_096
EVERY_S = 900.0
FEWEST_NEW = 512
PART = 64
"""It is looked again when a 64th as many exchanges have come as were looked at: that costs some 4 µs each."""
FEWEST_TOGETHER = 3
MOST_TOGETHER = 48
"""Accounts of a lot. Fewer are no family; more are weighed by themselves as soon as there is anything to say about them."""
FEWEST_LOTS = 3
MOSTLY = 0.5
"""The share of an account's exchanges that show its lot's wording; and of all accounts that may be one lot's."""
WITHOUT_STANDING = 2.0 / 3.0
"""The share of a wording's accounts that must have no standing: else it is somebody's prompt."""
APART = 0.8
"""The share of those who pay that pay by means of their own."""
CANDIDATES = 100
"""All lots are one group; it is another one some hundred times."""
_AGAINST_NATS = -2.0
_BELOW = 127
_AT = itemgetter(0)


class Lot(NamedTuple):
    """Accounts that share a wording, and their exchanges that show it."""

    family: Family
    numbers: frozenset[int]
    events: list[Observed]


class Lots:
    """Looks now and then whether the small groups are one."""

    __slots__ = ("_clusters", "_due_at", "_due_s")

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters
        self._due_at, self._due_s = FEWEST_NEW, 0.0

    def due(self, seen: int, now: float) -> bool:
        """Whether to look. ``seen``: exchanges in all."""
        return seen >= self._due_at and now >= self._due_s

    def weigh(self, families: Sequence[Family], seen: int, scene: Scene) -> Generator[None, None, list[Observed]]:
        """Looks, and books what is found: the exchanges that it was found by; none: nothing was. In slices."""
        lots, looked = yield from _dealt(families, scene)
        self._due_at, self._due_s = seen + max(FEWEST_NEW, looked // PART), scene.now + EVERY_S
        kept = []
        for lot in lots:
            might_be = yield from _might_be(lot, scene)
            if might_be:
                kept.append(lot)
        accounts = [len(lot.numbers) for lot in kept]
        if len(kept) < FEWEST_LOTS or sum(accounts) < FEWEST or max(accounts) > MOSTLY * sum(accounts):
            return []
        events: list[Observed] = []
        for lot in kept:
            events += _less_the_wording(lot.events)
            yield
        events.sort(key=_AT)
        taken = yield from sampling(events[-MOST:], scene.weighable, scene.baseline, scene.now)
        yield
        if taken is None:
            return []
        verdict = yield from scene.weighing.weighing(taken, CANDIDATES)
        if verdict.band < 2 or not (yield from self._convict(kept, verdict, scene)):
            return []
        return events

    def _convict(self, lots: Sequence[Lot], verdict: Verdict, scene: Scene) -> Generator[None, None, bool]:
        first: dict[int, float] = {}
        counts: Counter[int] = Counter()
        core: list[Known] = []
        for lot in lots:
            counts += Counter(event.number for event in lot.events)
            first |= {event.number: event.at for event in reversed(lot.events)}
            apart = outsiders(lot.events, lot.family.value) | earlier(lot.family, list(lot.numbers), scene.accounts)
            for number in lot.numbers - apart:
                known = scene.weighable(number)
                # It may be cleared, or linked, since it was looked at.
                if known is not None and _free(known, scene.now) and of_it(known, True, scene.now, aged=False):
                    core.append(known)
            yield
        if len(core) < FEWEST:
            return False
        core.sort(key=lambda known: known.number)
        cluster = self._clusters.whose(core, min(lot.family.value for lot in lots), scene.now)
        cluster.hear(verdict)
        for lot in lots:
            cluster.firsts.update(lot.family.firsts)
        self._clusters.link(cluster, core, first, counts, scene.now)
        return True


def _free(known: Known, now: float) -> bool:
    """Whether an account may be in a lot."""
    return not (known.cluster or known.granted or known.cleared or known.of_standing(now))


def _dealt(families: Sequence[Family], scene: Scene) -> Generator[None, None, tuple[list[Lot], int]]:
    """The lots, and how many exchanges were looked at."""
    shown: dict[int, dict[int, int]] = {}
    sizes: dict[int, int] = {}
    looked = 0
    for family in families:
        group = family.group
        if group is None or family.convicted:
            continue
        looked += len(group.events)
        own = Counter([event.number for event in group.events])
        yield
        if not FEWEST_TOGETHER <= len(own) <= MOST_TOGETHER / WITHOUT_STANDING:
            continue
        free = [known for number in own if (known := scene.weighable(number)) is not None and _free(known, scene.now)]
        if not max(FEWEST_TOGETHER, WITHOUT_STANDING * len(own)) <= len(free) <= MOST_TOGETHER or _one_owners(free):
            continue
        sizes[family.value] = len(free)
        for known in free:
            if own[known.number] >= 2:
                shown.setdefault(known.number, {})[family.value] = own[known.number]
    members: dict[int, set[int]] = {}
    for number, times in shown.items():
        # Of the ten traits of one wording the same for all, as far as all show them.
        value = max(times, key=lambda value: (times[value], sizes[value], value))
        known = scene.weighable(number)
        if known is not None and times[value] >= MOSTLY * known.count:
            members.setdefault(value, set()).add(number)
    yield
    lots = []
    for family in families:
        numbers, group = members.get(family.value, set()), family.group
        if len(numbers) >= FEWEST_TOGETHER and group is not None:
            lots.append(Lot(family, frozenset(numbers), [event for event in group.events if event.number in numbers]))
            yield
    return lots, looked


def _one_owners(members: Sequence[Known]) -> bool:
    """Whether accounts are one payer's or one organisation's."""
    paid = [known.payment for known in members if known.payment]
    if len(paid) >= 2 and len(set(paid)) < APART * len(paid):
        return True
    orgs = Counter(known.org for known in members if known.org)
    return any(2 * number > len(members) for number in orgs.values())


def _might_be(lot: Lot, scene: Scene) -> Generator[None, None, bool]:
    """Whether nothing in a lot speaks plainly against a queue."""
    taken = yield from sampling(lot.events, scene.weighable, scene.baseline, scene.now)
    if taken is None:
        return False
    verdict = yield from scene.weighing.weighing(taken, 1)
    said = verdict.evidence
    return sum([one.nats for one in said]) > _AGAINST_NATS and not any(
        one.signal in LOUD and one.nats <= -AGREES_NATS for one in said
    )


def _less_the_wording(events: Sequence[Observed]) -> Iterator[Observed]:
    """The same exchanges, their content less its mean."""
    told = [event.gist for event in events if any(event.gist)]
    if not told:
        yield from events
        return
    gists = np.frombuffer(b"".join(told), np.int8).reshape(-1, GIST).astype(np.float64)
    left = np.clip(np.rint(gists - gists.mean(0)), -_BELOW, _BELOW).astype(np.int8)
    rows = iter(left)
    for event in events:
        yield event._replace(gist=next(rows).tobytes()) if any(event.gist) else event
