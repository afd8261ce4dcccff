"""The accounts carry equal loads.

What it sees: a queue deals its work out over a pool: of the group's exchanges while an account is in the pool, each is its with
one and the same chance, whoever it is. Owners differ: some ask once a week, some a hundred times, and what one asks comes
together. So rates that are nearly equal (lognormal, ± 35 %, but for a tenth of strangers) are weighed against rates that differ
as people's do (gamma of shape 0.7, ± 120 %) or businesses' (lognormal, a factor of 2.5 up or down), and against visitors, who
come once, ask two things or so as everybody does, and are gone: a launch, a prompt that goes round. Who comes back hours
later the same day is none: where most of those do who ask again, it was no visit. Time is counted in exchanges of the group, so
it matters little how the queue runs by day and night. What follows within a conversation is left out.

When an account joined and left isn't known, for pools are replaced every day or two. Three kinds of life are tried: there for
the whole (or from any moment on, with one half, and likewise to the end), or for about a third or a tenth of the sample. Both
sides are given the life and the mean rate that suit them best.

What honest traffic sets it off: the same job by the same clock on many machines (an hourly monitor), a course with a set number
of exercises that are done in one go. Seats of firms are weighed as their owners (``firms.py``). It says nothing of a pool in which each account is used once, or twice within one visit.

Costly to plant on a victim: to make honest owners' loads even one would have to ask in their place.

Cost: about 400 µs for 2,048 exchanges of 400 accounts. Source: over-dispersion of counts as the mark of independent owners; the
rest is a likelihood on a grid of rates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from guard.firms import owners
from guard.likelihoods import beginnings, beta_binomial
from guard.samples import NOTHING, Sample, Weighed

_OWNERS_SHAPE = 0.7
_OWNERS_SPREAD = 0.9
_POOL_SPREAD = 0.35
_STRANGERS = 0.1
_STEP = 0.4
_LEAST, _GREATEST = 0.05, 3000.0
"""Exchanges that an account would make in the whole sample: the range of the grid of rates."""
_LIVES = (0.3, 0.1)
_VISITORS = 2.0
"""Exchanges that visitors make at most, on an average. A pool that gets no more out of an account in one day looks the same."""
_VISIT_S = 3_600.0
_SAME_DAY_S = 16.0 * 3_600.0
_COME_BACK = (1.0, 6.0)
"""How many of the visitors who ask again do so the same day, after a pause of more than ``_VISIT_S``: hardly any, or up to a third (beta)."""
_FEWEST = 5
_BLOCK = 64
"""Accounts at a time: products as small as that are never spread over threads, which cost more than the product."""
_NIL = np.float32(1e-30)


class EvenLoad:
    name = "even_load"
    group = "coordination"
    costly = True

    def __init__(self) -> None:
        logs = np.arange(np.log(_LEAST), np.log(_GREATEST) + _STEP, _STEP)
        rates = np.exp(logs)
        # Columns: mean rates, first of pools, then of owners of both kinds; rows: the rates that accounts then have.
        off = logs[:, None] - logs[None, :]
        people = np.exp(_OWNERS_SHAPE * (off - np.exp(off)))
        people /= people.sum(0)
        businesses = np.exp(-0.5 * (off / _OWNERS_SPREAD) ** 2)
        businesses /= businesses.sum(0)
        pool = np.exp(-0.5 * (off / _POOL_SPREAD) ** 2)
        pool = (1.0 - _STRANGERS) * pool / pool.sum(0) + _STRANGERS * people
        both = np.concatenate((pool, people, businesses), axis=1)
        # Only accounts that were seen at all are in a sample.
        seen = 1.0 - 0.5 * np.exp(-rates) - 0.5 * np.exp(-rates / 3.0)
        self._whole = (both / (seen @ both)).astype(np.float32)
        short = []
        for life in _LIVES:
            # Joins at any moment, leaves at the rate 1/life: so it is over before the next exchange, and was not yet before the
            # first, with the chances of two competing clocks.
            ends = 1.0 / life
            seen = rates / (rates + ends)
            short.append((ends / (rates + ends) ** 2)[:, None] * both / (seen @ both))
        self._short = np.concatenate(short, axis=1).astype(np.float32)
        self._visitors = [int(np.count_nonzero(rates * life <= _VISITORS)) for life in (1.0, *_LIVES)]
        self._logs, self._rates = logs.astype(np.float32), rates.astype(np.float32)
        self._inverse = (1.0 / rates).astype(np.float32)
        self._rest = 1.0 - self._inverse

    def weigh(self, sample: Sample) -> Weighed:
        begun = beginnings(sample)
        account, at = sample.account, sample.at
        if begun is not None:
            account, at = account[begun], at[begun]
        said = self._said(account, at, sample.accounts)
        whose = owners(sample) if said.nats > 0.0 else None
        if whose is None:
            return said
        # Seats of one owner share his work: then it is the owners' loads that must be even.
        theirs = self._said(whose[account], at, int(whose.max()) + 1)
        return theirs if theirs.nats < said.nats else said

    def _said(self, account: NDArray[np.int32], at: NDArray[np.float64], accounts: int) -> Weighed:
        n = len(account)
        if n < 8:
            return NOTHING
        counts = np.bincount(account, minlength=accounts)
        places = np.arange(n, dtype=np.float32)
        first = np.zeros(len(counts), np.float32)
        last = np.zeros(len(counts), np.float32)
        last[account] = places
        first[account[::-1]] = places[::-1]
        if not counts.all():
            there = counts > 0
            counts, first, last = counts[there], first[there], last[there]
        visitors, accounts = self._once(at, account, accounts), len(counts)
        if accounts < _FEWEST or accounts == n:
            return NOTHING
        scale = np.float32(1.0 / n)
        lived = (last - first) * scale
        before, after = first * scale, (np.float32(n - 1) - last) * scale
        whole = np.zeros(self._whole.shape[1])
        short = np.zeros(self._short.shape[1])
        for start in range(0, accounts, _BLOCK):
            part = slice(start, start + _BLOCK)
            fit = counts[part, None].astype(np.float32) * self._logs
            fit -= lived[part, None] * self._rates
            fit -= np.maximum.reduce(fit, 1, keepdims=True)
            likely = np.exp(fit, out=fit)
            short += np.add.reduce(np.log(np.maximum(likely @ self._short, _NIL)), 0)
            likely *= self._absent(before[part, None])
            likely *= self._absent(after[part, None])
            whole += np.add.reduce(np.log(np.maximum(likely @ self._whole, _NIL)), 0)
        spent = float(lived.sum())
        means = len(self._logs)
        all_over, in_part = whole.tolist(), short.tolist()
        pool, owners = max(all_over[:means]), max(all_over[means:])
        owners = max(owners, max(all_over[: self._visitors[0]]) + visitors)
        for place, life in enumerate(_LIVES):
            over = 3 * place * means
            lapse = spent / life
            pool = max(pool, max(in_part[over : over + means]) - lapse)
            owners = max(owners, max(in_part[over + means : over + 3 * means]) - lapse)
            owners = max(owners, max(in_part[over : over + self._visitors[place + 1]]) - lapse + visitors)
        return Weighed(pool - owners, f"{accounts} accounts, {n / accounts:.1f} each")

    @staticmethod
    def _once(at: NDArray[np.float64], account: NDArray[np.int32], accounts: int) -> float:
        """What it says against visitors that so many came back: nats, at most 0. Elsewhere any share may."""
        order = np.argsort(account, kind="stable")
        who = account[order]
        again = who[1:] == who[:-1]
        when = at[order]
        pause = when[1:] - when[:-1]
        # Who comes once each day, as people with a habit do, is a visitor each day.
        later = again & (pause >= _VISIT_S) & (pause <= _SAME_DAY_S)
        twice = int(np.count_nonzero(np.bincount(who[1:][again], minlength=accounts)))
        back = int(np.count_nonzero(np.bincount(who[1:][later], minlength=accounts)))
        return min(0.0, beta_binomial(back, twice, *_COME_BACK) - beta_binomial(back, twice, 1.0, 1.0))

    def _absent(self, time: NDArray[np.float32]) -> NDArray[np.float32]:
        """(accounts, rates): the chance of no exchange in that time at an end, if one half was there for all of it. ``time``: a column."""
        gone: NDArray[np.float32] = np.exp(-time * self._rates)
        gone *= self._rest
        gone += self._inverse
        return gone


PLUGIN = EvenLoad
