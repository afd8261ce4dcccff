"""Who in a convicted group is not of it: a shared word, or a public prompt that a queue uses too, convicts nobody.

Two kinds of accounts are peeled off before a group's accounts are linked (after Hooi et al., FRAUDAR, 2016: what is left when
those who fit least are gone is the core):

* those of whose exchanges none shows any other trait that is common in the group, where there are such: a template shows in many
  places at once, a chance word in one;
* those that live in sessions, where most of the group does not: a queue deals its work out, so one account's next piece comes no
  sooner than its share of the load says.

Cost: O(exchanges · log exchanges) in numpy, about a millisecond for two thousand.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from guard.recognition.groups import Observed

COMMON = 0.25
"""The share of a group's exchanges that show a trait for the trait to be common in it."""
SESSION_S = 900.0
FEWEST_SHORT_GAPS = 2
LIFT = 3.0
"""How many times more short gaps than chance allows make an account one that lives in sessions."""
_LOW = np.uint64(0xFFFF)


def outsiders(events: Sequence[Observed], value: int) -> set[int]:
    """The numbers of the accounts that are not of the core. ``value``: the trait that the group shares."""
    numbers = np.array([event.number for event in events], np.int64)
    return _elsewhere(events, numbers, value) | in_sessions(np.array([event.at for event in events]), numbers)


def _elsewhere(events: Sequence[Observed], numbers: np.ndarray, value: int) -> set[int]:
    shown = [event.traits for event in events]
    counts = np.array([len(traits) for traits in shown], np.intp) // 8
    traits = np.frombuffer(b"".join(shown), np.uint64)
    known = np.flatnonzero(counts)
    least = COMMON * len(known)
    # Most traits were shown once. A count of their low bits, which only overstates, leaves few to be sorted.
    low = (traits & _LOW).astype(np.intp)
    often = np.bincount(low, minlength=1)[low] >= least
    found, times = np.unique(traits[often], return_counts=True)
    common = found[(times >= least) & (found != np.uint64(value))]
    if not len(common):
        return set()
    places = np.minimum(np.searchsorted(common, traits), len(common) - 1)
    hits = np.repeat(np.arange(len(events)), counts)[common[places] == traits]
    return set(numbers[known].tolist()) - set(numbers[hits].tolist())


def in_sessions(at: NDArray[np.float64], numbers: NDArray[np.int64]) -> set[int]:
    """The numbers of the accounts that live in sessions, where most do not. ``at``: moments in order; ``numbers``: whose they are."""
    if not len(at):
        return set()
    order = np.argsort(numbers, kind="stable")
    sorted_numbers, sorted_at = numbers[order], at[order]
    same = sorted_numbers[1:] == sorted_numbers[:-1]
    near = same & (sorted_at[1:] - sorted_at[:-1] < SESSION_S)
    starts = np.flatnonzero(np.concatenate(([True], ~same)))
    accounts, counts = sorted_numbers[starts], np.diff(starts, append=len(at))
    short = np.add.reduceat(np.concatenate(([False], near)).astype(np.intp), starts)
    span_s = max(SESSION_S, float(at[-1] - at[0]))
    chance = (counts - 1) * np.minimum(1.0, counts * SESSION_S / span_s)
    alone = accounts[(short >= FEWEST_SHORT_GAPS) & (short > LIFT * chance)]
    # Where most accounts do it, it is how this group works, and tells nobody apart.
    return set(alone.tolist()) if 2 * len(alone) < len(accounts) else set()
