"""What calibration works on: every weighing of every group, with what was truly behind the group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from guard.contracts import GroupSignal
from guard.scoring import Weights

HONEST, CAMPAIGN = "honest", "campaign"


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """N weighings by S signals, in the order in which they were made. Indices lead into the names of ``Gathered``."""

    nats: NDArray[np.float64]
    """(N, S) what each signal said, before scale and clip."""
    campaign: NDArray[np.bool_]
    """(N,) whether at least half of the group's exchanges were of accounts of campaigns."""
    clean: NDArray[np.bool_]
    """(N,) whether none was."""
    group: NDArray[np.int32]
    """(N,) which group it was; likewise ``unit`` (the campaign or segment behind it) and ``source`` (the log)."""
    unit: NDArray[np.int32]
    source: NDArray[np.int32]
    total: NDArray[np.float64]
    """(N,) the log-odds of the verdict, prior and all; its ``score`` and ``band`` likewise."""
    score: NDArray[np.float64]
    band: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.total)

    def take(self, which: NDArray[np.bool_]) -> Looks:
        """Some of them."""
        return Looks(**{one.name: getattr(self, one.name)[which] for one in fields(self)})


@dataclass(frozen=True, slots=True, eq=False)
class Scales:
    """How S signals are added up (``recognition/verdicts.py``): scaled, clipped, summed by kind, capped, summed."""

    signals: tuple[str, ...]
    kind: NDArray[np.int32]
    """(S,) index into ``caps``."""
    scale: NDArray[np.float64]
    """(S,) the scales in force; ``least`` and ``most`` clip what they make."""
    least: NDArray[np.float64]
    most: NDArray[np.float64]
    caps: NDArray[np.float64]

    def said(self, nats: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, S) what counts of what the signals said."""
        return np.asarray(np.clip(nats * scale, self.least, self.most))

    def by_kind(self, said: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, kinds) the same added up, before caps."""
        sums = np.zeros((len(said), len(self.caps)))
        for place, kind in enumerate(self.kind):
            sums[:, kind] += said[:, place]
        return sums

    def evidence(self, nats: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N,) all of the evidence: the log-odds of the verdict without the prior."""
        return np.asarray(np.clip(self.by_kind(self.said(nats, scale)), -self.caps, self.caps).sum(1))

    def totals(self, looks: Looks, scale: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N,) the log-odds that the verdicts would have with other scales."""
        return looks.total - self.evidence(looks.nats, self.scale) + self.evidence(looks.nats, scale)


def scales(weights: Weights, signals: Sequence[GroupSignal]) -> Scales:
    """The scales of a weights file."""
    kinds = sorted({signal.group for signal in signals})
    clips: list[Mapping[str, float]] = [weights.group_signals[signal.name] for signal in signals]
    return Scales(
        signals=tuple(signal.name for signal in signals),
        kind=np.array([kinds.index(signal.group) for signal in signals], np.int32),
        scale=np.array([clip["scale"] for clip in clips]),
        least=np.array([clip["least"] for clip in clips]),
        most=np.array([clip["most"] for clip in clips]),
        caps=np.array([weights.caps[kind] for kind in kinds]),
    )


def highest(group: NDArray[np.int32], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(G, …) the highest value that each group ever had, groups in order of their numbers."""
    _, place = np.unique(group, return_inverse=True)
    most = np.full((int(place.max(initial=-1)) + 1, *values.shape[1:]), -np.inf)
    np.maximum.at(most, place, values)
    return most
