"""The group moves to another model within a day, together.

What it sees: of the accounts that were active before and after, the share whose exchanges went over to one model that hardly any
of them used. Who copies a model leaves it when a better one appears, with all accounts at once; owners move one by one, over
weeks.

What honest traffic sets it off: a tool that changes its default in an update, a model that is withdrawn. So it is weak: at most
1.5 nats, and nothing for accounts that belong to one owner.

Not costly: anybody can ask for another model.

Cost: about 150 µs for 2,048 exchanges. Source: reports of campaigns that turned half of their traffic to a new model within a
day; a binomial against the share of owners that move in a day.
"""

from __future__ import annotations

from math import log

import numpy as np

from guard.samples import NOTHING, Sample, Weighed

_LATELY_S = 86400.0
_LEAST_BEFORE_S = 43200.0
_MOVED = 0.4
_UNKNOWN_BEFORE = 0.05
_POOL = 0.5
_OWNERS = 0.08
_FEWEST = 6


class ModelPivot:
    name = "model_pivot"
    group = "lifecycle"
    costly = False

    def weigh(self, sample: Sample) -> Weighed:
        at = sample.at
        turn = float(at[-1]) - _LATELY_S
        if turn - float(at[0]) < _LEAST_BEFORE_S:
            return NOTHING
        split = int(at.searchsorted(turn))
        before, lately = sample.model[:split], sample.model[split:]
        if len(before) < _FEWEST or len(lately) < _FEWEST:
            return NOTHING
        models, times = np.unique(lately, return_counts=True)
        used = np.array([int(np.count_nonzero(before == model)) for model in models]) / len(before)
        times = np.where((used <= _UNKNOWN_BEFORE) & (models != 0), times, 0)
        best = int(times.argmax())
        if times[best] < _MOVED * len(lately):
            return NOTHING
        was = np.bincount(sample.account[:split], minlength=sample.accounts) > 0
        now = np.bincount(sample.account[split:], minlength=sample.accounts) > 0
        stayed = was & now
        among = int(np.count_nonzero(stayed))
        if among < _FEWEST:
            return NOTHING
        new = np.bincount(sample.account[split:], lately == models[best], minlength=sample.accounts) > 0
        moved = int(np.count_nonzero(new & stayed))
        nats = moved * log(_POOL / _OWNERS) + (among - moved) * log((1.0 - _POOL) / (1.0 - _OWNERS))
        return Weighed(nats, f"{moved} of {among} accounts moved to another model in a day")


PLUGIN = ModelPivot
