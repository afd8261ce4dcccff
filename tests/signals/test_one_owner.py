from __future__ import annotations

import numpy as np
import pytest

from guard.signals.one_owner import PLUGIN
from tests.signals.groups_made_up import degenerate, paced, queue, rng_of, sample_of

SIGNAL = PLUGIN()


def nats(accounts: int, *, org: int = 0, payment: int = 0, standing: float = 0.0) -> float:
    """``org`` and ``payment``: how many of the accounts share one."""
    group = queue(rng_of(1), paced(rng_of(1), 20 * accounts, 1), accounts, deal="round_robin")
    own = np.arange(1, accounts + 1, dtype=np.uint64)
    sample = sample_of(
        group,
        org=np.where(own <= org, 77, 0).astype(np.uint64),
        payment=np.where(own <= payment, 99, own + 1000).astype(np.uint64),
        standing=np.full(accounts, standing, np.float32),
    )
    return SIGNAL.weigh(sample).nats


def test_an_organisation_is_one_owner() -> None:
    """Its keys deal out one queue, and may."""
    assert nats(5, org=5) == -8
    assert nats(60, org=55) == -8
    assert nats(60, org=40) == 0


def test_a_known_customer_with_many_keys_is_one_owner() -> None:
    """A balancer whose ten keys have standing and mostly one payment; a company of sixty that all share one."""
    assert nats(10, payment=9, standing=1.0) == -8
    assert -8 < nats(10, payment=7, standing=1.0) < -3
    assert nats(60, payment=55, standing=1.0) == -8
    assert nats(60, payment=40, standing=1.0) == 0


def test_fresh_accounts_on_one_card_are_not() -> None:
    """That is what a small campaign looks like."""
    assert nats(6, payment=6) == 0
    assert nats(240, payment=240) == 0


@pytest.mark.parametrize("kind", degenerate())
def test_little_says_nothing(kind: str) -> None:
    """Degenerate samples never raise, and don't weigh."""
    assert SIGNAL.weigh(degenerate()[kind]).nats == 0
