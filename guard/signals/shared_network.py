"""The accounts come from the same few networks (/24 or /48).

What it sees: the share of accounts that come from a network from which another account of the group comes, against chance and
what homes, offices and phones behind one address make (a fifth at least).

What honest traffic sets it off: a campus, an office, a carrier that puts thousands behind one address, a cloud's region that a
framework's users all rent. What hides from it: residential proxies. Where all come from one network it says no more than one
nat: that is a place, not a choice of places. Nor where there are many such places, a few accounts at each: these may be firms.

Not costly: anybody can go to the same café.

Cost: 60 µs for 2,048 exchanges. Source: collisions against a birthday expectation; DETECTION, section 3.
"""

from __future__ import annotations

from math import log

import numpy as np

from guard.firms import firms, many
from guard.likelihoods import log_mean
from guard.samples import NOTHING, Sample, Weighed

_WAYS = (0.4, 0.7, 0.9)
_LEAST_CHANCE = 0.2
_ONE_PLACE = 0.8
_ONE_PLACE_NATS = 1.0
_FEWEST = 6
_AT_AN_END = np.ones(1, np.bool_)


class SharedNetwork:
    name = "shared_network"
    group = "infrastructure"
    costly = False

    def weigh(self, sample: Sample) -> Weighed:
        known = np.flatnonzero(sample.network)
        if len(known) < _FEWEST:
            return NOTHING
        # Each account's each network once, in order of network.
        pairs = np.sort(sample.network[known].astype(np.int64) << 32 | sample.account[known])
        pairs = pairs[np.concatenate((_AT_AN_END, pairs[1:] != pairs[:-1]))]
        network, who = pairs >> 32, pairs & 0xFFFFFFFF
        edges = np.concatenate((network[1:] != network[:-1], _AT_AN_END)).nonzero()[0]
        visitors = edges - np.concatenate(((-1,), edges[:-1]))
        popular = np.repeat(visitors, visitors) > 1
        accounts = int(np.count_nonzero(np.bincount(who)))
        sharing = int(np.count_nonzero(np.bincount(who[popular]))) if popular.any() else 0
        if accounts < _FEWEST:
            return NOTHING
        # The first of each network shares with nobody yet.
        repeated = max(0, sharing - int(np.count_nonzero(visitors > 1)))
        each = len(pairs) / accounts
        chance = 1.0 - (1.0 - min(1.0, sample.baseline.network)) ** (0.5 * (accounts - 1) * each * each)
        chance = min(0.9, max(_LEAST_CHANCE, chance))
        nats = log_mean(
            [
                repeated * log(share / chance) + (accounts - repeated) * log((1.0 - share) / (1.0 - chance))
                for share in (chance + (1.0 - chance) * way for way in _WAYS)
            ]
        )
        if int(visitors.max()) >= _ONE_PLACE * accounts or many(visitors.tolist()) or firms(sample):
            nats = min(nats, _ONE_PLACE_NATS)
        return Weighed(nats, f"{sharing} of {accounts} accounts share a network")


PLUGIN = SharedNetwork
