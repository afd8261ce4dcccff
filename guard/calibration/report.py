"""What calibration found, in plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import exp

import numpy as np

from guard.calibration.checking import LEVELS, Bin, curve, group_curve, levels, margin, over
from guard.calibration.fitting import Fitted
from guard.calibration.gathering import BINS, Gathered
from guard.calibration.looks import Looks, Scales, highest
from guard.recognition.verdicts import RISK
from guard.replay.tally import share, table

_COIN = 0.6931
"""What a coin's log-loss is."""
_UNSURE = 0.5
"""Scales that differ so much between folds are one source's."""


def seen(gathered: Gathered, looks: Looks, judged: int) -> Iterator[str]:
    """What there was to learn from."""
    groups = len(np.unique(looks.group))
    campaign = len(np.unique(looks.group[looks.campaign]))
    yield (
        f"{gathered.exchanges:,} exchanges, {gathered.labelled:,} labelled, {gathered.of_campaigns:,} of them campaigns'"
        + (f"; {gathered.broken:,} broken lines" if gathered.broken else "")
    )
    yield (
        f"{len(looks):,} weighings of {groups:,} groups, {campaign:,} of them campaigns'"
        + (f"; {gathered.unlabelled_groups:,} of groups without labels left out" if gathered.unlabelled_groups else "")
        + (f"; {judged:,} verdicts judged by --right or --wrong" if judged else "")
    )


def reliability(gathered: Gathered, looks: Looks) -> Iterator[str]:
    """The reliability curves."""
    yield from _curve("exchanges scored", "accounts", curve(gathered.scored, [len(one) for one in gathered.scorers]))
    yield from _curve("groups scored at most", "sources", group_curve(looks, BINS))


def _curve(what: str, among: str, bins: Sequence[Bin]) -> Iterator[str]:
    yield from table(
        (what, "count", among, "campaigns'", "share", "95 %"),
        [
            (
                f"about {one.centre:.1f}",
                f"{one.size:,}",
                f"{one.among:,}",
                f"{one.campaign:,}",
                f"{one.seen.share:.3f}" if one.size else "–",
                f"{one.seen.low:.3f} to {one.seen.high:.3f}" if one.size else "–",
            )
            for one in bins
        ],
    )


def promises(looks: Looks, scales: Scales) -> Iterator[str]:
    """Whether nats of honest groups are as rare as they promise to be, signal by signal."""
    clean = looks.take(looks.clean)
    if not len(clean):
        yield ""
        yield "No group without a campaign's account was weighed: what honest groups read can't be checked."
        return
    said = highest(clean.group, scales.said(clean.nats, scales.scale))
    spoken = highest(clean.group, (clean.nats != 0.0).astype(np.float64)) > 0.0
    convicted = highest(clean.group, clean.band.astype(np.float64)) >= 2.0
    rows = []
    for place, name in enumerate(scales.signals):
        found = levels(said[:, place])
        broken = [f"{level.nats:g}" for level in found if not level.kept]
        rows.append(
            (
                name,
                f"{np.count_nonzero(spoken[:, place]):,}",
                *(f"{level.seen.share:.3f}" for level in found),
                f"too often at {', '.join(broken)}" if broken else "kept",
                f"{np.count_nonzero(convicted & (said[:, place] > 0.0)):,}",
            )
        )
    yield ""
    yield (
        f"Of {len(said):,} honest groups so many ever read that many nats, where exp(−nats) of them may "
        "('too often': by more than chance, 95 %)"
    )
    heads = [f"≥ {nats:g} ({exp(-nats):.3f})" for nats in LEVELS]
    yield from table(("signal", "spoke of", *heads, "promise", "in false verdicts"), rows)[1:]
    yield (
        f"honest groups that had a verdict: {np.count_nonzero(convicted):,} of {len(said):,} "
        f"({share(int(np.count_nonzero(convicted)), len(said))}); {RISK:g} in all is what a verdict's prior allows"
    )


def margins(gathered: Gathered, looks: Looks, scales: Scales) -> Iterator[str]:
    """How near an honest group came to a verdict."""
    found = margin(looks, looks.total)
    if found.place < 0:
        return
    unit = list(gathered.units)[int(looks.unit[found.place])]
    said = scales.said(looks.nats[found.place : found.place + 1], scales.scale)[0]
    loudest = [f"{scales.signals[one]} {said[one]:+.1f}" for one in np.argsort(-said)[:3] if said[one] > 0.0]
    yield (
        f"the highest log-odds of an honest group: {found.nats:+.2f} nats, {abs(found.left):.2f} "
        f"{'below' if found.left >= 0.0 else 'above'} the line of suspect ({unit.name} in {gathered.sources[unit.source]}"
        f"{': ' + ', '.join(loudest) if loudest else ''}); honest groups above it: {over(looks, looks.total).honest:,}"
    )


def fitted(found: Fitted, scales: Scales, looks: Looks) -> Iterator[str]:
    """The scales, and how they do on what they were not fitted on."""
    each = np.array([fold.scale for fold in found.folds])
    rows = []
    for place, name in enumerate(scales.signals):
        low, high = float(each[:, place].min()), float(each[:, place].max())
        remark = "differs between sources" if high - low >= _UNSURE else ""
        if not looks.nats[:, place].any():
            remark = "never spoke"
        fit = f"{found.scale[place]:g}"
        rows.append((name, f"{scales.scale[place]:g}", fit, f"{low:g} to {high:g}", remark))
    yield from table(("signal", "in force", "fitted", "without one fold", ""), rows)
    yield from table(
        ("held out", "groups", "campaigns'", "before", "after"),
        [
            (fold.name, f"{fold.groups:,}", f"{fold.campaign:,}", f"{fold.before:.4f}", f"{fold.after:.4f}")
            for fold in found.folds
        ],
    )
    yield (
        f"log-loss held out: {found.before:.4f} with the weights in force, {found.after:.4f} with fitted ones "
        f"(classes alike, {_COIN:.2f} is a coin's)"
    )
    first, then = found.over_before, found.over_after
    yield (
        f"above the line of suspect held out: honest groups {first.honest:,} before and {then.honest:,} after, "
        f"campaigns {first.campaigns:,} and {then.campaigns:,}"
    )
    after = margin(looks, scales.totals(looks, found.scale))
    if after.place >= 0:
        yield f"the highest log-odds of an honest group with fitted weights: {after.nats:+.2f} nats"
