"""The meters of a bill in a record: f, sharers, corrections."""

from __future__ import annotations

import pytest

from guard.cells import amend, note, scaled, shared
from guard.meters import COST_MAX

T0 = 1_000.0
CELL = (1, 2, 3, 4, 1, 1_000.0, 2.0)


def record(level: float, *trail: float) -> list[object]:
    return [1, level, T0, 2.0, trail]


def test_f_scales_room_and_rate() -> None:
    assert scaled([CELL], 0.25) == ((1, 2, 3, 4, 1, 250.0, 0.5),)


@pytest.mark.parametrize(("level", "now", "rate"), [(100.0, T0, 2.0), (100.0, T0 + 50.0, 0.5), (0.0, T0, 0.5)])
def test_a_sharer_slows_no_meter_down_that_is_in_use(level: float, now: float, rate: float) -> None:
    (cell,) = shared([(*CELL[:6], 0.5)], record(level), now)

    assert cell[6] == rate


@pytest.mark.parametrize(
    ("trail", "reserved", "amount", "after_s", "level"),
    [
        ((T0,), 300.0, -200.0, 0.0, 300.0),
        ((T0,), 300.0, -200.0, 100.0, 100.0),
        ((T0,), 300.0, -300.0, 150.0, 0.0),
        ((T0,), 300.0, 50.0, 100.0, 350.0),
        ((T0 + 5.0,), 300.0, -200.0, 10.0, 480.0),
        ((T0 + 5.0,), 300.0, 70.0, 10.0, 550.0),
        ((), 300.0, -200.0, 0.0, 500.0),
        ((), 300.0, 40.0, 1_000.0, 40.0),
        ((T0,), 0.0, 40.0, 0.0, 540.0),
        ((T0,), 300.0, 2.0**51, 0.0, COST_MAX),
    ],
    ids=[
        "excess",
        "later",
        "all",
        "dearer",
        "another's",
        "another's, dearer",
        "stood empty",
        "anew",
        "nothing",
        "most",
    ],
)
def test_an_estimate_is_corrected(
    trail: tuple[float, ...], reserved: float, amount: float, after_s: float, level: float
) -> None:
    """From 500, drained at 2 a second; booked at T0. What began after the meter stood empty is not its own to give back."""
    subject = record(500.0, *trail)
    amend(subject, CELL, reserved, amount, T0, T0 + after_s)

    assert subject[1] == level


def test_what_is_added_for_good_is_not_given_back_for_an_estimate_before_it() -> None:
    """300 reserved, drained to 100, 400 added that are no estimate: of the 300 no more than 100 come back."""
    subject = record(300.0, T0)
    subject[1:3] = [100.0, T0 + 100.0]
    note(subject, [CELL])
    subject[1] = 500.0
    amend(subject, CELL, 300.0, -300.0, T0, T0 + 100.0)

    assert subject[1] == 400.0


def test_what_is_added_to_an_empty_meter_is_not_given_back_at_all() -> None:
    subject = record(0.0, T0)
    note(subject, [CELL])
    subject[1] = 400.0
    amend(subject, CELL, 300.0, -300.0, T0, T0)

    assert subject[1] == 400.0
