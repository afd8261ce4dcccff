"""Seats of many small firms: what they share, and what the owners' loads say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from guard.firms import firms, many, owners, places
from guard.samples import Sample
from guard.signals.even_load import PLUGIN as EVEN_LOAD
from guard.signals.one_queue import PLUGIN as ONE_QUEUE
from guard.signals.shared_network import PLUGIN as SHARED_NETWORK
from guard.signals.shared_payment import PLUGIN as SHARED_PAYMENT
from guard.signals.shared_signup import PLUGIN as SHARED_SIGNUP
from tests.signals.groups_made_up import Made, made, paced, queue, rng_of, sample_of


def seats(payers: int, each: int = 5, *, even: bool = False, seed: int = 1) -> Made:
    """Firms whose work a distributor deals out evenly over their seats; they are of very different size unless ``even``."""
    rng = rng_of(seed)
    size = np.ones(payers) if even else rng.gamma(0.7, 1.0, payers) + 0.05
    firm = rng.choice(payers, 1_500, p=size / size.sum())
    at = np.sort(rng.uniform(0.0, 3 * 86_400.0, 1_500))
    return made(rng, at, firm * each + rng.integers(0, each, 1_500))


def sample(group: Made, each: int = 5, *, cards: str = "firm", sites: str = "firm", **fields: Any) -> Sample:
    """``cards`` and ``sites``: the firm's, or dealt out over the accounts."""
    numbers = np.unique(group.account)
    firm, dealt = numbers // each + 1, rng_of(7).permutation(numbers // each + 1)
    place = np.searchsorted(numbers, group.account)
    values: dict[str, Any] = {
        "payment": (firm if cards == "firm" else dealt).astype(np.uint64),
        "signup": firm.astype(np.uint64),
        "network": (firm if sites == "firm" else dealt)[place].astype(np.uint32),
    }
    return sample_of(group, **(values | fields))


def test_payers_with_a_place_each_are_firms() -> None:
    """And those are not whose cards and addresses were dealt out over a pool, or who state neither."""
    group = seats(30)
    accounts = len(np.unique(group.account))
    assert firms(sample(group))
    assert not firms(sample(group, sites="dealt"))
    assert not firms(sample(group, cards="dealt"))
    assert not firms(sample(group, payment=np.zeros(accounts, np.uint64)))
    assert not firms(sample(group, network=np.zeros(len(group.at), np.uint32)))
    assert not firms(sample(seats(1, each=60), each=60))


def test_what_firms_share_speaks_for_owners() -> None:
    """Dealt out over a pool the same cards and networks speak against it."""
    group = seats(12, each=12)
    domain = np.where(np.arange(len(np.unique(group.account))) % 5 < 4, 7, 0).astype(np.uint64)
    assert SHARED_PAYMENT().weigh(sample(group, 12)).nats == 0.0
    assert SHARED_PAYMENT().weigh(sample(group, 12, sites="dealt")).nats > 2.0
    assert SHARED_SIGNUP().weigh(sample(group, 12, signup=domain)).nats == 0.0
    assert SHARED_SIGNUP().weigh(sample(group, 12, sites="dealt", signup=domain)).nats > 2.0
    assert SHARED_NETWORK().weigh(sample(group, 12)).nats <= 1.0


@pytest.mark.parametrize("payment", [True, False])
def test_it_is_the_owners_loads_that_must_be_even(payment: bool) -> None:
    """Where no payments are known many places do."""
    group = seats(30)
    blank: dict[str, Any] = {} if payment else {"payment": np.zeros(len(np.unique(group.account)), np.uint64)}
    assert EVEN_LOAD().weigh(sample(group, **blank)).nats < 1.0
    assert EVEN_LOAD().weigh(sample(seats(30, even=True), **blank)).nats > 2.0


def test_owners_subjects_are_their_seats() -> None:
    """Five seats of one firm ask about one thing: between firms that differ, nothing is one queue."""
    rng = rng_of(3)
    group = seats(30)
    subject = rng.normal(size=(30, 32))
    told = group._replace(gist=subject[group.account // 5] + rng.normal(size=(len(group.at), 32)))
    assert ONE_QUEUE().weigh(sample(told)).nats < -1.0


def test_a_pool_on_a_few_subnets_is_no_few_firms() -> None:
    """Three clouds, and each account's load as even as before."""
    rng = rng_of(5)
    pool = queue(rng, paced(rng, 1_500, 3), 200)
    subnet = (pool.account % 3 + 1).astype(np.uint32)
    blank = np.zeros(200, np.uint64)
    spread = sample_of(pool, network=subnet, payment=blank)
    assert owners(spread) is None
    assert EVEN_LOAD().weigh(spread).nats > 5.0


def test_owners_are_numbered_and_who_states_nothing_is_his_own() -> None:
    group = seats(30)
    accounts = np.unique(group.account)
    paid = (accounts // 5 + 1).astype(np.uint64)
    paid[:3] = 0
    found = owners(sample(group, payment=paid))
    assert found is not None
    assert len(np.unique(found)) == int(found.max()) + 1 == len(np.unique(paid)) - 1 + 3
    assert list(places(sample(group))) == (accounts // 5 + 1).tolist()


def test_many_is_a_matter_of_size() -> None:
    """A hundred and a few crumbs are one; ten of a size are ten."""
    assert many([5] * 8)
    assert not many([5] * 7)
    assert not many([100, 1, 1, 1, 1, 1, 1, 1, 1, 1])
