"""Who in a convicted group is not of it: a shared word, or a public prompt that a queue uses too, convicts nobody.

Two kinds of accounts are peeled off before a group's accounts are linked (after Hooi et al., FRAUDAR, 2016: what is left when
those who fit least are gone is the core):

* those of whose exchanges none shows any other trait that is common in the group, where there are such: a template shows in many
  places at once, a chance word in one;
* those that live in sessions, where most of the group does not: a queue deals its work out, so one account's next piece comes no
  sooner than its share of the load says.

Cost: O(exchanges), a millisecond for a thousand.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence

from guard.recognition.groups import Observed

COMMON = 0.25
"""The share of a group's exchanges that show a trait for the trait to be common in it."""
SESSION_S = 900.0
FEWEST_SHORT_GAPS = 2
LIFT = 3.0
"""How many times more short gaps than chance allows make an account one that lives in sessions."""


def outsiders(events: Sequence[Observed], value: int) -> set[int]:
    """The numbers of the accounts that are not of the core. ``value``: the trait that the group shares."""
    return _elsewhere(events, value) | _in_sessions(events)


def _elsewhere(events: Sequence[Observed], value: int) -> set[int]:
    shown: Counter[int] = Counter()
    known: list[tuple[int, array[int]]] = []
    for event in events:
        if event.traits:
            values = array("Q")
            values.frombytes(event.traits)
            shown.update(values)
            known.append((event.number, values))
    common = {trait for trait, count in shown.items() if count >= COMMON * len(known) and trait != value}
    if not common:
        return set()
    inside = {number for number, values in known if not common.isdisjoint(values)}
    return {number for number, _ in known} - inside


def _in_sessions(events: Sequence[Observed]) -> set[int]:
    last: dict[int, float] = {}
    counts: Counter[int] = Counter()
    short: Counter[int] = Counter()
    for event in events:
        before = last.get(event.number)
        if before is not None and event.at - before < SESSION_S:
            short[event.number] += 1
        last[event.number] = event.at
        counts[event.number] += 1
    span_s = max(SESSION_S, events[-1].at - events[0].at)
    alone = {
        number
        for number, gaps in short.items()
        if gaps >= FEWEST_SHORT_GAPS
        and gaps > LIFT * (counts[number] - 1) * min(1.0, counts[number] * SESSION_S / span_s)
    }
    # Where most accounts do it, it is how this group works, and tells nobody apart.
    return alone if 2 * len(alone) < len(counts) else set()
