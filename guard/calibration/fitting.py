"""Fits the scales of the group signals: a logistic regression with a ridge towards scale 1, and sources held out.

    logit P(campaign) = a + Σ over kinds of clip(Σ clip(scale·nats, least, most), ±cap)

minimised in log-loss + Σ (scale − 1)² / (2·SPREAD²·units): a scale is believed to be 1 ± SPREAD before anything is seen, for the
signals are log-likelihood ratios by themselves, and each campaign and each segment counts as one observation, for what happens
within one is all alike. Clips and caps are part of the model, so what is fitted is what verdicts will add up. Scales are tried on
a coarse grid, one signal after the other (coordinate descent): exact with clips, without negative values, and nobody takes the
second decimal of what few sources can tell for knowledge.

No scale goes above the one with which its signal keeps its promise on honest groups (``checking.ceilings``): the prior of a verdict
rests on it. The intercept is fitted for the loss alone; verdicts have their own prior.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from guard.calibration.checking import Over, ceilings, over
from guard.calibration.gathering import Unit
from guard.calibration.looks import CAMPAIGN, Looks, Scales

GRID = (0.0, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1.0, 1.2, 1.5)
SPREAD = 0.5
MOST_FOLDS = 10
_SWEEPS = 8
_NEWTON = 12
_NO_GAIN = 1e-9

Floats = NDArray[np.float64]


class Fold(NamedTuple):
    """What is held out together."""

    name: str
    held: NDArray[np.bool_]
    """(N,) which looks these are."""


class Held(NamedTuple):
    """One fold held out: log-loss with the scales in force and with those fitted on the rest."""

    name: str
    groups: int
    campaign: int
    before: float
    after: float
    scale: Floats


class Fitted(NamedTuple):
    """What came of it. ``before`` and ``after``: log-loss held out over all folds; ``over``: who was above the line of ``suspect``
    held out, likewise."""

    scale: Floats
    """(S,) fitted on everything."""
    folds: tuple[Held, ...]
    before: float
    after: float
    over_before: Over
    over_after: Over

    @property
    def worse(self) -> str:
        """Why the scales in force stay: what the fitted ones don't do better on sources that they were not fitted on; ``""``: they
        may take their place. The line that verdicts go by doesn't move with the scales, so a lower loss alone is not enough."""
        if self.after >= self.before - _NO_GAIN:
            return "log-loss is no lower"
        if self.over_after.honest > self.over_before.honest:
            return "more honest groups rise above the line"
        if self.over_after.campaigns < self.over_before.campaigns:
            return "fewer campaigns rise above the line"
        return ""


def weights(looks: Looks) -> Floats:
    """(N,) what each look counts, in all 1: both classes alike, units within a class alike, groups within a unit alike."""
    group = 1.0 / np.bincount(looks.group)[looks.group]
    unit = group / np.bincount(looks.unit, group)[looks.unit]
    kind = looks.campaign.astype(np.int64)
    share = unit / np.bincount(kind, unit, 2)[kind]
    return np.asarray(share / share.sum())


def fit(looks: Looks, scales: Scales) -> Floats:
    """(S,) the scales that suit these looks best."""
    weight = weights(looks)
    ridge = 1.0 / (2.0 * SPREAD * SPREAD * len(np.unique(looks.unit)))
    most = ceilings(looks, scales, GRID)
    scale = np.minimum(scales.scale, most)
    sums = scales.by_kind(scales.said(looks.nats, scale))
    base = np.clip(sums, -scales.caps, scales.caps).sum(1)
    intercept = _intercept(base, looks.campaign, weight)
    best = _loss(base + intercept, looks.campaign, weight) + ridge * float(((scale - 1.0) ** 2).sum())
    for _ in range(_SWEEPS):
        before = best
        for place, kind in enumerate(scales.kind):
            nats, cap = looks.nats[:, place], scales.caps[kind]
            if not nats.any():
                continue
            least, highest = scales.least[place], scales.most[place]
            others = sums[:, kind] - np.clip(nats * scale[place], least, highest)
            rest = base - np.clip(sums[:, kind], -cap, cap)
            penalty = ridge * (float(((scale - 1.0) ** 2).sum()) - (scale[place] - 1.0) ** 2)
            for one in GRID:
                if one > most[place] or one == scale[place]:
                    continue
                total = rest + np.clip(others + np.clip(nats * one, least, highest), -cap, cap)
                loss = _loss(total + intercept, looks.campaign, weight) + penalty + ridge * (one - 1.0) ** 2
                if loss < best - _NO_GAIN:
                    best, scale[place] = loss, one
            sums[:, kind] = others + np.clip(nats * scale[place], least, highest)
            base = rest + np.clip(sums[:, kind], -cap, cap)
            intercept = _intercept(base, looks.campaign, weight)
            best = _loss(base + intercept, looks.campaign, weight) + ridge * float(((scale - 1.0) ** 2).sum())
        if before - best < _NO_GAIN:
            break
    return scale


def folds(looks: Looks, units: Sequence[Unit], sources: Sequence[str]) -> tuple[Fold, ...]:
    """Sources, where each leaves both classes among the rest; else campaigns and segments, dealt out. Empty: there are too few."""
    present = np.unique(looks.source)
    by_source = tuple(Fold(sources[one], looks.source == one) for one in present)
    if len(by_source) > 1 and all(_both(looks.campaign[~fold.held]) for fold in by_source):
        return by_source
    held = np.unique(looks.unit)
    campaigns = [int(one) for one in held if units[one].kind == CAMPAIGN]
    segments = [int(one) for one in held if units[one].kind != CAMPAIGN]
    count = min(len(campaigns), len(segments), MOST_FOLDS)
    if count < 2:
        return ()
    dealt = [campaigns[place::count] + segments[place::count] for place in range(count)]
    return tuple(Fold(", ".join(units[one].name for one in some), np.isin(looks.unit, some)) for some in dealt)


def validate(looks: Looks, scales: Scales, parts: Sequence[Fold]) -> Fitted:
    """Fits on everything, and once without each fold to see how it does there. Needs a fold."""
    weight = weights(looks)
    held = []
    before = after = 0.0
    over_before = over_after = Over(0, 0)
    for part in parts:
        rest, own = looks.take(~part.held), looks.take(part.held)
        scale = fit(rest, scales)
        mine = weight[part.held]
        losses = []
        for one in (scales.scale, scale):
            intercept = _intercept(scales.evidence(rest.nats, one), rest.campaign, weights(rest))
            losses.append(_loss(scales.evidence(own.nats, one) + intercept, own.campaign, mine))
        before, after = before + losses[0], after + losses[1]
        over_before = _sum(over_before, over(own, own.total))
        over_after = _sum(over_after, over(own, scales.totals(own, scale)))
        share = float(mine.sum())
        ours = np.unique(own.group[own.campaign])
        held.append(Held(part.name, len(np.unique(own.group)), len(ours), losses[0] / share, losses[1] / share, scale))
    return Fitted(fit(looks, scales), tuple(held), before, after, over_before, over_after)


def _sum(one: Over, other: Over) -> Over:
    return Over(one.honest + other.honest, one.campaigns + other.campaigns)


def _both(campaign: NDArray[np.bool_]) -> bool:
    return bool(campaign.any()) and not bool(campaign.all())


def _loss(logit: Floats, campaign: NDArray[np.bool_], weight: Floats) -> float:
    return float(np.dot(weight, np.logaddexp(0.0, np.where(campaign, -logit, logit))))


def _intercept(evidence: Floats, campaign: NDArray[np.bool_], weight: Floats) -> float:
    """The one with the least loss, by Newton's steps of two nats at most."""
    at = -float(np.median(evidence))
    for _ in range(_NEWTON):
        chance = 1.0 / (1.0 + np.exp(-np.clip(evidence + at, -40.0, 40.0)))
        slope = float(np.dot(weight, chance - campaign))
        bend = float(np.dot(weight, chance * (1.0 - chance))) + 1e-6
        at -= min(2.0, max(-2.0, slope / bend))
    return at
