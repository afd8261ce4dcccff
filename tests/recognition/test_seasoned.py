"""What is asked of a verdict that counts accounts of standing."""

from __future__ import annotations

from math import inf

import pytest

from guard.recognition.verdicts import seasoned_nats

CAPS = {"coordination": 6.0, "rhythm": 2.5, "standing": 8.0}


@pytest.mark.parametrize(
    ("sums", "costly", "why"),
    [
        ({"coordination": 12.0, "rhythm": 3.0}, [12.0], "one signal says it all"),
        ({"coordination": 12.0, "rhythm": 3.0}, [10.0, 2.0], "without the strongest too little is left"),
        ({"coordination": 12.0}, [6.0, 3.0, 3.0], "no other kind speaks"),
        ({"coordination": 12.0, "rhythm": 0.5}, [6.0, 3.0, 3.0], "another kind hardly speaks"),
        ({}, [], "nothing is said"),
    ],
)
def test_neither_one_signal_nor_one_kind_carries_it(sums: dict[str, float], costly: list[float], why: str) -> None:
    """Accounts of standing are convicted by several signals of several kinds, or not at all."""
    assert seasoned_nats(sums, CAPS, costly) == -inf, why


def test_signals_that_agree_count_for_up_to_twice_the_cap() -> None:
    """Clock, load and cards together say more than the cap of their kind; what speaks for the accounts is taken off."""
    sums = {"coordination": 10.0, "rhythm": 4.0, "standing": -4.0}

    assert seasoned_nats(sums, CAPS, [6.0, 3.0, 1.0]) == pytest.approx(10.0 + 2.5 - 4.0)
    assert seasoned_nats({**sums, "coordination": 20.0}, CAPS, [9.0, 8.0, 3.0]) == pytest.approx(12.0 + 2.5 - 4.0)
