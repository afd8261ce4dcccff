"""How many of the accounts have standing: are old, verified, varied.

What it sees: the share s of accounts with standing. A pool made for the purpose has none; each that a group has speaks against
its being one (−6·s), and a group whose older accounts have it less often than is usual among all accounts says a little for it (at
most + 1). That an account is new is the business of ``young_accounts``: it can't have standing yet, and counts once only.

What honest traffic sets it off: newcomers: a new tool's users, a class. What hides from it: accounts that were rented, stolen
or left to ripen; they cost more than fresh ones.

Not costly: to be new is no evidence against anybody.

Cost: 5 µs. Source: DETECTION, section 3; the floor of honest reputation in FRAUDAR (Hooi et al. 2016).
"""

from __future__ import annotations

from math import log

import numpy as np

from guard.samples import Sample, Weighed
from guard.standing import STANDING

_PER_SHARE = 6.0
_MOST = 1.0
_YOUNG_S = 14 * 86400.0


class Standing:
    name = "standing"
    group = "standing"
    costly = False

    def weigh(self, sample: Sample) -> Weighed:
        accounts = max(1, sample.accounts)
        with_standing = int(np.count_nonzero(sample.standing >= STANDING))
        share = with_standing / accounts
        older = int(np.count_nonzero((sample.standing >= STANDING) | (sample.now - sample.born >= _YOUNG_S)))
        usual = 1.0 - min(0.95, max(0.0, sample.baseline.standing))
        # One account more as they usually are, so that a few without standing are no surprise.
        without = (older - with_standing + usual) / (older + 1.0)
        fewer = min(_MOST, log(without / usual)) if without > usual else 0.0
        return Weighed(fewer - _PER_SHARE * share, f"{with_standing} of {accounts} have standing")


PLUGIN = Standing
