"""The accounts were made lately, and nobody has verified who owns them.

What it sees: the share of accounts without standing that are younger than a fortnight and not verified, against the share
among all accounts: beta-binomial, since groups differ (an honest one has the usual share more or less, worth four accounts; a
pool four fifths).

What honest traffic sets it off: a tool that goes viral, a class, a campus in its first week. What hides from it: accounts
that were rented, stolen or left to ripen. It says nothing where the operator states no ages and guard has itself seen less
than three weeks: then everybody looks young.

Not costly: to be new is no evidence against anybody.

Cost: 10 µs. Source: registration age as a mark of sybil accounts (SynchroTrap, Cao et al. 2014).
"""

from __future__ import annotations

import numpy as np

from guard.likelihoods import beta_binomial
from guard.samples import NOTHING, Sample, Weighed
from guard.standing import STANDING

_YOUNG_S = 14 * 86400.0
_SETTLED_IN_S = 21 * 86400.0
_POOL = (4.0, 1.0)
_WORTH = 4.0


class YoungAccounts:
    name = "young_accounts"
    group = "lifecycle"
    costly = False

    def weigh(self, sample: Sample) -> Weighed:
        baseline = sample.baseline
        fresh = sample.standing < STANDING
        if sample.now - baseline.since < _SETTLED_IN_S:
            # Guard's own first sight of an account says nothing yet.
            fresh &= sample.dated
        among = int(np.count_nonzero(fresh))
        if among < 3:
            return NOTHING
        unknown = (sample.now - sample.born[fresh] < _YOUNG_S) & (sample.verified[fresh] != 1)
        young = int(np.count_nonzero(unknown))
        # The verified are seldom young: of the young, more than the usual share are unverified.
        usual = min(0.95, max(0.02, baseline.young * (1.0 + baseline.unverified) / 2))
        nats = beta_binomial(young, among, *_POOL) - beta_binomial(young, among, _WORTH * usual, _WORTH * (1.0 - usual))
        return Weighed(nats, f"{young} of {among} are young, {usual:.0%} usual")


PLUGIN = YoungAccounts
