"""Accounts were registered with the same trait: a mail domain, a referral, a form filled in the same way.

What it sees: how many of the accounts that state a sign-up trait have the commonest one, against what the commonest among all
accounts can have at most, given how often two accounts agree. So a mail provider that half of all accounts use says nothing,
and a domain of one's own that they all share says much. Where agreeing is rare among all, also how many accounts repeat
another's trait, as ``shared_payment`` counts them.

What honest traffic sets it off: a campus, a school's domain; a product that is known in one country only. A company's domain is its
payer's as well, and says nothing that ``shared_payment`` does not leave unsaid.

Not costly: whoever runs a mail domain, or knows a referral link, registers accounts with it.

Cost: 40 µs. Source: collisions against a birthday expectation; DETECTION, section 3.
"""

from __future__ import annotations

from math import log, sqrt

from guard.firms import firms
from guard.likelihoods import holders, log_mean
from guard.samples import NOTHING, Sample, Weighed

_WAYS = (0.3, 0.6, 0.9)
_LEAST_CHANCE = 0.1
_ONE_OWNER = 0.8
_FEWEST = 4


class SharedSignup:
    name = "shared_signup"
    group = "infrastructure"
    costly = False

    def weigh(self, sample: Sample) -> Weighed:
        traits = holders(sample.signup)
        stated = sum(traits)
        if stated < _FEWEST:
            return NOTHING
        if max(holders(sample.org), default=0) >= _ONE_OWNER * sample.accounts:
            return Weighed(0.0, "one organisation")
        if max(holders(sample.payment), default=0) >= _ONE_OWNER * sample.accounts:
            return Weighed(0.0, "one payer for all: an organisation")
        if firms(sample):
            return Weighed(0.0, "seats of firms")
        agree = min(1.0, sample.baseline.signup)
        # The commonest trait of all accounts has a share of at most √agree; some more is chance.
        commonest = min(0.95, max(_LEAST_CHANCE, sqrt(agree) + 0.05))
        most = max(traits)
        nats = _against(most, stated, commonest)
        # An account finds its trait taken with about this chance, if it agrees with one of the others.
        taken = 1.0 - (1.0 - agree) ** (0.5 * (stated - 1))
        if taken < 0.5:
            nats = max(nats, _against(stated - len(traits), stated, max(_LEAST_CHANCE, taken)))
        return Weighed(nats, f"{most} of {stated} accounts share a sign-up trait")


def _against(sharing: int, stated: int, chance: float) -> float:
    """Nats for a pool against owners, of whom ``chance`` share."""
    return log_mean(
        [
            sharing * log(share / chance) + (stated - sharing) * log((1.0 - share) / (1.0 - chance))
            for share in (chance + (1.0 - chance) * way for way in _WAYS)
        ]
    )


PLUGIN = SharedSignup
