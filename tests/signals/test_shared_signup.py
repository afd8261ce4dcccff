from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from guard.signals.shared_signup import PLUGIN
from tests.signals.groups_made_up import BASELINE, degenerate, paced, queue, rng_of, sample_of

SIGNAL = PLUGIN()


def nats(traits: list[int], agree: float, **fields: Any) -> float:
    accounts = len(traits)
    group = queue(rng_of(1), paced(rng_of(1), 5 * accounts, 1), accounts, deal="round_robin")
    sample = sample_of(group, replace(BASELINE, signup=agree), signup=np.array(traits, np.uint64), **fields)
    return SIGNAL.weigh(sample).nats


def drawn(seed: int, accounts: int) -> list[int]:
    """Mail providers as people have them: two fifths one, a tenth another, the rest their own."""
    rng = rng_of(seed)
    value = rng.random(accounts)
    return np.where(value < 0.4, 1, np.where(value < 0.5, 2, rng.integers(10, 1 << 40, accounts))).tolist()


@pytest.mark.parametrize("seed", range(8))
def test_a_mail_provider_is_nothing(seed: int) -> None:
    """Two fifths of all accounts have the same one; so have two fifths of a group, more or less."""
    for accounts in (8, 30, 200):
        assert nats(drawn(seed, accounts), 0.17) < 1


def test_a_domain_of_ones_own_for_all_is_something() -> None:
    """All accounts, also where there are few."""
    assert nats([7] * 40, 0.17) > 3
    assert nats([7] * 8, 0.17) > 2


def test_a_few_rare_traits_are_something_where_agreeing_is_rare() -> None:
    """Three referrals over half of a group, where two accounts agree once in ten thousand."""
    assert nats([1] * 8 + [2] * 8 + [3] * 8 + list(range(10, 34)), 1e-4) > 3


def test_an_organisation_says_so() -> None:
    """All of one organisation: its domain is no surprise."""
    assert nats([7] * 40, 0.17, org=np.full(40, 3, np.uint64)) == 0


def test_one_payers_accounts_share_his_domain() -> None:
    """A company without an organisation's name: who pays for nearly all says whose they are, and their domain says it again. Where a
    part of them is paid for by one, the domain counts."""
    payer = np.array([5] * 36 + [0, 0, 8, 9], np.uint64)
    assert nats([7] * 40, 0.17, payment=payer) == 0
    assert nats([7] * 40, 0.17, payment=np.array([5] * 20 + list(range(10, 30)), np.uint64)) > 3


@pytest.mark.parametrize("kind", degenerate())
def test_little_says_little(kind: str) -> None:
    """Degenerate samples never raise, and convict nobody."""
    assert SIGNAL.weigh(degenerate()[kind]).nats <= 0
