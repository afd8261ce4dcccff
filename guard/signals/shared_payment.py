"""Accounts that belong to nobody in common are paid for by the same means.

What it sees: of the accounts without standing that state a means of payment, the share whose means another of them has named
before, against the share that chance and families, couples and second accounts make (a twentieth at least). In one honest
group of ten there is a customer with any number of keys, so that a single payer says at most 2.3 nats.

What honest traffic sets it off: a company, a balancer's keys, an index being filled: nearly all of their accounts share one
payment or organisation. They are told from a campaign by just that, and weigh nothing here: see ``one_owner``. Nor do the seats of
small firms, whose payers have a place each (``firms.py``).

Costly to plant on a victim: one would have to pay with his card.

Cost: 40 µs. Source: collisions against a birthday expectation; DETECTION, section 3.
"""

from __future__ import annotations

from math import log

from guard.firms import firms
from guard.likelihoods import holders, log_mean
from guard.samples import NOTHING, Sample, Weighed
from guard.standing import STANDING

_WAYS = (0.15, 0.4, 0.8)
_LEAST_CHANCE = 0.05
_ONE_OWNER = 0.8
_CUSTOMER = 0.1
_FEWEST = 4


class SharedPayment:
    name = "shared_payment"
    group = "infrastructure"
    costly = True

    def weigh(self, sample: Sample) -> Weighed:
        accounts = sample.accounts
        if max(holders(sample.payment), default=0) >= _ONE_OWNER * accounts:
            return Weighed(0.0, "one payer for all: an organisation")
        if max(holders(sample.org), default=0) >= _ONE_OWNER * accounts:
            return Weighed(0.0, "one organisation")
        payers = holders(sample.payment[sample.standing < STANDING])
        stated = sum(payers)
        if stated < _FEWEST:
            return NOTHING
        if firms(sample):
            return Weighed(0.0, "seats of firms")
        # Each account but the first of a payer.
        repeated = stated - len(payers)
        chance = max(_LEAST_CHANCE, min(0.9, 0.5 * (stated - 1) * sample.baseline.payment))
        most = max(payers)
        nats = _against(repeated, stated, chance)
        without = _against(repeated - most + 1, stated - most + 1, chance)
        nats = min(nats, max(0.0, without) - log(_CUSTOMER))
        sharing = sum([number for number in payers if number > 1])
        return Weighed(nats, f"{sharing} of {stated} accounts share a payment")


def _against(repeated: int, stated: int, chance: float) -> float:
    """Nats for a pool against owners, of whom ``chance`` share."""
    return log_mean(
        [
            repeated * log(share / chance) + (stated - repeated) * log((1.0 - share) / (1.0 - chance))
            for share in (chance + (1.0 - chance) * way for way in _WAYS)
        ]
    )


PLUGIN = SharedPayment
