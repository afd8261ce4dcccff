"""The meters of one bill as they stand in a subject's record (see ``subjects.py``), compiled so that a request touches only numbers.

A record keeps four places for each meter: level, time, rate, trail. A cell names them, and what one tariff says of the meter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from guard.meters import COST_MAX, corrected, drained, noted

Subject = list[Any]
Cell = tuple[int, int, int, int, int, float, float]
"""Where level, time, rate and trail stand (trail 0: the costs are no estimates), the place of the unit among the costs, how far
up there is room, and the rate."""


class Row(NamedTuple):
    """Where the meters of a tariff stand in the subjects of one layout. ``layout`` has them all."""

    cells: tuple[Cell, ...]
    estimates: tuple[Cell, ...]
    """Those of the cells that are settled."""
    layout: int


def scaled(cells: Sequence[Cell], factor: float) -> tuple[Cell, ...]:
    """The cells at that f."""
    return tuple(
        [
            (at, as_of_at, rate_at, trail_at, place, room * factor, rate * factor)
            for at, as_of_at, rate_at, trail_at, place, room, rate in cells
        ]
    )


def shared(cells: Sequence[Cell], subject: Subject, now: float) -> tuple[Cell, ...]:
    """The cells in an overflow subject: what one of many sharers is allowed must not slow the others down."""
    return tuple(
        [
            (*cell[:6], subject[cell[2]])
            if subject[cell[2]] > cell[6] and drained(subject[cell[0]], subject[cell[1]], subject[cell[2]], now)
            else cell
            for cell in cells
        ]
    )


def note(subject: Subject, cells: Sequence[Cell]) -> None:
    """What is no estimate is to be added to meters on which estimates may be under way: their trails hold how low the level
    has been."""
    for at, *_ in cells:
        trail = subject[at + 3]
        if trail:
            subject[at + 3] = noted(trail, subject[at])


def amend(  # noqa: PLR0917 - named arguments cost more
    subject: Subject, cell: Cell, reserved: float, amount: float, start: float, now: float
) -> None:
    """Corrects one meter, on which ``reserved`` was booked at ``start``, by ``amount``; never below zero."""
    at, as_of_at, rate_at, trail_at, _, _, _ = cell
    level = subject[at]
    passed = now - subject[as_of_at]
    if passed > 0.0:
        level -= passed * subject[rate_at]
        if level < 0.0:  # noqa: PLR1730 - the call of max() costs more than all the rest
            level = 0.0
        subject[as_of_at] = now
    if trail_at:
        trail = subject[trail_at]
        if level and len(trail) == 1 and reserved and trail[0] <= start:
            # It is the only estimate, and nothing was added since: the lowest level is the present one.
            subject[trail_at] = ()
            level += amount
        else:
            subject[trail_at], level = corrected(trail, level, reserved, amount, start)
    else:
        level += amount
    subject[at] = 0.0 if level < 0.0 else level if level <= COST_MAX else COST_MAX
