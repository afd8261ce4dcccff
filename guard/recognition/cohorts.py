"""Groups that share no text: accounts without standing that ask about the same things, each as if it were any other.

A campaign without a template leaves no family that is its own. But its accounts are exchangeable: each account's mean content is a
mean of the same deck of cards, while owners have subjects of their own. So of the latest beginnings of conversations of accounts
without standing (their gists, ``sketch.py``) a *core* is sought, from each of sixteen directions: a mixture of one queue (accounts
whose means lie round one centre, the nearer the more they asked) and of owners (whose means lie as far from the middle of all as
means usually do), fitted by expectation and maximisation (Dempster, Laird, Rubin 1977). What fits the queue better is the core; who
doesn't is peeled off. Where the core runs by one clock, whoever does not keep it is peeled off as well: people of average interests
fit the centre, too, where a campaign asks what everybody asks.

The core is then weighed like any group, but for the signals that it was chosen by (content, youth, standing). It is convicted by how
its exchanges came about, so by at least two kinds of evidence (``verdicts.seasoned_nats``). Its members are contained by membership
alone, since they show no trait: only while such a core goes on being found, and from the client that they used when it was; a day
after the last finding they are free. Accounts of standing are never in a core.

Bounded: ``KEPT`` exchanges, ``MOST_EACH`` of one account. Where accounts without standing begin more than some thousand conversations
a day, the window is shorter than it takes to tell accounts apart, and little is found.

Cost: 2 µs an exchange; some 100 ms a weighing, in slices of about a millisecond, one each time the exchanges grew by half (at most
``LONGEST`` later).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence, Set
from math import log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from guard.likelihoods import FIRST_TURNS
from guard.recognition.accounts import Accounts, Known
from guard.recognition.clusters import USUALLY, Cluster, Clusters
from guard.recognition.groups import Observed, sampling
from guard.recognition.in_time import in_time
from guard.recognition.peeling import outsiders
from guard.recognition.seasoned import of_it
from guard.recognition.verdicts import AGREES_NATS, Verdict, Weighing, wide_enough
from guard.samples import GIST, Baseline

KEPT = 8_192
MOST_EACH = 48
FEWEST = 1_024
LONGEST = 4_096
FOUND_AGAIN = 512
"""While a core holds it is looked for again after so many."""
HOLDS_S = 86_400.0
CHOSEN_BY = frozenset({"one_queue", "young_accounts", "standing"})
"""Group signals that a core would set off by how it was chosen."""
CANDIDATES = 100
"""Sixteen directions, a few looks a day."""
LINK_NATS = 6.9
"""How much better an account must fit the queue than owners to be linked (a thousand to one: there are that many owners)."""
LEAVE_NATS = -2.0
"""Below, it is let go again."""
SAME_CORE = 0.8
_SIGNS = 4
DIRECTIONS = 1 << _SIGNS
_LINK_EXCHANGES = 4
_FEWEST_EXCHANGES = 3
_FEWEST_ACCOUNTS = 16
_ROUNDS = 8
_SLICE = 1_024
_WEIGHED = 2_048
_COUNTED = 20.0
"""An account counts at most like so many exchanges where a centre is worked out."""
_LEAST_SPREAD = 1e-4

Rows = NDArray[np.float64]


class Means(NamedTuple):
    """The accounts that asked often enough: numbers, exchanges, (A, GIST) sums and sums of squares of their gists."""

    numbers: list[int]
    counts: Rows
    sums: Rows
    squares: Rows


class Core(NamedTuple):
    """Accounts that fit one queue, by number, and by how many nats everybody fits it better than owners."""

    members: frozenset[int]
    fit: dict[int, float]

    def told_by_model(self, asked: Counter[int], usual: Counter[int], latest: Mapping[int, int]) -> Core:
        """The same where it counts, too, which models the core asks (how often) and which all do, and which each account asked last, by
        number. Who copies a model asks that one."""
        own, every = asked.total(), usual.total()
        nats = {model: log((asked[model] + 1.0) / (own + len(usual)) * every / count) for model, count in usual.items()}
        fit = {number: fit + nats.get(latest.get(number, 0), 0.0) for number, fit in self.fit.items()}
        return Core(self.members, fit)

    def told_by_clock(self, clock: Mapping[int, float]) -> Core:
        """The same where it counts, too, what the core's clock says of each (``in_time.py``). Whom it speaks against is none of it, whatever
        he asks."""
        fit = {
            number: (fit if clock.get(number, 0.0) >= 0.0 else min(fit, 0.0)) + clock.get(number, 0.0)
            for number, fit in self.fit.items()
        }
        return Core(self.members, fit)


class Cohorts:
    """The latest beginnings of accounts without standing, and what is found among them."""

    def __init__(self, accounts: Accounts, clusters: Clusters) -> None:
        self._accounts, self._clusters = accounts, clusters
        self._events: deque[Observed] = deque()
        self._each: dict[int, int] = {}
        self.seen = 0
        self.due_at = FEWEST
        """It is weighed when it has seen so many."""

    def __iter__(self) -> Iterator[Observed]:
        return iter(self._events)

    @property
    def due(self) -> bool:
        """Whether it is time to look."""
        return self.seen >= self.due_at

    def clear(self) -> None:
        """Forgets what could become a finding."""
        self._events.clear()
        self._each.clear()

    def observe(self, observed: Observed, known: Known) -> None:
        """Takes in an exchange of an account without standing."""
        if observed.turns > FIRST_TURNS or self._each.get(observed.number, 0) >= MOST_EACH or not self._could_be(known):
            return
        if any(observed.gist):
            self.seen += 1
            self.extend((observed,))

    def extend(self, events: Iterable[Observed]) -> None:
        """Takes in what belongs here; from what was kept over a restart, too."""
        for observed in events:
            self._events.append(observed)
            self._each[observed.number] = self._each.get(observed.number, 0) + 1
            if len(self._events) > KEPT:
                first = self._events.popleft().number
                self._each[first] -= 1
                if not self._each[first]:
                    del self._each[first]

    def resume(self, seen: int, due_at: int) -> None:
        """Goes on counting from there."""
        self.seen, self.due_at = seen, due_at

    def _could_be(self, known: Known) -> bool:
        """Whether an account may be one of a core: whom the operator has cleared, or text has found, is not looked for."""
        if known.granted or known.cleared:
            return False
        cluster = self._clusters.number(known.cluster) if known.cluster else None
        return cluster is None or cluster.held_until > 0.0

    def weigh(self, weighing: Weighing, baseline: Baseline, now: float) -> Generator[None, None, None]:
        """Looks for cores and books what is found. In slices."""
        self.due_at = self.seen + min(LONGEST, max(FEWEST, self.seen) // 2)
        events = list(self._events)
        means = yield from means_of(events)
        weighed: list[frozenset[int]] = []
        apt = weighing.without(CHOSEN_BY)
        for direction in range(DIRECTIONS):
            core = yield from fitting(means, direction, weighed)
            if core is None:
                continue
            weighed.append(core.members)
            own = [event for event in events if event.number in core.members][-_WEIGHED:]
            if not wide_enough(own, self._weighable):
                continue
            taken = yield from sampling(own, self._weighable, baseline, now)
            if taken is None:
                continue
            yield
            verdict = yield from apt.weighing(taken, CANDIDATES, enough=True, seasoned=CANDIDATES)
            if verdict.band >= 2:
                apart = outsiders(own, 0)
                yield
                core = core.told_by_model(
                    Counter(event.model for event in own),
                    Counter(event.model for event in events),
                    {event.number: event.model for event in events},
                )
                if any(one.signal == "shared_clock" and one.nats >= AGREES_NATS for one in verdict.evidence):
                    yield
                    core = core.told_by_clock(
                        in_time(np.array([event.at for event in own]), np.array([event.number for event in own]))
                    )
                self._convict(core, own, apart, verdict, now)
                self.due_at = self.seen + FOUND_AGAIN

    def _convict(self, core: Core, events: Sequence[Observed], apart: Set[int], verdict: Verdict, now: float) -> None:
        counts = Counter(event.number for event in events)
        first = {event.number: event.at for event in reversed(events)}
        members = [
            known
            for number, count in counts.items()
            if count >= _LINK_EXCHANGES
            and number not in apart
            and core.fit[number] >= LINK_NATS
            and (known := self._weighable(number)) is not None
            and self._could_be(known)
            and of_it(known, count >= USUALLY * known.count, now, aged=False)
        ]
        if len(members) < _FEWEST_ACCOUNTS:
            return
        cluster = self._clusters.whose(members, events[-1].slot, now)
        # Without a trait nobody is more than suspect.
        cluster.hear(verdict._replace(band=2))
        cluster.held_until = now + HOLDS_S
        self._release(cluster, core, {known.number for known in members})
        for known in members:
            if known.cluster == 0:
                known.cluster = cluster.number
                known.client = 0
                cluster.linked += 1
            if known.cluster == cluster.number:
                if known.bearing == 0:
                    known.first_bearing_at = first[known.number]
                known.bearing = max(known.bearing, counts[known.number])

    def _release(self, cluster: Cluster, core: Core, members: Set[int]) -> None:
        """Who turns out not to fit, now that more is known of him, is free."""
        for other in [other for other in self._each if other not in members]:
            known = self._accounts.number(other)
            if known is not None and known.cluster == cluster.number and core.fit.get(other, 0.0) < LEAVE_NATS:
                self._clusters.let_go(known)

    def _weighable(self, number: int) -> Known | None:
        known = self._accounts.number(number)
        return None if known is None or known.granted else known


def means_of(events: Sequence[Observed]) -> Generator[None, None, Means]:
    """The means of all accounts that asked often enough. In slices."""
    counts = Counter[int]()
    for start in range(0, len(events), _SLICE):
        yield
        counts.update([event.number for event in events[start : start + _SLICE]])
    numbers = sorted(number for number, count in counts.items() if count >= _FEWEST_EXCHANGES)
    place = {number: row for row, number in enumerate(numbers)}
    sums, squares = np.zeros((len(numbers), GIST)), np.zeros((len(numbers), GIST))
    for start in range(0, len(events), _SLICE):
        yield
        own = [event for event in events[start : start + _SLICE] if event.number in place]
        if not own:
            continue
        rows = np.array([place[event.number] for event in own])
        order = np.argsort(rows, kind="stable")
        gists = np.frombuffer(b"".join([event.gist for event in own]), np.int8).reshape(-1, GIST)[order] / 100.0
        edges = np.flatnonzero(np.append(True, np.diff(rows[order]) != 0))
        whose = rows[order][edges]
        sums[whose] += np.add.reduceat(gists, edges)
        squares[whose] += np.add.reduceat(gists * gists, edges)
    return Means(numbers, np.array([float(counts[number]) for number in numbers]), sums, squares)


def fitting(
    means: Means, start: int | Set[int], before: Sequence[frozenset[int]] = ()
) -> Generator[None, None, Core | None]:
    """The core in one of sixteen directions from the middle, by the signs of the first four dimensions, or round some accounts, by number;
    None: there is none, or it is one of those that were found ``before`` in others."""
    counts = means.counts
    if len(counts) < 2 * _FEWEST_ACCOUNTS:
        return None
    mean = means.sums / counts[:, None]
    weight = np.minimum(counts, _COUNTED)
    middle = weight @ mean / weight.sum()
    off = mean - middle
    among = np.maximum((off * off).mean(0), _LEAST_SPREAD)
    owners = -0.5 * (off * off / among + np.log(among)).sum(1)
    yield
    rows = np.array(means.numbers)
    if isinstance(start, int):
        begun = (off[:, :_SIGNS] > 0.0) @ (1 << np.arange(_SIGNS)) == start
    else:
        begun = np.isin(rows, np.fromiter(start, np.int64, len(start)))
    of_it = begun.astype(np.float64)
    others = [np.isin(rows, np.fromiter(core, np.int64, len(core))) for core in before]
    better = np.zeros(len(counts))
    for _ in range(_ROUNDS):
        if of_it.sum() < _FEWEST_ACCOUNTS:
            return None
        yield
        share = of_it * weight
        centre = share @ mean / share.sum()
        each = share / counts
        # How far single exchanges of the queue lie from its centre.
        spread = each @ (means.squares - 2.0 * centre * means.sums + counts[:, None] * centre * centre) / share.sum()
        near = np.maximum(spread, _LEAST_SPREAD) / counts[:, None]
        away = mean - centre
        better = -0.5 * (away * away / near + np.log(near)).sum(1) - owners
        part = min(0.9, max(0.02, float(of_it.mean())))
        now = 1.0 / (1.0 + np.exp(-np.clip(better + np.log(part / (1.0 - part)), -50.0, 50.0)))
        settled = float(np.abs(now - of_it).max()) < 0.01
        of_it = now
        if any(float(of_it[other].sum()) >= SAME_CORE * max(of_it.sum(), other.sum()) for other in others):
            return None  # on the way to one of them
        if settled:
            break
    found = np.flatnonzero(of_it > 0.5)
    if len(found) < _FEWEST_ACCOUNTS or any(int(other[found].sum()) >= SAME_CORE * len(found) for other in others):
        return None
    return Core(
        frozenset([means.numbers[row] for row in found]), dict(zip(means.numbers, better.tolist(), strict=True))
    )
