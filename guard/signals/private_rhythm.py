"""No account has hours of its own.

What it sees: people and their programs come back at their own times of day; what a queue deals out comes at any time, to
anyone. Of two exchanges of one account, half a day to three and a half days apart, owners' lie nearer to whole days than those
of two different accounts (mean cosine 0.15 to 0.45 more), and a queue's no nearer. Half a day on either side of a whole one is
even, so it matters little that accounts of a pool live short; one that is dealt to in strict turn comes back at multiples of its round, which proves nothing either way. The error is
taken by leaving out one account at a time.

Where all accounts share one phase, own and foreign pairs are alike too, but so they are for the users of one country: little
weight. Accounts that each keep to a minute of the hour are somebody's timers: no weight. A difference exonerates in full.

What honest traffic sets it off: programs that run round the clock at random (servers behind worldwide users): so one honest
group in twelve is taken to have no rhythm, and its absence says at most 2.5 nats. What hides from it: a queue that gives each
account hours of its own, which leaves it idle for the rest of the day. It says nothing of samples shorter than thirty hours.

Not costly: hours can be imitated.

Cost: about 250 µs for 2,048 exchanges. Source: autocorrelation of presence by the hour; jackknife over accounts.
"""

from __future__ import annotations

from math import exp, log, pi, sqrt

import numpy as np

from guard.samples import NOTHING, Sample, Weighed

_HOUR_S = 3600.0
_DAY_H = 24
_REACH_H = 12
_MOST_DAYS = 3
_LEAST_REACH_H = 6
_MOST_H = 1_000
"""Hours that are looked at, the last ones."""
_OWNERS = (0.15, 0.30, 0.45)
_VARIES = 0.05
"""How much a group's true difference may lie off: groups of either kind are not all alike."""
_TIMERS = 0.5
"""Mean resultant of the minutes of the hour from which on accounts are timers."""
_NO_RHYTHM = 0.08
_FEWEST_PAIRS = 8
_FEWEST_ACCOUNTS = 5


class PrivateRhythm:
    name = "private_rhythm"
    group = "rhythm"
    costly = False

    def weigh(self, sample: Sample) -> Weighed:
        at, account = sample.at, sample.account
        span = int((at[-1] - at[0]) / _HOUR_S)
        reach = min(_REACH_H, span - _DAY_H)
        if reach < _LEAST_REACH_H:
            return NOTHING
        hour = ((at - at[0]) / _HOUR_S).astype(np.int64)
        hour -= max(0, span - _MOST_H)
        if span > _MOST_H:
            account, hour = account[hour >= 0], hour[hour >= 0]
            span = _MOST_H
        days = min(_MOST_DAYS, (span - reach) // _DAY_H)
        lags = np.arange(_DAY_H - reach, days * _DAY_H + reach + 1)
        # Who was there in which hour, side by side; wide enough that the next day of one doesn't reach the next one's first.
        width = span + int(lags[-1]) + 1
        there = np.zeros(sample.accounts * width, np.bool_)
        there[account * np.int64(width) + hour] = True
        present = np.flatnonzero(there)
        whose = present // width
        cosine = np.cos(lags * (2 * pi / _DAY_H))
        # The last account's hours may reach past the end: nobody is there.
        met = np.append(there, np.zeros(int(lags[-1]), np.bool_))[present[:, None] + lags]
        pairs = np.bincount(whose, met.sum(1), minlength=sample.accounts)
        near = np.bincount(whose, (met * cosine).sum(1), minlength=sample.accounts)
        held = pairs > 0
        accounts = int(np.count_nonzero(held))
        own_pairs, own_near = float(pairs.sum()), float(near.sum())
        if accounts < _FEWEST_ACCOUNTS or own_pairs < _FEWEST_PAIRS:
            return NOTHING
        # The same for all pairs, whoever they are of, less the own.
        busy = np.bincount(present - whose * width, minlength=width + int(lags[-1])).astype(np.float64)
        waking = np.flatnonzero(busy)
        meetings = (busy[waking, None] * busy[waking[:, None] + lags]).sum(0)
        foreign_pairs = float(meetings.sum()) - own_pairs
        if foreign_pairs <= 0.0:
            return NOTHING
        cross = (float(np.dot(meetings, cosine)) - own_near) / foreign_pairs
        # Each account weighs by its hours and not by its pairs: one busy account isn't all.
        hours = np.bincount(whose, minlength=sample.accounts)[held]
        mine, weight = near[held] / hours, pairs[held] / hours
        total, among = float(mine.sum()), float(weight.sum())
        own = total / among
        without = (total - mine) / (among - weight)
        off = without - without.mean()
        error = sqrt((accounts - 1) / accounts * float(np.dot(off, off)) + 0.5 / own_pairs)
        nats = _against_owners(own - cross, sqrt(error * error + _VARIES * _VARIES))
        if nats > 0.0:
            nats *= min(1.0, max(0.15, 1.2 - 4.0 * abs(cross)))
            if _by_the_minute(sample) > _TIMERS:
                nats = 0.0
        return Weighed(nats, f"own {own:.2f}, others {cross:.2f} (± {error:.2f})")


def _by_the_minute(sample: Sample) -> float:
    """How closely accounts keep to a minute of the hour of their own, 0 to 1 (less, by chance)."""
    angle = sample.at * (2 * pi / _HOUR_S)
    counts = np.bincount(sample.account, minlength=sample.accounts)
    x = np.bincount(sample.account, np.cos(angle), minlength=sample.accounts)
    y = np.bincount(sample.account, np.sin(angle), minlength=sample.accounts)
    held = counts > 1
    pairs = float((counts[held] - 1).sum())
    return float(((x * x + y * y)[held] / counts[held] - 1.0).sum()) / pairs if pairs else 0.0


def _against_owners(difference: float, spread: float) -> float:
    """Nats for no difference against the differences that owners have."""
    queue = -0.5 * (difference / spread) ** 2
    each = log((1.0 - _NO_RHYTHM) / len(_OWNERS))
    owners = [each - 0.5 * ((difference - mean) / spread) ** 2 for mean in _OWNERS]
    if difference > _OWNERS[-1]:
        owners[-1] = each
    owners.append(log(_NO_RHYTHM) + queue)
    top = max(owners)
    return queue - top - log(sum([exp(one - top) for one in owners]))


PLUGIN = PrivateRhythm
