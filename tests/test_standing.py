"""Standing: what age and verification are worth."""

from __future__ import annotations

import pytest

from guard.standing import MATURE_S, STANDING, standing, stands


@pytest.mark.parametrize(
    ("age_s", "verified", "expected"),
    [
        (0.0, False, 0.0),
        (0.0, True, 0.0),
        (MATURE_S / 2, False, 0.25),
        (MATURE_S / 2, True, 0.5),
        (MATURE_S, False, 0.5),
        (MATURE_S, True, 1.0),
        (100 * MATURE_S, True, 1.0),
        (-MATURE_S, True, 0.0),
    ],
)
def test_age_counts_half_and_double_where_verified(age_s: float, verified: bool, expected: float) -> None:
    """A month makes age whole; a verified account of today, or one of tomorrow, has none."""
    assert standing(1e9, 1e9 + age_s, verified=verified) == expected


def test_a_month_or_half_a_verified_one_is_enough() -> None:
    """Both are what it takes to stand outside."""
    assert standing(0.0, MATURE_S, verified=False) >= STANDING > standing(0.0, 0.9 * MATURE_S, verified=False)
    assert standing(0.0, MATURE_S / 2, verified=True) >= STANDING > standing(0.0, MATURE_S / 3, verified=True)


@pytest.mark.parametrize("verified", [True, False])
@pytest.mark.parametrize(
    "age_s", [-1.0, 0.0, *(MATURE_S * part + off for part in (0.5, 1.0, 2.0) for off in (-1.0, 0.0, 1.0))]
)
def test_whether_an_account_stands_is_what_its_standing_says(age_s: float, verified: bool) -> None:
    """The short way comes to the same as the long one, at both edges too."""
    assert stands(1e9, 1e9 + age_s, verified=verified) is (standing(1e9, 1e9 + age_s, verified=verified) >= STANDING)
