"""Queues without a template that are dealt out to accounts of standing.

Bought or ripened accounts that share no text are looked for as ``cohorts.py`` does it: accounts whose mean content lies round one
centre, as if each were dealt from the same deck of cards. Most honest accounts have standing, so the crowd to choose from is large, and
people of average interests always make some core. It is convicted by conduct alone, by at least two costly signals (one clock and one
load) and another kind of evidence (``verdicts.seasoned_nats``): who its accounts are it was chosen by.

Looked at are the conversations that such accounts began in the last ``WINDOW_S``. Who began ``EACH`` in it is no light user, and is left
to what is known of him alone: cut off there, all of them would seem to bear one load. Only who fits the queue well (``FITS_NATS``) is
weighed with it, since half of all people fit any centre by having asked little.

Linked is who fits the queue and keeps its clock as well: each exchange of one that the queue deals out lies where its pace puts it
between the neighbouring ones of the others, anybody else's anywhere. That nobody else can be made to do, or does for long by chance,
so who was linked too early is let go again. Members are held by their client until a day after the queue was last found (``crowds.py``).

Bounded: ``KEPT`` exchanges. Where accounts of standing begin more in two days, too little is seen of each to find much. Nothing is kept
over a restart but what was found. Cost: about 1 µs an exchange; some 200 ms a look, in slices, once in ``EVERY`` conversations.

What hides from it: a queue that is not paced, and accounts with loads and hours like people's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import NamedTuple

import numpy as np

from guard.likelihoods import FIRST_TURNS
from guard.recognition.accounts import Known
from guard.recognition.clusters import USUALLY, Clusters
from guard.recognition.cohorts import CHOSEN_BY, DIRECTIONS, SAME_CORE, fitting, means_of
from guard.recognition.crowds import book, could_be, forgiven
from guard.recognition.explained import Scene
from guard.recognition.groups import Observed, sampling
from guard.recognition.in_time import in_time
from guard.recognition.peeling import outsiders
from guard.recognition.seasoned import of_it
from guard.recognition.verdicts import FEWEST, Verdict, wide_enough

KEPT = 32_768
EACH = 256
WINDOW_S = 3 * 86_400.0
FEWEST_BEGUN = 1_024
EVERY = 4_096
"""It is looked again each time the conversations grew by half, at most so many later."""
FOUND_AGAIN = 2_048
"""While a queue is found it is looked again after so many."""
FITS_NATS = 2.0
CANDIDATES = 100
"""Sixteen directions, a few looks a day."""
IN_TIME_NATS = 1.0
"""What an account's own exchanges must say for the queue's clock, for it to be linked."""
LINK_NATS = 9.2
"""What they and its content must say together: ten thousand to one, where some thousand owners are compared each time."""
LEAVE_NATS = -1.0
"""Below, it is let go again."""
_LINK_EXCHANGES = 4
_WEIGHED = 2_048
_SLICE = 1_024


class Found(NamedTuple):
    """A queue: by how many nats everybody fits it better than owners, its clock included; who lives otherwise; what its clock says of each;
    and what those who fit it began."""

    fit: Mapping[int, float]
    apart: Set[int]
    clock: Mapping[int, float]
    begun: Mapping[int, Sequence[Observed]]
    verdict: Verdict


class Aged:
    """The latest beginnings of accounts of standing, and what is found among them."""

    __slots__ = ("_clusters", "_due_at", "_each", "_events", "_linked", "_seen")

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters
        self._events: deque[Observed] = deque()
        self._each: dict[int, int] = {}
        self._linked: set[int] = set()
        """Accounts that were linked here, by number."""
        self._seen, self._due_at = 0, FEWEST_BEGUN

    def clear(self) -> None:
        """Forgets what could become a finding."""
        self._events.clear()
        self._each.clear()
        self._linked.clear()

    @property
    def due(self) -> bool:
        """Whether to look."""
        return self._seen >= self._due_at

    def observe(self, observed: Observed, known: Known) -> None:
        """Takes in an exchange."""
        at, number = observed.at, observed.number
        if observed.turns > FIRST_TURNS or not known.of_standing(at) or not any(observed.gist):
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

    def weigh(self, scene: Scene) -> Iterator[None]:
        """Looks, and books what is found. In slices."""
        self._due_at = self._seen + min(EVERY, max(FEWEST_BEGUN, self._seen // 2))
        held, events = list(self._events), list[Observed]()
        moments, numbers = [np.zeros(0)], [np.zeros(0, np.int64)]
        for first in range(0, len(held), _SLICE):
            yield
            some = [event for event in held[first : first + _SLICE] if self._each.get(event.number, 0) < EACH]
            events += some
            moments.append(np.array([event.at for event in some]))
            numbers.append(np.array([event.number for event in some], np.int64))
        at, whose = np.concatenate(moments), np.concatenate(numbers)
        means = yield from means_of(events)
        apt = scene.weighing.without(CHOSEN_BY)
        weighed: list[frozenset[int]] = []
        for direction in range(DIRECTIONS):
            core = yield from fitting(means, direction)
            if core is None or any(len(core.members & other) >= SAME_CORE * len(core.members) for other in weighed):
                continue
            weighed.append(core.members)
            yield
            places = np.flatnonzero(np.isin(whose, [n for n, nats in core.fit.items() if nats >= FITS_NATS]))
            yield
            own = [events[place] for place in places[-_WEIGHED:].tolist()]
            if not own or not wide_enough(own, scene.weighable, whoever=True):
                continue
            taken = yield from sampling(own, scene.weighable, scene.baseline, scene.now)
            if taken is None:
                continue
            yield
            verdict = yield from apt.weighing(taken, CANDIDATES, seasoned=CANDIDATES)
            if verdict.band >= 2:
                self._due_at = min(self._due_at, self._seen + FOUND_AGAIN)
                yield
                apart = outsiders(own, 0)
                yield
                clock = in_time(at[places], whose[places])
                begun: dict[int, list[Observed]] = {}
                for count, place in enumerate(places.tolist()):
                    begun.setdefault(events[place].number, []).append(events[place])
                    if count % _SLICE == 0:
                        yield
                self._book(Found(core.told_by_clock(clock).fit, apart, clock, begun, verdict), scene)

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
            if could_be(known, self._clusters)
            and of_it(known, len(found.begun[known.number]) >= USUALLY * known.count, scene.now, aged=True)
        ]
        if len(members) < FEWEST or forgiven(crowd):
            return
        cluster = book(self._clusters, members, found.begun, found.verdict, scene.now)
        for number in list(self._linked):
            known = scene.weighable(number)
            if known is not None and known.cluster == cluster.number and found.fit.get(number, 0.0) < LEAVE_NATS:
                self._clusters.let_go(known)
            if known is None or known.cluster == 0:
                self._linked.discard(number)
        self._linked.update([known.number for known in members])
