from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from guard.signals.shared_payment import PLUGIN
from tests.signals.groups_made_up import degenerate, paced, queue, rng_of, sample_of

SIGNAL = PLUGIN()


def nats(shared: list[int], accounts: int, **fields: Any) -> float:
    """``shared``: of how many accounts each shared means of payment is; the others pay by their own."""
    group = queue(rng_of(1), paced(rng_of(1), 5 * accounts, 1), accounts, deal="round_robin")
    own = np.arange(1, accounts + 1, dtype=np.uint64)
    start = 0
    for number, count in enumerate(shared):
        own[start : start + count] = 1_000_000 + number
        start += count
    return SIGNAL.weigh(sample_of(group, **({"payment": own} | fields))).nats


def test_a_campaign_pays_by_few_means() -> None:
    """Three cards over three tenths of 240 accounts; six accounts on three cards; one seen early."""
    assert nats([24, 24, 24], 240) > 3
    assert nats([2, 2, 2], 6) > 2
    assert nats([6, 5, 4], 50) > 3


def test_couples_and_families_are_no_campaign() -> None:
    """One pair in eight accounts, five pairs in a hundred."""
    assert nats([2], 8) < 0.7
    assert nats([2] * 5, 100) < 0


def test_one_customer_in_a_group_says_little() -> None:
    """A young start-up with eight keys among the users of a tool."""
    assert nats([8], 30) < 2.4
    assert nats([8], 100) < 2.4


def test_a_company_with_standing_among_others_says_nothing() -> None:
    """Only accounts without standing count."""
    standing = np.where(np.arange(60) < 20, 1.0, 0.0).astype(np.float32)
    assert nats([20], 60, standing=standing) < 0


def test_an_organisation_says_so() -> None:
    """One payer, or one organisation, for nearly all."""
    assert nats([10], 10) == 0
    assert nats([20, 20], 50, org=np.where(np.arange(50) < 45, 5, 0).astype(np.uint64)) == 0


@pytest.mark.parametrize("kind", degenerate())
def test_little_says_little(kind: str) -> None:
    """Degenerate samples never raise, and convict nobody."""
    assert SIGNAL.weigh(degenerate()[kind]).nats <= 0
