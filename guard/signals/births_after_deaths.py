"""New accounts join the group soon after members were stopped.

What it sees: first exchanges of accounts in the group within half a day after a member was contained, against those before
anybody was. A pool replaces what it loses; honest owners' newcomers don't know that somebody else was stopped. (Binomial: of
all newcomers the share that fits the time, against three or ten times the odds.)

What honest traffic sets it off: a tool that grows fast, in the very hours in which some of its users were wrongly contained: so
the rate before is taken from the last two days before the first was stopped. What hides from it: a pool with spares that were
seen before, or one that pauses.

Costly to plant on a victim: newcomers would have to be brought to the victim's group, and members of it be stopped first.

Cost: 40 µs. Source: change of a Poisson rate, conditional on the total (Przyborowski, Wilenski 1940).
"""

from __future__ import annotations

from math import log

import numpy as np

from guard.likelihoods import log_mean
from guard.samples import NOTHING, Sample, Weighed

_SOON_S = 12 * 3600.0
_BEFORE_S = 48 * 3600.0
_LEAST_BEFORE_S = 6 * 3600.0
_ODDS = (3.0, 10.0)
_FEWEST = 4


class BirthsAfterDeaths:
    name = "births_after_deaths"
    group = "lifecycle"
    costly = True

    def weigh(self, sample: Sample) -> Weighed:
        now, begin = sample.now, float(sample.at[0])
        stopped = np.sort(sample.stopped[(sample.stopped > begin) & (sample.stopped < now)])
        if len(stopped) == 0:
            return NOTHING
        first_stop = float(stopped[0])
        since = max(begin, first_stop - _BEFORE_S)
        quiet = first_stop - since
        if quiet < _LEAST_BEFORE_S:
            return NOTHING
        # The hours after stops, each hour once.
        until = np.append(stopped[1:], now)
        after = float(np.minimum(until - stopped, _SOON_S).sum())
        joined = np.full(sample.accounts, np.inf)
        np.minimum.at(joined, sample.account, sample.at)
        # Whoever is in the sample from its first moments was there before.
        settled = begin + 0.1 * quiet
        births_before = int(np.count_nonzero((joined > max(since, settled)) & (joined <= first_stop)))
        latest = stopped.searchsorted(joined) - 1
        soon = (latest >= 0) & np.isfinite(joined)
        soon[soon] = joined[soon] - stopped[latest[soon]] <= _SOON_S
        births_after = int(np.count_nonzero(soon))
        total = births_before + births_after
        if total < _FEWEST or after <= 0.0:
            return NOTHING
        share = after / (after + first_stop - max(since, settled))
        nats = log_mean([births_after * log(odds) - total * log(1.0 - share + odds * share) for odds in _ODDS])
        return Weighed(nats, f"{births_after} new after stops, {births_before} before")


PLUGIN = BirthsAfterDeaths
