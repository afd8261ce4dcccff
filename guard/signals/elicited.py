"""The group asks for what a student model is taught with.

What it sees: the mean content reading of the group (its accounts count alike) against that of all traffic. A campaign's
requests ask for reasoning, grades, instructions or log-probabilities more often than not; hardly any other group does.

The exchanges of a group are alike, for a shared text is what makes it one: so all of them are one observation, not many.

What honest traffic sets it off: a course, a benchmark, a prompt template that says "think step by step". What hides from it:
extraction by ordinary questions.

Not costly: words can be copied.

Cost: 20 µs. Source: log-likelihood ratio of a Bernoulli observation, weighted by the reading.
"""

from __future__ import annotations

from math import log

import numpy as np

from guard.samples import NOTHING, Sample, Weighed

_CAMPAIGN = 0.6
_LEAST_USUAL = 0.04


class Elicited:
    name = "elicited"
    group = "content"
    costly = False

    def weigh(self, sample: Sample) -> Weighed:
        known = (sample.slot != 0) | (sample.reading > 0.0)
        counts = np.bincount(sample.account, known, minlength=sample.accounts)
        held = counts > 0.0
        among = int(np.count_nonzero(held))
        if among < 3:
            return NOTHING
        sums = np.bincount(sample.account, sample.reading, minlength=sample.accounts)
        mean = float((sums[held] / counts[held]).mean())
        usual = min(0.5, max(_LEAST_USUAL, sample.baseline.reading))
        campaign = max(_CAMPAIGN, 1.5 * usual)
        nats = mean * log(campaign / usual) + (1.0 - mean) * log((1.0 - campaign) / (1.0 - usual))
        return Weighed(nats, f"reads {mean:.2f}, usual {usual:.2f}")


PLUGIN = Elicited
