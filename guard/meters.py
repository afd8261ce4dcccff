"""The arithmetic of one meter: a level that drains, what still fits, how long to wait, what may be given back.

A meter is a leaky bucket (Turner 1986; as GCRA, ITU-T I.371): admitted is what fits into max(capacity, cost), so that a
request dearer than the whole capacity passes on an empty meter, and only there. In any span of t seconds that admits at
most capacity + rate · t (plus, once, the excess of one such dear request over the capacity).

A *trail* keeps that bound where costs are estimates that are corrected later. An excess that is given back has meanwhile
kept the meter from standing empty, which is where unused time is lost. Giving all of it back would hand that time out as
credit, and chained requests could save it up. With E the excess and m the lowest level since it was booked, the level that
the true cost would have left is exactly level − min(E, m). So a trail holds, for the estimates under way, the lowest level
since each of them: triples (start, lowest since, how many) in one flat list, starts and lows both rising. Most exchanges of
an account don't overlap: of one estimate, since which nothing was added, the lowest level is the present one. That trail is
just ``(start,)``. An empty one says that the meter has stood empty since.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

Trail = Sequence[float]

COST_MAX = 2.0**50
"""Dearer than this is refused: above it a double no longer counts in ones."""
FOREVER_S = 10 * 365 * 86_400.0
# Rounding must not refuse a client who has waited as long as it was told.
SLACK = 1e-9
GRAIN_S = 1e-6
# So many triples make a trail too long; it is thinned to about half, evenly over its age.
_MOST = 96
# So many places of a trail are gone through faster one by one than in ways that suit many.
_FEW = 18


def wait_s(level: float, cost: float, capacity: float, rate_per_s: float) -> float:
    """Seconds until ``cost`` fits if nothing else is charged meanwhile; ``FOREVER_S`` where it never will."""
    room = capacity if capacity >= cost else cost
    if not (capacity > 0.0 and rate_per_s > 0.0 and cost <= COST_MAX):
        return FOREVER_S
    return min(max(0.0, level + cost - room) / rate_per_s + GRAIN_S, FOREVER_S)


def drained(level: float, as_of: float, rate_per_s: float, now: float) -> float:
    """The level at ``now``. A moment before ``as_of`` counts as ``as_of``: time that goes back gives nothing."""
    if now <= as_of:
        return level
    return max(0.0, level - (now - as_of) * rate_per_s)


def lower(trail: list[float], level: float) -> None:
    """Enters that the level has been as low as ``level``."""
    last = len(trail) - 3
    while last >= 3 and trail[last - 2] >= level:
        # Both have been as low as that: one triple says it.
        trail[last - 2] = level
        trail[last - 1] += trail[last + 2]
        del trail[last:]
        last -= 3
    if last >= 0 and trail[last + 1] > level:
        trail[last + 1] = level


def enter(trail: list[float], before: float, after: float, now: float) -> None:
    """Enters an estimate that was booked at ``now`` and took the level from ``before`` to ``after``."""
    if not trail:
        trail += (now, after, 1)
        return
    if trail[-2] > before:
        if len(trail) > 3 and trail[-5] >= before:
            lower(trail, before)
        else:
            trail[-2] = before
    if now <= trail[-3]:
        # No time has passed since the last one, so nothing has drained from below it.
        trail[-2] = after
        trail[-1] += 1
    else:
        if len(trail) >= 3 * _MOST:
            _thin(trail, now)
        trail += (now, after, 1)


def _thin(trail: list[float], now: float) -> None:
    """Lets estimates that began close together share a triple: the lower low holds for all, so less is given back."""
    apart_s = (now - trail[0]) * 2 / _MOST
    kept = trail[:3]
    for at in range(3, len(trail), 3):
        if trail[at] - kept[-3] < apart_s:
            kept[-1] += trail[at + 2]
        else:
            kept += trail[at : at + 3]
    trail[:] = kept


def noted(trail: Trail, level: float) -> Trail:
    """The trail of a meter at ``level`` to which something is added that is no estimate and will not be settled."""
    if not (trail and level):
        return ()
    many = trail if isinstance(trail, list) else [trail[0], level, 1]
    lower(many, level)
    return many


def corrected(trail: Trail, level: float, reserved: float, amount: float, start: float) -> tuple[Trail, float]:
    """Ends an estimate of ``reserved`` booked at ``start``, which was ``amount`` too low (negative: too high): the trail and the
    level afterwards. An estimate of nothing has left no trace in the trail."""
    if not (trail and level):
        return (), max(0.0, level + amount) if amount > 0.0 else level
    many = trail if isinstance(trail, list) else [trail[0], level, 1]
    if reserved:
        level -= leave(many, level, -amount if amount < 0.0 else 0.0, start)
    else:
        lower(many, level)
    if amount > 0.0:
        level += amount
    return many if many and level else (), level


def leave(trail: list[float], level: float, excess: float, start: float) -> float:
    """Ends an estimate booked at ``start``; how much of its ``excess`` (0 or more) may be given back at ``level``."""
    at = len(trail) - 3
    if trail[at + 1] > level:
        if at and trail[at - 2] >= level:
            lower(trail, level)
            at = len(trail) - 3
        else:
            trail[at + 1] = level
    if trail[at] > start:
        if trail[0] > start:
            return 0.0
        if at > _FEW:
            # Mostly the oldest ends first.
            at = 0 if trail[3] > start else 3 * bisect_right(range(0, at, 3), start, key=trail.__getitem__) - 3
        while trail[at] > start:
            at -= 3
    lowest = trail[at + 1]
    given = excess if excess < lowest else lowest
    if given > 0.0:
        if len(trail) - at > _FEW:
            trail[at + 1 :: 3] = [low - given for low in trail[at + 1 :: 3]]
        else:
            for low in range(at + 1, len(trail), 3):
                trail[low] -= given
        rest = lowest - given
        for low in range(at - 2, 0, -3):
            if trail[low] <= rest:
                break
            trail[low] = rest
    trail[at + 2] -= 1
    if trail[at + 2] <= 0:
        del trail[at : at + 3]
    return given
