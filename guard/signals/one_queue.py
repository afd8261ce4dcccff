"""What an account asks is as far from its own other questions as from everybody else's.

What it sees: content projections, less the group's mean. Persons have subjects and languages of their own: what one asks is
nearer to his other questions than to other people's (a tenth to a third of all variance lies between accounts). A queue deals
cards from one deck: nothing lies between accounts. The same question asked twice by one account counts once, and what follows
within a conversation not at all.

What honest traffic sets it off: tools that make everybody's text alike, an extension that is given any page one reads: the honest
side therefore includes owners without subjects, and says at most 1.5 nats for a queue. What hides from it: a queue that gives
each account a subject of its own, which costs the operator nothing; so its absence is no proof either.

Costly to plant on a victim: it would take making others' questions alike.

Cost: about 350 µs for 2,048 exchanges. Source: intraclass correlation (Fisher 1925) as a U-statistic of inner products; jackknife
over accounts.
"""

from __future__ import annotations

from math import exp, log, sqrt

import numpy as np
from numpy.typing import NDArray

from guard.firms import owners
from guard.likelihoods import beginnings, with_content
from guard.samples import NOTHING, Sample, Weighed

_OWNERS = (0.06, 0.12, 0.25)
_NO_SUBJECTS = 0.2
"""How often honest groups have no subjects of their own."""
_VARIES = 0.02
_FEWEST_ACCOUNTS = 4
_FEWEST_PAIRS = 12
_FIRST = np.ones(1, np.bool_)


class OneQueue:
    name = "one_queue"
    group = "coordination"
    costly = True

    def weigh(self, sample: Sample) -> Weighed:
        said = self._said(sample, sample.account)
        whose = owners(sample) if said.nats > 0.0 else None
        if whose is None:
            return said
        theirs = self._said(sample, whose[sample.account])
        return theirs if theirs.nats < said.nats else said

    @staticmethod
    def _said(sample: Sample, account: NDArray[np.int32]) -> Weighed:
        begun = beginnings(sample)
        places = np.arange(len(sample.at)) if begun is None else begun
        places = places[with_content(sample.gist[places])]
        # An account's same question once.
        order = places[np.lexsort((sample.slot[places], account[places]))]
        if len(order) < 2 * _FEWEST_ACCOUNTS:
            return NOTHING
        who, slot = account[order], sample.slot[order]
        once = np.concatenate((_FIRST, (who[1:] != who[:-1]) | (slot[1:] != slot[:-1]) | (slot[1:] == 0)))
        order, who = order[once], who[once]
        edges = np.concatenate((_FIRST, who[1:] != who[:-1])).nonzero()[0]
        counts = (np.concatenate((edges[1:], (len(who),))) - edges).astype(np.float64)
        held = counts > 1
        accounts = int(np.count_nonzero(held))
        pairs = counts - 1.0
        if accounts < _FEWEST_ACCOUNTS or float(np.dot(counts, pairs)) < _FEWEST_PAIRS:
            return NOTHING
        gist = sample.gist[order].astype(np.float32)
        gist -= gist.mean(0)
        squares = np.einsum("ij,ij->i", gist, gist)
        variance = float(squares.mean())
        if variance <= 0.0:
            return NOTHING
        sums = np.add.reduceat(gist, edges)
        norms = np.einsum("ij,ij->i", sums, sums).astype(np.float64)
        total = float(counts.sum())
        # The mean over an account's own pairs; accounts weigh by their questions less one, not by their pairs.
        mine = ((norms - np.add.reduceat(squares, edges)) / counts)[held]
        weight = pairs[held]
        own = float(mine.sum()) / float(weight.sum())
        all_sum = gist.sum(0)
        foreign = (float(np.dot(all_sum, all_sum)) - float(norms.sum())) / (
            total * total - float(np.dot(counts, counts))
        )
        rest = weight.sum() - weight
        if float(rest.min()) <= 0.0:
            return NOTHING
        without = (mine.sum() - mine) / rest
        off = without - without.mean()
        error = sqrt((accounts - 1) / accounts * float(np.dot(off, off))) / variance
        between = (own - foreign) / variance
        spread = sqrt(error * error + _VARIES * _VARIES)
        queue = -0.5 * (between / spread) ** 2
        owners = [log((1.0 - _NO_SUBJECTS) / len(_OWNERS)) - 0.5 * ((between - m) / spread) ** 2 for m in _OWNERS]
        if between > _OWNERS[-1]:
            owners[-1] = log((1.0 - _NO_SUBJECTS) / len(_OWNERS))
        owners.append(log(_NO_SUBJECTS) + queue)
        top = max(owners)
        nats = queue - top - log(sum([exp(one - top) for one in owners]))
        return Weighed(nats, f"{between:.2f} (± {error:.2f}) lies between {accounts} accounts")


PLUGIN = OneQueue
