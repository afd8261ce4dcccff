"""What was promised, against what was seen: the reliability of scores, the nats of honest groups, the margin to a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from guard.calibration.looks import Looks, Scales, highest
from guard.recognition.verdicts import SUSPECT_NATS

LEVELS = (1.0, 2.0, 3.0, 4.0)
_Z = 1.96
"""95 %."""


class Interval(NamedTuple):
    """A share and where it may lie, with 95 % confidence."""

    share: float
    low: float
    high: float


class Bin(NamedTuple):
    """Of what was scored about ``centre``: how many, of how many independent senders or sources, and the share of campaigns."""

    centre: float
    size: int
    campaign: int
    among: int
    seen: Interval


class Level(NamedTuple):
    """How many of the honest groups ever reached so many nats, and how many may: exp(−nats) of them (Ville's inequality)."""

    nats: float
    reached: int
    seen: Interval
    allowed: float

    @property
    def kept(self) -> bool:
        """False where even the lower end of what was seen is more than what may be."""
        return self.seen.low <= self.allowed


class Over(NamedTuple):
    """Who ever rose above the line of ``suspect``, what else a verdict needs aside: honest groups, and campaigns."""

    honest: int
    campaigns: int


class Margin(NamedTuple):
    """The highest log-odds that an honest group ever had, and which group it was (its place in the looks; −1: there is none)."""

    nats: float
    place: int

    @property
    def left(self) -> float:
        """Nats to the line; negative: it was crossed."""
        return SUSPECT_NATS - self.nats


def wilson(share: float, among: float) -> Interval:
    """The interval of a share of so many independent ones (Wilson 1927); all there is, where there are none."""
    if among <= 0:
        return Interval(0.0, 0.0, 1.0)
    square = _Z * _Z / among
    centre = (share + square / 2.0) / (1.0 + square)
    half = _Z * sqrt(share * (1.0 - share) / among + square / (4.0 * among)) / (1.0 + square)
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half))


def curve(counts: NDArray[np.int64], among: Sequence[int]) -> list[Bin]:
    """The reliability curve. ``counts``: (bins, honest or campaign); ``among``: by bin, how many independent ones they come from.

    Exchanges of one account are alike, and ten traits find one campaign: the interval is as wide as for that many.
    """
    bins = []
    for place, (honest, campaign) in enumerate(counts.tolist()):
        count = honest + campaign
        share = campaign / count if count else 0.0
        bins.append(Bin((place + 0.5) / len(counts), count, campaign, among[place], wilson(share, among[place])))
    return bins


def group_curve(looks: Looks, bins: int) -> list[Bin]:
    """The same for groups, each by the highest score that it ever had: that is what convicts. They come from so many units."""
    counts = np.zeros((bins, 2), np.int64)
    units: list[set[int]] = [set() for _ in range(bins)]
    if len(looks):
        most = highest(looks.group, looks.score)
        # Whose it is when it was last weighed.
        last = {int(group): place for place, group in enumerate(looks.group.tolist())}
        for score, group in zip(most.tolist(), sorted(last), strict=True):
            place = min(bins - 1, int(score * bins))
            counts[place, int(looks.campaign[last[group]])] += 1
            units[place].add(int(looks.unit[last[group]]))
    return curve(counts, [len(one) for one in units])


def levels(most: NDArray[np.float64]) -> list[Level]:
    """What honest groups reached, from the highest nats that each ever had."""
    found = []
    for nats in LEVELS:
        count = int(np.count_nonzero(most >= nats))
        found.append(Level(nats, count, wilson(count / len(most) if len(most) else 0.0, len(most)), exp(-nats)))
    return found


def ceilings(looks: Looks, scales: Scales, grid: Sequence[float]) -> NDArray[np.float64]:
    """(S,) the largest scale of each signal with which it keeps what nats promise on the honest groups: those of its e-value
    that can be checked; 1 where no group is clean. At least 1: whether it should say less than it says is for the fit to find."""
    clean = looks.take(looks.clean)
    most = np.ones(len(scales.signals))
    if len(clean) == 0:
        return most
    reached = highest(clean.group, clean.nats)
    for place in range(len(most)):
        for scale in grid:
            said = np.minimum(reached[:, place] * scale, scales.most[place])
            if scale > 1.0 and all(level.kept for level in levels(said)):
                most[place] = max(most[place], scale)
    return most


def margin(looks: Looks, totals: NDArray[np.float64]) -> Margin:
    """Of the groups that are not a campaign's."""
    honest = np.flatnonzero(~looks.campaign)
    if len(honest) == 0:
        return Margin(-np.inf, -1)
    place = int(honest[totals[honest].argmax()])
    return Margin(float(totals[place]), place)


def over(looks: Looks, totals: NDArray[np.float64]) -> Over:
    """With these log-odds."""
    above = totals > SUSPECT_NATS
    honest, campaigns = looks.group[above & ~looks.campaign], looks.unit[above & looks.campaign]
    return Over(len(np.unique(honest)), len(np.unique(campaigns)))
