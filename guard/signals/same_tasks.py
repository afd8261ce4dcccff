"""Everybody works through the same few tasks.

What it sees: whether what is asked now was asked before, by another account of the group: the share of the later half of a
sample's exchanges whose content lies next to one of the earlier half. Whoever wants a model's answers asks what he hasn't
asked yet; even somebody who samples each question sixteen times goes on to the next. A class, an onboarding, a benchmark that
many run: its list is short, and after a while nothing is new. What is asked is compared less what all share, and numbers are all
alike, so that one's own data set doesn't make an exercise another.

It exonerates only. To earn it an operator spends nine of ten requests on what he has been told already.

What honest traffic it misses: prompts that go round and are filled with one's own words; see ``even_load``, ``sessions``.

Not costly to copy, but dear.

Cost: about 0.5 ms for 1,024 exchanges. Source: the coverage of a sample by an earlier one (Good 1953), as a beta-binomial.
"""

from __future__ import annotations

from math import exp, log

import numpy as np

from guard.likelihoods import beginnings, beta_binomial, with_content
from guard.samples import NOTHING, Sample, Weighed

_NEAR = 0.9
"""Cosine from which two contents are one task."""
_CAMPAIGN = (4.0, 1.0)
_TASKS = (1.0, 9.0)
_HOW_OFTEN = 0.1
_FEWEST = 16
_MOST = 512
_BLOCK = 16
"""Exchanges at a time: products as small as that are never spread over threads, which spin for longer than the product takes."""


class SameTasks:
    name = "same_tasks"
    group = "coordination"
    costly = False

    def weigh(self, sample: Sample) -> Weighed:
        begun = beginnings(sample)
        places = np.arange(len(sample.at)) if begun is None else begun
        places = places[with_content(sample.gist[places])][-2 * _MOST :]
        half = len(places) // 2
        if half < _FEWEST:
            return NOTHING
        gist = sample.gist[places].astype(np.float32)
        gist -= gist.mean(0)
        length = np.sqrt(np.einsum("ij,ij->i", gist, gist))
        gist /= np.maximum(length, np.float32(1e-6))[:, None]
        who = sample.account[places]
        earlier, later = gist[:half].T, len(places) - half
        new = later
        for start in range(half, len(places), _BLOCK):
            part = slice(start, start + _BLOCK)
            near = gist[part] @ earlier >= _NEAR
            near &= who[part, None] != who[None, :half]
            new -= int(np.count_nonzero(near.any(axis=1)))
        campaign = beta_binomial(new, later, *_CAMPAIGN)
        tasks = beta_binomial(new, later, *_TASKS) - campaign
        nats = -log(1.0 - _HOW_OFTEN + _HOW_OFTEN * exp(min(tasks, 50.0)))
        return Weighed(min(nats, 0.0), f"{new} of {later} asked what nobody had" if nats < 0.0 else "")


PLUGIN = SameTasks
