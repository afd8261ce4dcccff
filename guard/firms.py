"""Whose seats a group's accounts are: many small firms that use one product look like a pool in all that firms are.

Five seats of one payer at one place share his card, his network and his work, which a call distributor or a shift deals out evenly.
So where those that share a means of payment share a place as well, and the other way round, each is a firm: what they share speaks
for owners, and what they did is the owner's. Whoever deals cards and addresses out over a pool deals them independently; and if he
takes the trouble to build firms, it is their loads and subjects that still give him away.

Where no payments are known places must do. They do only where they are many (Simpson's effective number, 1949): a pool on three
subnets is no three firms.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from guard.likelihoods import holders
from guard.samples import Sample

MANY = 8.0
"""So many owners of one size are many: who of them shares something with whom says nothing of one operator."""
_ALIGNED = 0.8
_FEWEST = 2
_HALF = 0.5
_MIX = np.uint64(0x9E3779B97F4A7C15)
_NOBODYS = np.uint64(0xFFFFFFFFFFFFFFFF)


def many(held: Sequence[int]) -> bool:
    """Whether what accounts share is spread so widely that as many equal owners would be ``MANY``. ``held``: how many hold each."""
    return sum(held) ** 2 >= MANY * sum([number * number for number in held])


def places(sample: Sample) -> NDArray[np.uint64]:
    """(A,) the first network of each account; 0: unknown."""
    found = np.zeros(sample.accounts, np.uint64)
    # What was seen first is written last; of a group's founders no network was kept.
    known = np.flatnonzero(sample.network)[::-1]
    found[sample.account[known]] = sample.network[known]
    return found


def firms(sample: Sample) -> bool:
    """Whether those accounts that share a payment share a place, and the other way round: each payer is a firm."""
    if not sample.payment.any():
        return False
    place = places(sample)
    known = (sample.payment != 0) & (place != 0)
    if int(np.count_nonzero(known)) < _HALF * sample.accounts:
        return False
    payment, place = sample.payment[known], place[known]
    payers = holders(payment)
    by_payment, by_place, by_both = (
        sum([number * (number - 1) for number in held])
        for held in (payers, holders(place), holders(payment * _MIX ^ place))
    )
    return len(payers) >= _FEWEST and by_both > 0 and by_both >= _ALIGNED * max(by_payment, by_place)


def owners(sample: Sample) -> NDArray[np.int32] | None:
    """(A,) whose each account is, numbered from 0, where at least half are the seats of several owners, by payment or else by place;
    None: they aren't known to be."""
    values, known = sample.payment, firms(sample)
    if not known:
        values = places(sample)
        known = many(holders(values))
    if not known or sum([number for number in holders(values) if number > 1]) < _HALF * sample.accounts:
        return None
    # Of those that state nothing each is his own, under a value that no hash has.
    own = np.where(values == 0, _NOBODYS - np.arange(len(values), dtype=np.uint64), values)
    return np.unique(own, return_inverse=True)[1].astype(np.int32)
