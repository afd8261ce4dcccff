"""Queues without a template: accounts that share no text, but are dealt their work by one clock.

Bought or ripened accounts are looked for as ``cohorts.py`` does it: accounts whose mean content lies round one centre, as if each were
dealt from the same deck of cards. But people of average interests always make some such core, whose sessions and hours hide the clock
of the few among them that a queue drives. So the window is cut in two. By what came before the cut a crowd is *chosen*: who fits the
centre, doesn't live in sessions, and goes by the pace of the rest (who does so least goes first, after Hooi et al., FRAUDAR, 2016).
By what came after it the crowd is *tested*: whatever it was chosen by, independent owners come at any time again.

That makes the clock alone worth what it says (a likelihood ratio whose mean is about 1 for owners, so that a hundred to one befalls
hardly one crowd in a hundred). Still it convicts nobody by itself: another costly signal (one load, one deck of cards) and another kind
of evidence must speak after the cut as well (``Weighing.since``); not that they prove as much, for subjects and sessions last, and the
crowd was chosen by them. Who the accounts are says nothing: pools are bought.

Paced means more evenly than by chance. Bursts are left alone: events make them, and the keys of one owner that take turns.

Linked is who fits the centre, asks the crowd's models and keeps its pace, each alone, over the whole window: what the queue deals out
lies in the middle between its neighbouring exchanges of others, anybody else's lies anywhere. That nobody else can be made to do, or
does for long by chance, so who was linked too early is let go again. Members are held by their client, for a day each time that the
queue is found (``crowds.py``).

Bounded: ``KEPT`` beginnings of conversations and ``STEPS`` moments of exchanges, ``WINDOW_S``. Who began ``EACH`` in it, or took
``MOST_STEPS``, is no light user, would hide the others' pace, and is left to what is known of him alone. Where accounts begin more in a
day or two, too little is seen of each to find much. Nothing is kept over a restart but what was found. Cost: about 1 µs an exchange;
some 200 ms a look, in slices, once in ``EVERY`` conversations.

What hides from it: a queue that is not paced, of which guard sees only a part, or that deals in strict turn by an unchanging clock.
"""

from __future__ import annotations

from array import array
from collections import Counter, deque
from collections.abc import Generator, Iterator, Mapping, Sequence, Set
from math import inf
from typing import NamedTuple

import numpy as np

from guard.likelihoods import FIRST_TURNS
from guard.recognition.accounts import Known
from guard.recognition.clusters import USUALLY, Clusters
from guard.recognition.cohorts import DIRECTIONS, Means, fitting, means_of
from guard.recognition.crowds import book, could_be, forgiven, hold
from guard.recognition.explained import Scene
from guard.recognition.groups import Observed, sampling
from guard.recognition.in_time import Line, beside, off_own_clocks, timing
from guard.recognition.peeling import in_sessions
from guard.recognition.seasoned import of_it
from guard.recognition.verdicts import FEWEST, Verdict, wide_enough
from guard.types import Evidence

KEPT = 32_768
STEPS = 131_072
EACH = 256
MOST_STEPS = 512
"""Of one account. Who takes more is no light user, and would hide the pace of all others."""
SAME = 0.5
"""The share of a convicted crowd that must be found again over the whole window."""
WINDOW_S = 3 * 86_400.0
FEWEST_BEGUN = 1_024
EVERY = 4_096
"""It is looked again each time the conversations grew by half, at most so many later."""
FOUND_AGAIN = 2_048
"""While a queue is found it is looked again after so many."""
CHOSEN_WITH = 0.6
"""The share of what was begun that crowds are chosen with."""
FITS_NATS = 4.0
"""Half of all people fit any centre by having asked little."""
CANDIDATES = 100
"""Sixteen directions, a few looks a day."""
CLOCK_NATS = 4.6
"""What the clock must say after the cut, whatever else does."""
AS_MUCH_NATS = 12.0
"""The most that it counts: twice the cap of its kind (``verdicts.seasoned_nats``)."""
LEFT_OUT = frozenset({"shared_clock", "young_accounts", "standing"})
"""The clock is weighed here; who the accounts are is not."""
IN_TIME_NATS = 2.0
"""What an account's own exchanges must say for the queue's clock, for it to be linked."""
LINK_NATS = 11.5
"""What they, its content and its model must say together: a hundred thousand to one, where some thousand owners are compared dozens of times."""
CLOCK_COUNTS_NATS = 6.0
"""The most that its pace counts for: nobody is linked by when he came alone."""
LEAVE_NATS = -1.0
"""Below, it is let go again."""
_OUT_OF_TIME_NATS = -0.5
_PEELED = 8
"""One in so many goes at a time, of accounts and of exchanges."""
_LINK_EXCHANGES = 4
_WEIGHED = 2_048
_SLICE = 1_024


class Seen(NamedTuple):
    """The window as it was when it was looked at: what was begun, when and by whom; every step of conversations; where it is cut."""

    begun: Sequence[Observed]
    began: Line
    steps: Line
    cut_at: float
    busy: Set[int] = frozenset()
    """Who took so many steps that not all are known."""


class Found(NamedTuple):
    """A queue: by how many nats everybody fits it better than owners; its clock included; what its clock says of each; who lives
    otherwise; what those who fit it began; and what convicts it."""

    fit: Mapping[int, float]
    clock: Mapping[int, float]
    apart: Set[int]
    begun: Mapping[int, Sequence[Observed]]
    verdict: Verdict


class Paced:
    """The latest beginnings and steps of all accounts, and what is found among them."""

    __slots__ = (
        "_at",
        "_clusters",
        "_due_at",
        "_each",
        "_events",
        "_first",
        "_linked",
        "_numbers",
        "_seen",
        "_walked",
    )

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters
        self._events: deque[Observed] = deque()
        self._each: dict[int, int] = {}
        self._at, self._numbers, self._first = array("d"), array("q"), 0
        """Every step: when, and whose; from which place on they count."""
        self._walked: dict[int, int] = {}
        """How many of them are each account's."""
        self._linked: set[int] = set()
        """Accounts that were linked here and not by their text, by number."""
        self._seen, self._due_at = 0, FEWEST_BEGUN

    def clear(self) -> None:
        """Forgets what could become a finding."""
        self._events.clear()
        self._each.clear()
        del self._at[:], self._numbers[:]
        self._first, self._due_at = 0, self._seen + FEWEST_BEGUN
        self._walked.clear()
        self._linked.clear()

    @property
    def due(self) -> bool:
        """Whether to look."""
        return self._seen >= self._due_at

    def observe(self, observed: Observed, known: Known) -> None:
        """Takes in an exchange."""
        at, number = observed.at, observed.number
        if not observed.moved:
            # Where several keys of one owner go on with one conversation, each lies between the others' as its reader's pace has it.
            self._walks(at, number)
        if observed.turns > FIRST_TURNS or not any(observed.gist):
            return
        self._seen += 1
        events, each = self._events, self._each
        count = each.get(number, 0)
        if count < EACH:
            events.append(observed)
            each[number] = count + 1
        while len(events) > KEPT or (events and events[0].at < at - WINDOW_S):
            first = events.popleft().number
            each[first] -= 1
            if not each[first]:
                del each[first]

    def _walks(self, at: float, number: int) -> None:
        walked, first = self._walked, self._first
        count = walked.get(number, 0)
        if count < MOST_STEPS:
            walked[number] = count + 1
            self._at.append(at)
            self._numbers.append(number)
        while first < len(self._at) and (len(self._at) - first > STEPS or self._at[first] < at - WINDOW_S):
            other = self._numbers[first]
            walked[other] -= 1
            if not walked[other]:
                del walked[other]
            first += 1
        if first > STEPS:
            del self._at[:first], self._numbers[:first]
            first = 0
        self._first = first

    def weigh(self, scene: Scene) -> Iterator[None]:
        """Looks, and books what is found. In slices."""
        self._due_at = self._seen + min(EVERY, max(FEWEST_BEGUN, self._seen // 2))
        seen = yield from self._now_seen()
        cut = int(np.searchsorted(seen.began.at, seen.cut_at, side="right"))
        earlier = yield from means_of(seen.begun[:cut])
        weighed, whole = list[frozenset[int]](), None
        for direction in range(DIRECTIONS):
            core = yield from fitting(earlier, direction, weighed)
            if core is None:
                continue
            weighed.append(core.members)
            yield
            crowd = yield from chosen(core.fit, seen, until=seen.cut_at)
            verdict = yield from tested(crowd, seen, cut, scene)
            if verdict is None or verdict.band < 2:
                continue
            self._due_at = min(self._due_at, self._seen + FOUND_AGAIN)
            if whole is None:
                whole = yield from means_of(seen.begun)
            found = yield from over_all(whole, crowd, seen, verdict)
            if found is not None:
                self._book(found, scene)

    def _now_seen(self) -> Generator[None, None, Seen]:
        held, begun = list(self._events), list[Observed]()
        moments, numbers = [np.zeros(0)], [np.zeros(0, np.int64)]
        for first in range(0, len(held), _SLICE):
            yield
            some = [event for event in held[first : first + _SLICE] if self._each.get(event.number, 0) < EACH]
            begun += some
            moments.append(np.array([event.at for event in some]))
            numbers.append(np.array([event.number for event in some], np.int64))
        began = Line(np.concatenate(moments), np.concatenate(numbers))
        yield
        at, whose = np.frombuffer(self._at[self._first :]), np.frombuffer(self._numbers[self._first :], np.int64)
        yield
        busy = frozenset([number for number, count in self._walked.items() if count >= MOST_STEPS])
        first = int(np.searchsorted(at, began.at[0])) if len(begun) else len(at)
        cut_at = float(began.at[int(CHOSEN_WITH * len(begun))]) if begun else 0.0
        return Seen(begun, began, Line(at[first:], whose[first:]), cut_at, busy)

    def _book(self, found: Found, scene: Scene) -> None:
        # From here on nobody comes in between: whom the operator has cleared or granted since, or erased, is left out.
        crowd = [
            known
            for number, theirs in found.begun.items()
            if len(theirs) >= _LINK_EXCHANGES
            and number not in found.apart
            and found.clock.get(number, 0.0) >= IN_TIME_NATS
            and found.fit[number] >= LINK_NATS
            and (known := scene.weighable(number)) is not None
        ]
        members = [
            known
            for known in crowd
            if not known.cleared
            and of_it(known, len(found.begun[known.number]) >= USUALLY * known.count, scene.now, aged=True)
        ]
        if len(members) < FEWEST or forgiven(crowd):
            return
        linked = []
        for known in members:
            if could_be(known, self._clusters):
                linked.append(known)
            elif known.settled(scene.now):
                # Whom text has found stays with what it found; what he sends without its traits is a member's, too.
                hold(known, found.begun[known.number][-1])
        if not linked:
            return
        fresh = [known.number for known in linked if known.cluster == 0]
        cluster = book(self._clusters, linked, found.begun, found.verdict, scene.now)
        for number in list(self._linked):
            known = scene.weighable(number)
            if known is not None and known.cluster == cluster.number and found.fit.get(number, 0.0) < LEAVE_NATS:
                self._clusters.let_go(known)
            if known is None or known.cluster == 0:
                self._linked.discard(number)
        self._linked.update(fresh)


def chosen(fit: Mapping[int, float], seen: Seen, *, until: float) -> Generator[None, None, frozenset[int]]:
    """Of those who fit, by nats, who goes by the pace of the rest, by what came ``until`` then: they are peeled off one by one, and of all
    crowds that were left the one is taken that speaks loudest. In slices."""
    crowd = {number for number, nats in fit.items() if nats >= FITS_NATS} - seen.busy
    began = seen.began.till(until).of(crowd)
    yield
    crowd -= in_sessions(*began)
    line = seen.steps.till(until).of(crowd)
    yield
    free = off_own_clocks(*line)
    yield
    best, evenest = frozenset[int](), -inf
    while len(crowd) >= FEWEST:
        kept = np.isin(line.numbers, np.fromiter(crowd, np.int64, len(crowd)))
        line, free = Line(line.at[kept], line.numbers[kept]), free[kept]
        pace = timing(*line, free)
        if pace.nats > evenest:
            best, evenest = frozenset(crowd), pace.nats
        yield
        out = sorted([n for n in crowd if pace.each.get(n, 0.0) < _OUT_OF_TIME_NATS], key=pace.each.__getitem__)
        if not out:
            break
        crowd.difference_update(_few_of(out, line, len(crowd)))
    return best


def _few_of(out: Sequence[int], line: Line, accounts: int) -> Sequence[int]:
    """The first of them, up to one in ``_PEELED`` of the accounts and of the exchanges, at least one: the busiest of those who go by no
    pace hide everybody's."""
    known, counts = np.unique(line.numbers, return_counts=True)
    busy = dict(zip(known.tolist(), counts.tolist(), strict=True))
    room = len(line.at) // _PEELED
    for place, number in enumerate(out):
        room -= busy.get(number, 0)
        if place and (room < 0 or place >= accounts // _PEELED):
            return out[:place]
    return out


def tested(crowd: Set[int], seen: Seen, cut: int, scene: Scene) -> Generator[None, None, Verdict | None]:
    """What the crowd has done since the cut says of it, and nothing else; None: too little. In slices."""
    if len(crowd) < FEWEST:
        return None
    later = int(np.searchsorted(seen.steps.at, seen.cut_at, side="right"))
    line = Line(seen.steps.at[later:], seen.steps.numbers[later:]).of(crowd)
    free = off_own_clocks(*line)
    yield
    clock = timing(*line, free)
    yield
    if clock.nats < CLOCK_NATS:
        return None
    began = Line(seen.began.at[cut:], seen.began.numbers[cut:])
    core = np.array(sorted(crowd - in_sessions(*began.of(crowd))), np.int64)
    yield
    own = [seen.begun[cut + place] for place in np.flatnonzero(np.isin(began.numbers, core))[-_WEIGHED:].tolist()]
    yield
    if not own or not wide_enough(own, scene.weighable, whoever=True):
        return None
    taken = yield from sampling(own, scene.weighable, scene.baseline, scene.now)
    if taken is None:
        return None
    yield
    said = Evidence(
        "shared_clock", "coordination", round(min(AS_MUCH_NATS, clock.nats), 4), f"paced, {clock.gaps} gaps"
    )
    return (yield from scene.weighing.without(LEFT_OUT).since(taken, CANDIDATES, said))


def over_all(means: Means, convicted: Set[int], seen: Seen, verdict: Verdict) -> Generator[None, None, Found | None]:
    """Who is of the queue whose crowd was ``convicted``, by all that is known of the accounts; None: it is another crowd by now. In
    slices."""
    core = yield from fitting(means, convicted)
    if core is None:
        return None
    yield
    crowd = yield from chosen(core.fit, seen, until=inf)
    if len(crowd) < FEWEST or len(crowd & convicted) < SAME * len(convicted):
        return None
    line = seen.steps.of(crowd)
    free = off_own_clocks(*line)
    yield
    pace = timing(*line, free)
    yield
    others = {number for number, nats in core.fit.items() if nats > LEAVE_NATS and number not in crowd}
    strange = seen.steps.of(others - seen.busy)
    free = off_own_clocks(*strange)
    yield
    told = beside(*strange, free, line.at, pace.shape) | pace.each
    clock = {number: min(CLOCK_COUNTS_NATS, nats) for number, nats in told.items()}
    yield
    near = others | crowd
    apart = in_sessions(*seen.began.of(near))
    begun: dict[int, list[Observed]] = {}
    asked, usual, latest = Counter[int](), Counter[int](), dict[int, int]()
    for place, event in enumerate(seen.begun):
        number, model = event.number, event.model
        usual[model] += 1
        if number in near:
            begun.setdefault(number, []).append(event)
            latest[number] = model
            if number in crowd:
                asked[model] += 1
        if place % _SLICE == 0:
            yield
    fit = core.told_by_model(asked, usual, latest).told_by_clock(clock).fit
    return Found(fit, clock, apart, begun, verdict)
