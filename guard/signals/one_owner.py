"""The accounts belong to one organisation, or one known customer.

What it sees: a company's keys, a balancer's, an index being filled from an organisation's keys in turn are one queue in truth,
and honestly so. At least four fifths of the accounts share an organisation; or, of twelve accounts at most of which most have
standing, more than half share a means of payment; or of any number of accounts most of which have standing, four fifths do.

What sets it off wrongly: an extraction campaign run openly from one organisation. It is one customer then, with a name and a
contract, and the limits of the organisation and of its accounts hold it.

Only exonerates, so it can't be planted. Fresh accounts that share a card are no organisation: see ``shared_payment``.

Cost: 30 µs. Source: the look-alikes of DESIGN, section 1.
"""

from __future__ import annotations

import numpy as np

from guard.likelihoods import holders
from guard.samples import NOTHING, Sample, Weighed
from guard.standing import STANDING

_NATS = -8.0
_MOST_SHARE = 0.8
_SOME_SHARE = 0.5
_FEW = 12


class OneOwner:
    name = "one_owner"
    group = "standing"
    costly = False

    def weigh(self, sample: Sample) -> Weighed:
        accounts = sample.accounts
        if accounts < 2:
            return NOTHING
        org = max(holders(sample.org), default=0) / accounts
        if org >= _MOST_SHARE:
            return Weighed(_NATS, f"{org:.0%} of the accounts are one organisation's")
        settled = int(np.count_nonzero(sample.standing >= STANDING)) / accounts
        if settled <= 0.5:
            return NOTHING
        payment = max(org, max(holders(sample.payment), default=0) / accounts)
        if payment >= _MOST_SHARE:
            sure = 1.0
        elif accounts <= _FEW and payment > _SOME_SHARE:
            sure = (payment - _SOME_SHARE) / (_MOST_SHARE - _SOME_SHARE)
        else:
            return NOTHING
        return Weighed(_NATS * sure, f"{payment:.0%} of the accounts have one payer, and standing")


PLUGIN = OneOwner
