"""Pools of accounts that were bought old or left to ripen: when (nearly) all of a group's accounts have standing.

Standing speaks for a group (``signals/standing.py``) and is no alibi: a queue is a queue whoever's accounts it is dealt out to. Since
nearly all accounts of most honest groups have standing too, more is asked before such a group is held to be one operator's:

* it is ``FEWEST_EVENTS`` long, and as wide as any other that is weighed (``verdicts.wide_enough``, whatever the standing): what is
  short looks like anything by chance, and fewer groups are fewer chances to be wrong;
* neither a single signal nor a single kind of evidence carries it (``verdicts.seasoned_nats``); or load, cards and hours agree
  (``verdicts.agreed_nats``), as far back as anything is kept of it (``Group.deep``): honest groups have even loads, or no subjects, or
  no hours of their own, but hardly ever all three. That takes a day and a half: nothing is known of hours sooner.

It is never more than ``suspect``. Of an account with standing only exchanges are contained that carry the cluster's traits, and it is
told to wait. And accounts of standing are linked, in whatever group, only where their own exchanges, weighed by themselves, speak for
one queue: who merely copies what they ask can't make it so, for that he would have to ask in their place.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence, Set

import numpy as np

from guard.recognition.accounts import Known
from guard.recognition.groups import Observed, sampling
from guard.recognition.verdicts import Weighing
from guard.samples import Baseline, Sample
from guard.standing import STANDING

FEWEST_EVENTS = 100
FOUNDED_BY = 10
"""So many accounts among its founders make a family worth a group where hardly one of them is without standing."""
SEPARATELY_NATS = 4.6
"""What the exchanges of accounts of standing must say by themselves, their standing apart: a hundred to one."""
_FEWEST_OWN = 16
_FEWEST_ACCOUNTS = 5


def of_one_queue(
    events: Sequence[Observed],
    weighable: Callable[[int], Known | None],
    weighing: Weighing,
    baseline: Baseline,
    now: float,
    *,
    apart: Set[int],
) -> Generator[None, None, bool]:
    """Whether the accounts of standing in a convicted group are its operator's too, by their own exchanges alone. In slices. ``apart``:
    accounts that are not of the group's core."""
    theirs: dict[int, bool] = {}
    for event in events:
        if event.number not in theirs:
            known = weighable(event.number)
            theirs[event.number] = known is not None and known.of_standing(now) and event.number not in apart
    own = [event for event in events if theirs[event.number]]
    if len(own) < _FEWEST_OWN or sum(theirs.values()) < _FEWEST_ACCOUNTS:
        return False
    yield
    taken = yield from sampling(own, weighable, baseline, now)
    if taken is None:
        return False
    verdict = yield from weighing.weighing(taken, 1)
    return sum([one.nats for one in verdict.evidence if one.group != "standing"]) >= SEPARATELY_NATS


def mostly(sample: Sample) -> bool:
    """Whether at least half of a group's accounts have standing; else it is weighed by those that have none."""
    return 2 * int(np.count_nonzero(sample.standing >= STANDING)) >= sample.accounts


def of_it(known: Known, usual: bool, now: float, *, aged: bool) -> bool:
    """Whether an account that shows a convicted trait is linked. Any without standing; one that has led a life of its own, or has
    standing where the group's ``aged`` ones are of the queue, where a good part of that life shows it (``usual``): then only its
    exchanges with the traits are the cluster's."""
    if known.of_standing(now):
        return aged and usual
    return usual or not known.settled(now)
