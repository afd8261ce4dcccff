"""Queues that are dealt out in lots: a few accounts share a wording, and every few another one.

Whoever knows that it takes sixteen accounts to be found (``verdicts.FEWEST``) gives each dozen a text of its own. Such a wording says
nothing by itself; a small team's internal prompt looks the same. But teams have little to do with each other: what gives the queue
away is that all of its lots run by one clock and under one load. So accounts without standing are put to a wording that they
nearly always show, where only a few do, and all such lots together are weighed like any other group, each lot's content less its own mean
(what lots differ in is their wording).

Lots that speak against a queue by themselves (sessions, loads of their own, the same questions) are left out before, and so are those
of one payer or organisation. Whoever has standing, is cleared, granted or in a cluster that was found otherwise is in no lot. What
joins lots that were found is weighed with them, but must act like a queue by itself as well.

What hides from it: lots of fewer than ``FEWEST_TOGETHER`` accounts, and cover that is most of what an account asks. Honest traffic
sets it off only where many unrelated small groups of new accounts act by one clock, in even loads.

Looked at are the latest conversations that accounts without standing began (``Cohorts``). Cost: about 1.5 µs for each of them, at most
once in ``EVERY_S``; a lot costs about 2 ms, and there is hardly one in ordinary traffic.
"""

from __future__ import annotations

from array import array
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence, Set
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from guard.likelihoods import FIRST_TURNS
from guard.recognition.accounts import Known
from guard.recognition.clusters import Clusters
from guard.recognition.earlier import earlier
from guard.recognition.elsewhere import LOUD
from guard.recognition.explained import Scene
from guard.recognition.families import Family
from guard.recognition.groups import Observed, sampling
from guard.recognition.peeling import outsiders
from guard.recognition.verdicts import AGREES_NATS, CONDUCT, COSTLY_NATS, FEWEST
from guard.samples import GIST

MOST = 4_096
EVERY_S = 900.0
FEWEST_NEW = 512
PART = 8
"""It is looked again when an eighth as many exchanges have come as are looked at."""
FEWEST_TOGETHER = 3
MOST_TOGETHER = 48
"""Accounts of a lot. What two share is chance, and what many share is weighed by itself."""
FEWEST_LOTS = 3
MOSTLY = 0.5
"""The share of an account's latest exchanges that show its lot's wording; and of all accounts that may be one lot's."""
WITHOUT_STANDING = 2.0 / 3.0
"""The share of a wording's accounts that must have no standing: else it is somebody's prompt."""
APART = 0.8
"""The share of those who pay that pay by means of their own."""
CANDIDATES = 100
"""All lots are one group; it is another one some hundred times."""
_AGAINST_NATS = -2.0
_BELOW = 127
_TWICE = 2
_LATEST = 16
"""Exchanges by which it is known what an account always says."""
_SEEN = 256
_SLICE = 16
_AT = itemgetter(0)


class Lot(NamedTuple):
    """Accounts that share a wording, and their exchanges that show it."""

    family: Family
    numbers: frozenset[int]
    events: list[Observed]


class Lots:
    """Looks now and then whether the small groups are one."""

    __slots__ = ("_clusters", "_due_at", "_due_s", "_found", "_members")

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters
        self._due_at, self._due_s = FEWEST_NEW, 0.0
        self._found: set[int] = set()
        """Clusters that it has found."""
        self._members: deque[Observed] = deque(maxlen=MOST)
        """What their members have asked since: a part of a queue runs by no clock that one could see."""

    def clear(self) -> None:
        """Forgets what could become a finding."""
        self._members.clear()

    def observe(self, observed: Observed, known: Known) -> None:
        """Takes in an exchange of an account without standing that is in a cluster."""
        if known.cluster in self._found and observed.turns <= FIRST_TURNS:
            self._members.append(observed)

    def due(self, seen: int, now: float) -> bool:
        """Whether to look. ``seen``: exchanges in all."""
        return seen >= self._due_at and now >= self._due_s

    def weigh(
        self, events: Sequence[Observed], family_of: Callable[[int], Family | None], seen: int, scene: Scene
    ) -> Generator[None, None, list[Observed]]:
        """Looks, and books what is found: the exchanges that it was found by; none: nothing was. ``events``: the latest of accounts
        without standing, in order of time. In slices."""
        self._due_at, self._due_s = seen + max(FEWEST_NEW, len(events) // PART), scene.now + EVERY_S
        heard = sorted([*events, *self._members], key=_AT) if self._members else events
        lots = yield from _dealt(heard, family_of, scene, self._found)
        kept = []
        for lot in lots:
            might_be = yield from _might_be(lot, scene)
            if might_be:
                kept.append(lot)
        accounts = [len(lot.numbers) for lot in kept]
        if len(kept) < FEWEST_LOTS or sum(accounts) < FEWEST or max(accounts) > MOSTLY * sum(accounts):
            return []
        found: list[Observed] = []
        for lot in kept:
            found += _less_the_wording(lot.events)
            yield
        found.sort(key=_AT)
        taken = yield from sampling(found[-MOST:], scene.weighable, scene.baseline, scene.now)
        yield
        if taken is None:
            return []
        verdict = yield from scene.weighing.weighing(taken, CANDIDATES)
        if verdict.band < 2:
            return []
        core, first, counts = yield from self._core(kept, scene)
        new = {known.number for known in core if not known.cluster}
        if not new or (len(new) < len(core) and not (yield from _acts_so(found, new, scene))):
            return []
        # From here on nobody comes in between: whom the operator has cleared or granted since, or erased, is left out.
        core = [
            known for known in core if scene.weighable(known.number) is known and _free(known, scene.now, self._found)
        ]
        if len(core) < FEWEST or not any([not known.cluster for known in core]):
            return []
        cluster = self._clusters.whose(core, min(lot.family.value for lot in kept), scene.now)
        cluster.hear(verdict)
        for lot in kept:
            cluster.firsts.update(lot.family.firsts)
        self._clusters.link(cluster, core, first, counts, scene.now)
        self._found.add(cluster.number)
        return found

    def _core(
        self, lots: Sequence[Lot], scene: Scene
    ) -> Generator[None, None, tuple[list[Known], dict[int, float], Counter[int]]]:
        """The accounts that are linked, when each first showed its wording, and how often."""
        first: dict[int, float] = {}
        counts: Counter[int] = Counter()
        core: list[Known] = []
        for lot in lots:
            counts += Counter(event.number for event in lot.events)
            first |= {event.number: event.at for event in reversed(lot.events)}
            apart = outsiders(lot.events, lot.family.value) | earlier(lot.family, list(lot.numbers), scene.accounts)
            for number in lot.numbers - apart:
                known = scene.weighable(number)
                if known is not None:
                    core.append(known)
            yield
        core.sort(key=lambda known: known.number)
        return core, first, counts


def _acts_so(events: Sequence[Observed], numbers: Set[int], scene: Scene) -> Generator[None, None, bool]:
    """Whether those accounts by themselves act like a queue: beside a cluster's members everybody would."""
    own = [event for event in events if event.number in numbers]
    taken = yield from sampling(own[-MOST:], scene.weighable, scene.baseline, scene.now)
    if taken is None:
        return False
    verdict = yield from scene.weighing.weighing(taken, 1)
    return sum([one.nats for one in verdict.evidence if one.group in CONDUCT]) >= COSTLY_NATS


def _free(known: Known, now: float, found: Set[int]) -> bool:
    """Whether an account may be in a lot: it is in no cluster, or in one that was ``found`` by lots."""
    if known.cluster and known.cluster not in found:
        return False
    return not (known.granted or known.cleared or known.of_standing(now))


def _dealt(
    events: Sequence[Observed], family_of: Callable[[int], Family | None], scene: Scene, found: Set[int]
) -> Generator[None, None, list[Lot]]:
    """The lots, each account in the one that most others are in."""
    own: dict[int, list[Observed]] = {}
    for event in events:
        own.setdefault(event.number, []).append(event)
    yield
    always: dict[int, list[int]] = {}
    for place, (number, asked) in enumerate(own.items(), 1):
        known = scene.weighable(number)
        if known is not None and len(asked) >= _TWICE and _free(known, scene.now, found):
            shown = _shown(asked[-_LATEST:])
            least = max(_TWICE, MOSTLY * min(len(asked), _LATEST))
            always[number] = [value for value, times in shown.items() if times >= least]
        if place % _SLICE == 0:
            yield
    alike = Counter([value for values in always.values() for value in values])
    private = {
        value
        for value, accounts in alike.items()
        if FEWEST_TOGETHER <= accounts <= MOST_TOGETHER and not _somebodys(family_of(value), scene)
    }
    yield
    members: dict[int, list[int]] = {}
    for number, values in always.items():
        shared = [(alike[value], value) for value in values if value in private]
        if shared:
            members.setdefault(max(shared)[1], []).append(number)
    lots = []
    for value, numbers in members.items():
        yield
        family = family_of(value)
        accounts = [known for number in numbers if (known := scene.weighable(number)) is not None]
        if family is not None and len(accounts) >= FEWEST_TOGETHER and not _one_owners(accounts):
            theirs = [event for number in numbers for event in own[number] if value in _shown((event,))]
            lots.append(Lot(family, frozenset(numbers), sorted(theirs, key=_AT)))
    return lots


def _shown(events: Sequence[Observed]) -> Counter[int]:
    """How often each trait is shown; none is shown twice by one exchange."""
    values = array("Q")
    values.frombytes(b"".join([event.traits for event in events]))
    return Counter(values)


def _somebodys(family: Family | None, scene: Scene) -> bool:
    """Whether accounts with standing use a wording as well, as far as is known, or it is found already."""
    if family is None or family.convicted:
        return True
    numbers = set(family.numbers)
    if family.group is not None:
        numbers.update([event.number for event in family.group.events[-_SEEN:]])
    there = [known for number in numbers if (known := scene.weighable(number)) is not None]
    return sum([known.of_standing(scene.now) for known in there]) > (1.0 - WITHOUT_STANDING) * len(there)


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
