"""What a group's accounts do in all groups together: queues that are dealt out under many wordings.

Reworded twenty times, a queue is slow in each of its wordings: of a group's exchanges each account has one, and nobody can tell its
load or hours. So where a group's own exchanges do not speak against a queue, it is weighed once more by every conversation that its
accounts began in whatever group (a coordinated sample, as in ``Group.deep``: an account is in it with all that it did, or not at all),
by conduct that agrees (``verdicts.agreed_nats``) and by nothing else.

Who is taken does not depend on how he acts: the accounts are the group's. But the keys of a team behind a balancer say the same, share
one load and have no hours; so of each wording one account is taken, and among these, sixteen at least, load must be even by itself: teams
have loads of their own. A queue whose accounts each keep one of few wordings can't be told from a few teams, and is not.

Linked are accounts of which at least half of all exchanges are in groups: others only share a word with the queue.

Bounded: ``MOST`` exchanges in all, gathered anew when an eighth as many have come as were looked at (at most once in ``EVERY_S``); a
group is looked at once in between. Nothing is kept over a restart: it is gathered again at once. Cost: about 0.3 µs for each exchange
of a group where it is gathered, and 5 ms a weighing, in slices of about a millisecond.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import NamedTuple

from guard.likelihoods import FIRST_TURNS
from guard.recognition.explained import Scene
from guard.recognition.families import Family
from guard.recognition.groups import DEEP, Observed, chance, sampling
from guard.recognition.peeling import COMMON
from guard.recognition.seasoned import FEWEST_EVENTS
from guard.recognition.verdicts import AGREES_NATS, COSTLY_NATS, FEWEST, Verdict
from guard.samples import Sample

MOST = 32_768
EVERY_S = 1_800.0
EIGHTH = 8
FEWEST_ALIKE = 3
"""Accounts that make a wording: the fewest that make a family."""
FEWEST_NEW = 512
GAIN = 1.5
"""So many times what they did in the group its accounts must have done in all, for it to be worth a look."""
HOURS_S = 30 * 3_600.0
"""Nothing is known of hours sooner (``signals/private_rhythm.py``)."""
LOUD = frozenset({"even_load", "private_rhythm", "sessions", "slot_partition", "same_tasks", "one_owner"})
"""What speaks against a queue in one of its wordings speaks against it in all: who is uneven, keeps hours, lives in sessions, asks what
others have asked, or is known to be one owner, is not looked at any further."""
LOAD = "even_load"
HALF = 0.5
"""The share of an account's exchanges that are in groups where it is held to be of a queue under many wordings."""
MOST_TOLD = 2_048
_EVERYBODY = 1 << 32
_SOME = 32
"""Exchanges by which it is known what an account always says."""
_SLICE = 64
_EACH = 8
_AT = itemgetter(0)


class Whole(NamedTuple):
    """What the accounts of a group did in all groups."""

    together: list[Observed]
    """In order of time; of those that always say the same as many as there is room for."""
    apart: list[Observed]
    """The same of one account of each wording: those that say the same may be one team, which counts as one owner."""


class Looked(NamedTuple):
    """What a group was weighed by: its latest exchanges, its deep sample, what was made of the latest, what a pardon has lifted."""

    events: Sequence[Observed]
    deep: list[Observed]
    verdict: Verdict
    cleared: frozenset[str]


class Farther(NamedTuple):
    """What was found by looking farther than a group's latest exchanges."""

    events: list[Observed]
    sample: Sample
    verdict: Verdict
    elsewhere: bool = False
    """Whether it is found by what its accounts do in all groups."""
    strangers: frozenset[int] = frozenset()
    """Accounts of the group that mostly do other things, by number: they only share a word with it."""


class Elsewhere:
    """The conversations that accounts began, over all groups."""

    __slots__ = ("_below", "_due_at", "_due_s", "_held", "_looked", "_none")

    def __init__(self) -> None:
        self._held: dict[int, list[Observed]] = {}
        self._below = _EVERYBODY
        self._due_at, self._due_s = FEWEST_NEW, 0.0
        self._looked: set[int] = set()
        """Families that were looked at since it was last gathered: nothing new is known of them."""
        self._none: set[tuple[int, float, float]] = set()
        """What was found to be no queue since, by number and first and last moment: ten traits of one template find the same."""

    def due(self, seen: int, now: float) -> bool:
        """Whether to gather anew. ``seen``: exchanges in all."""
        return seen >= self._due_at and now >= self._due_s

    def clear(self) -> None:
        """Forgets what could become a finding."""
        self._held = {}
        self._looked.clear()
        self._none.clear()

    def looked(self, value: int) -> bool:
        """Whether the family of that trait was looked at since it was last gathered."""
        return value in self._looked

    def gather(self, families: Sequence[Family], seen: int, now: float) -> Iterator[None]:
        """Takes up what the groups hold now. In slices."""
        held: dict[int, dict[float, Observed]] = {}
        below, total, looked = min(_EVERYBODY, 2 * self._below), 0, 0
        for family in families:
            group = family.group
            if group is None:
                continue
            for place, event in enumerate((*group.deep, *group.events), 1):
                if place % DEEP == 0:
                    yield
                own = held.get(event.number)
                # A founder's traits were not kept; what follows within a conversation follows from how it began.
                if (own is not None and event.at in own) or event.turns > FIRST_TURNS or not event.traits:
                    continue
                if own is not None:
                    own[event.at] = event
                    total += 1
                elif chance(event.number) < below:
                    held[event.number] = {event.at: event}
                    total += 1
            looked += len(group.events)
            yield
            while total > MOST:
                below >>= 1
                held = {number: own for number, own in held.items() if chance(number) < below}
                total = sum([len(own) for own in held.values()])
                yield
        found: dict[int, list[Observed]] = {}
        for place, (number, own) in enumerate(held.items(), 1):
            found[number] = list(own.values())
            if place % _SLICE == 0:
                yield
        self.clear()
        self._held = found
        self._below = below
        self._due_at = seen + max(FEWEST_NEW, looked // EIGHTH)
        self._due_s = now + EVERY_S

    def of(self, value: int, events: Sequence[Observed]) -> Generator[None, None, Whole | None]:
        """What the accounts of the group of that trait did in all groups. None: it was asked since it was last gathered; it is no more
        than what they did in the group; it says nothing of hours; or there are too few that don't always say the same as another.
        In slices."""
        held = self._held
        own = Counter([event.number for event in events if event.number in held])
        if value in self._looked or len(own) < FEWEST:
            return None
        self._looked.add(value)
        always: dict[int, list[int]] = {}
        for place, number in enumerate(own, 1):
            always[number] = self._always(number)
            if place % _EACH == 0:
                yield
        alike = Counter([trait for traits in always.values() for trait in traits])
        first: dict[int, int] = {}
        for number, traits in always.items():
            shared = [(alike[trait], trait) for trait in traits if alike[trait] >= FEWEST_ALIKE]
            # By itself where nobody else says what it says.
            first[number] = min(shared)[1] if shared else -number
        yield
        order = sorted(own, key=lambda one: (first[one] if first[one] > 0 else chance(one) << 32, chance(one)))
        each = list({first[number]: number for number in reversed(order)}.values())
        if len(each) < FEWEST:
            return None
        together = self._up_to(order)
        yield
        there = sum([own[number] for number in {event.number for event in together}])
        yield
        key = len(together), together[0].at, together[-1].at
        if (
            key in self._none
            or len(together) < FEWEST_EVENTS
            or len(together) < GAIN * there
            or together[-1].at - together[0].at < HOURS_S
        ):
            return None
        self._none.add(key)
        return Whole(together, self._up_to(sorted(each, key=chance)))

    def _up_to(self, numbers: Iterable[int]) -> list[Observed]:
        """All that these accounts did, of the first of them as many as make a sample, in order of time."""
        found: list[Observed] = []
        for number in numbers:
            own = self._held[number]
            if found and len(found) + len(own) > 3 * DEEP:
                break
            found += own
            if len(found) >= 2 * DEEP:
                break
        found.sort(key=_AT)
        return found

    def life(
        self, events: Sequence[Observed], scene: Scene
    ) -> Generator[None, None, tuple[list[Observed], frozenset[int]]]:
        """What those accounts of a group did in all groups of whose exchanges that is at least half, and who the others are. In slices."""
        theirs: list[Observed] = []
        strangers = set()
        for place, number in enumerate(dict.fromkeys([event.number for event in events]), 1):
            if place % _SLICE == 0:
                yield
            known, held = scene.weighable(number), self._held.get(number, [])
            if known is None or len(held) < HALF * known.count:
                strangers.add(number)
            elif len(theirs) < MOST_TOLD:
                theirs += held
        theirs.sort(key=_AT)
        return theirs, frozenset(strangers)

    def agreed(self, whole: Whole) -> None:
        """It is a queue: the other families that find the same are to be looked at as well."""
        events = whole.together
        self._none.discard((len(events), events[0].at, events[-1].at))

    def _always(self, number: int) -> list[int]:
        """The traits that an account shows again and again."""
        events = self._held[number][-_SOME:]
        values = array("Q")
        for event in events:
            values.frombytes(event.traits)
        least = max(2.0, COMMON * len(events))
        return [trait for trait, times in Counter(values).items() if times >= least]


def looking_farther(
    family: Family, looked: Looked, elsewhere: Elsewhere, scene: Scene, chances: int
) -> Generator[None, None, Farther | None]:
    """Whether a group that is not convicted is by its deep sample, or by what its accounts do elsewhere. None: there is nothing to look
    at. In slices."""
    found = None
    deep, cleared = looked.deep, looked.cleared
    heard = looked.verdict.evidence
    if deep:
        taken = yield from sampling(deep, scene.weighable, scene.baseline, scene.now)
        yield
        if taken is not None:
            verdict = yield from scene.weighing.agreeing(taken, chances, cleared)
            found, heard = Farther(deep, taken, verdict), verdict.evidence
            if verdict.agreed:
                return found
    against = {one.signal for one in heard if one.nats <= -AGREES_NATS}
    if against & LOUD:
        return found
    whole = yield from elsewhere.of(family.value, deep or looked.events)
    if whole is None:
        return found
    taken = yield from sampling(whole.together, scene.weighable, scene.baseline, scene.now)
    yield
    if taken is None:
        return found
    verdict = yield from scene.weighing.agreeing(taken, chances, cleared)
    if not verdict.agreed:
        return Farther(whole.together, taken, verdict) if verdict.partly else found
    one_of_each = yield from sampling(whole.apart, scene.weighable, scene.baseline, scene.now)
    if one_of_each is None:
        return found
    said = (yield from scene.weighing.agreeing(one_of_each, chances, cleared)).evidence
    if sum([one.nats for one in said if one.signal == LOAD]) < COSTLY_NATS:
        return found
    elsewhere.agreed(whole)
    theirs, strangers = yield from elsewhere.life(deep or looked.events, scene)
    yield
    return Farther(theirs, taken, verdict, elsewhere=True, strangers=strangers)
