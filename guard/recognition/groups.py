"""Groups: the latest exchanges of a family that is worth weighing, as the group signals need them.

What accounts do by themselves (how much, when, about what) shows only where several exchanges of one account are seen. The latest
thousand of a family of thousands of accounts hold hardly one of each; so of a family that has outgrown them a *deep* sample is kept
as well: every conversation that some of its accounts began, chosen by a hash of theirs, and of fewer as it grows (a coordinated
sample, Cohen and Kaplan 2007; DETECTION, section 1). What follows within a conversation follows from how it began.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.ma  # unused here: np.unique imports it at its first call, and takes 20 ms in the middle of a slice

from guard.likelihoods import FIRST_TURNS
from guard.recognition.accounts import Known
from guard.samples import GIST, Baseline, Sample

KEPT = 1_024
"""The latest exchanges that a group keeps."""
DEEP = 1_024
"""The exchanges of its deep sample, at least; at most twice as many."""
FEWEST_DEEP = 24
"""Accounts of a deep sample; where that few fill it, the oldest exchanges go. It takes days to see whether they keep hours."""
DEEPER = 2.0
"""So many times as long as the latest exchanges a deep sample must reach back to be looked at in their place."""
HOPELESS_NATS = -14.0
_EVERY = 1 << 32
_MIX = 0x9E3779B1
_NO_GIST = bytes(GIST)
_NOT_STATED = bytes(24)


class Observed(NamedTuple):
    """One exchange, as the hot path leaves it for recognition. Shared by all groups that it belongs to."""

    at: float
    number: int
    """The account, by recognition's own numbering."""
    traits: bytes
    """Its text traits, eight bytes each."""
    slot: int
    gist: bytes
    reading: float
    turns: int
    stack: int
    model: int
    network: int
    bearing: int
    """The cluster of whose traits it carried enough to be held its own, when it came; 0: none."""
    parameters: int = 0
    """32 bits that stand for its sampling parameters; 0: none."""
    moved: bool = False
    """Whether it goes on from what another account was answered."""


class Group:
    """The latest exchanges of one family, and what was last made of them."""

    __slots__ = ("apart", "below", "deep", "due", "events", "few", "seasoned", "seen", "weight")

    def __init__(self, events: list[Observed]) -> None:
        self.events = events
        self.deep: list[Observed] = []
        """What began a conversation, of the accounts whose hash lies ``below``; empty: ``events`` is all there was."""
        self.below = 0
        self.seen = len(events)
        """Exchanges since it became a group."""
        self.due = 16
        """It is weighed again when it has seen so many."""
        self.few = False
        """Whether it had too few accounts without standing for a verdict when it was last due."""
        self.seasoned = False
        """Whether it had enough in all for one that counts accounts of standing (``seasoned.py``)."""
        self.weight = 0.0
        """Its log-odds when it was last weighed."""
        self.apart = False
        """Whether its conduct plainly spoke for independent owners then (``verdicts.lives_apart``)."""

    def add(self, observed: Observed) -> bool:
        """Takes one in; whether it is time to weigh the group again."""
        events = self.events
        events.append(observed)
        self.seen += 1
        if self.below and observed.turns <= FIRST_TURNS and chance(observed.number) < self.below:
            self.deep.append(observed)
            if len(self.deep) > 2 * DEEP:
                self._thin()
        if len(events) > 2 * KEPT:
            if not self.below:
                self.deep, self.below = [event for event in events if event.turns <= FIRST_TURNS], _EVERY
                self._thin()
            del events[:-KEPT]
        return self.seen >= self.due

    def _thin(self) -> None:
        """Keeps half of the deep sample's accounts, and again, until it is small enough."""
        while len(self.deep) > 2 * DEEP:
            if len({observed.number for observed in self.deep}) < 2 * FEWEST_DEEP:
                del self.deep[:-DEEP]
                return
            self.below >>= 1
            self.deep = [observed for observed in self.deep if chance(observed.number) < self.below]

    def reaching_back(self) -> list[Observed]:
        """A copy of the deep sample, where it reaches back further than ``events`` by far; else nothing."""
        deep, events = self.deep, self.events
        if len(deep) >= FEWEST_DEEP and deep[-1].at - deep[0].at >= DEEPER * (events[-1].at - events[0].at):
            return deep[:]
        return []

    def put_off(self) -> None:
        """Until when it need not be weighed again: what speaks plainly against a campaign is looked at less often."""
        self.due = int(self.seen * (2.0 if self.weight < HOPELESS_NATS else 1.5))

    def look_again(self) -> None:
        """It is near a verdict: until when it need not be weighed again then, so that a verdict falls at most an eighth late."""
        self.due = min(self.due, 1 + int(self.seen * 1.125))


def shown_in_all(count: int, events: Sequence[Observed], deep: Sequence[Observed]) -> Counter[int]:
    """About how often each account has shown the trait of a family of ``count`` exchanges in all. ``events``: the latest of them."""
    share = len(events) / max(len(events), count)
    shown = Counter(event.number for event in events)
    found = Counter({number: round(some / share) for number, some in shown.items()})
    steps = len(events) / max(1, sum([event.turns <= FIRST_TURNS for event in events]))
    for number, begun in Counter(event.number for event in deep).items():
        found[number] = max(found[number], round(begun * steps))
    return found


def beginnings(events: Sequence[Observed], deep: Sequence[Observed]) -> list[Observed]:
    """What began a conversation, of both, each once, the deep sample's first; where nothing did, all of ``events``."""
    held = {id(event) for event in deep}
    begun = [*deep, *(event for event in events if event.turns <= FIRST_TURNS and id(event) not in held)]
    return begun or list(events)


def chance(number: int) -> int:
    """32 bits that are as good as drawn for an account, the same in every family."""
    return number * _MIX & 0xFFFFFFFF


def sampling(
    events: Sequence[Observed], known: Callable[[int], Known | None], baseline: Baseline, now: float
) -> Generator[None, None, Sample | None]:
    """The exchanges of accounts that are still known, as arrays; None: there are none. ``events`` must not change meanwhile. In
    two slices of at most about a millisecond: exchanges lie scattered in memory, and getting hold of them is what takes long."""
    if not events:
        return None
    columns = list(zip(*events, strict=True))
    records = {number: known(number) for number in dict.fromkeys(columns[1])}
    accounts = [record for record in records.values() if record is not None]
    if not accounts:
        return None
    if len(accounts) < len(records):
        columns = list(zip(*[event for event in events if records[event.number] is not None], strict=True))
    place = {record.number: i for i, record in enumerate(accounts)}
    stopped = np.sort(np.array([a.stopped_at for a in accounts if a.stopped_at]))
    yield
    at, numbers, _, slots, gists, readings, turns, stacks, models, networks, *_ = columns
    stated = np.frombuffer(b"".join([a.stated or _NOT_STATED for a in accounts]), ">u8").reshape(-1, 3)
    payment, signup, org = stated.T.astype(np.uint64, "C")
    return Sample(
        now=now,
        at=np.array(at),
        account=np.array([place[number] for number in numbers], np.int32),
        slot=np.array(slots, np.uint64),
        gist=np.frombuffer(b"".join([gist or _NO_GIST for gist in gists]), np.int8).reshape(-1, GIST),
        reading=np.array(readings, np.float32),
        turns=np.frombuffer(bytes(turns), np.uint8),
        stack=np.array(stacks, np.uint32),
        model=np.array(models, np.uint32),
        network=np.array(networks, np.uint32),
        born=np.array([a.born for a in accounts]),
        dated=np.array([a.dated for a in accounts], np.bool_),
        verified=np.array([a.verified for a in accounts], np.int8),
        standing=np.array([a.standing(now) for a in accounts], np.float32),
        payment=payment,
        signup=signup,
        org=org,
        baseline=baseline,
        stopped=stopped,
    )
