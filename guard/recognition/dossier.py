"""What the operator is shown of clusters: facts (counts, times, volumes) apart from what is inferred from them.

Accounts are named by their keys (keyed hashes). Numbers are as of the moment; O(accounts), for the operator alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from guard.recognition.accounts import Known
from guard.recognition.clusters import MEMBER_AT, Cluster
from guard.recognition.recognition import Recognition
from guard.types import BANDS, JSONObject

SHOWN = 1_000
"""Accounts of a cluster that are named, the earliest first."""
LISTED = 1_000


def counts(recognition: Recognition) -> JSONObject:
    """Recognition in numbers, for the status. ``learning``: ceilings and pool are not enforced yet; why, stands in ``ceilings``."""
    parts = recognition.parts()
    usual = parts.usual
    learning = recognition.ceilings.learning()
    return {
        "learning": bool(learning),
        "ceilings": {"learning": learning, **recognition.ceilings.counts()},
        "exchanges": usual.exchanges,
        "since": usual.since,
        "accounts": len(recognition.accounts),
        "families": len(parts.families),
        "groups": len(parts.groups),
        "traits": len(recognition.clusters.traits),
        "clusters": bands(recognition.clusters),
        "pardons": len(recognition.pardons),
        "waiting": recognition.waiting,
        "lost": recognition.lost,
    }


def bands(clusters: Iterable[Cluster]) -> dict[str, int]:
    """How many clusters are in each band that there is a verdict in."""
    found = Counter(band(cluster) for cluster in clusters)
    return {name: found[name] for name in BANDS[2:]}


def band(cluster: Cluster) -> str:
    """The name of a cluster's band."""
    return BANDS[3 if cluster.score >= 0.9 else 2]


def listed(recognition: Recognition) -> JSONObject:
    """All clusters in a line each, the latest first, and all pardons."""
    clusters = sorted(recognition.clusters, key=lambda cluster: (-cluster.last_at, cluster.number))
    return {
        "clusters": [_line(cluster) for cluster in clusters[:LISTED]],
        "count": len(clusters),
        "pardons": [
            {"name": p.name, "at": p.at, "accounts": p.accounts, "kinds": sorted(p.kinds)}
            for p in sorted(recognition.pardons, key=lambda pardon: -pardon.at)[:LISTED]
        ],
    }


def dossier(recognition: Recognition, name: str, now: float) -> JSONObject | None:
    """Everything about one cluster; None: there is none of that name."""
    cluster = recognition.clusters.find(name)
    if cluster is None:
        return None
    linked = sorted(
        (k for k in recognition.accounts if k.cluster == cluster.number), key=lambda k: (k.first_at, k.number)
    )
    traits = sum(number == cluster.number for number in recognition.clusters.traits.values())
    sums: Counter[str] = Counter()
    for one in cluster.evidence:
        sums[one.group] += one.nats  # type: ignore[assignment]
    return {
        "name": cluster.name,
        "band": band(cluster),
        "merged": list(cluster.merged),
        "facts": {
            "since": cluster.since,
            "last_at": cluster.last_at,
            "first_account_at": min((known.first_at for known in linked), default=0.0),
            "linked": len(linked),
            "members": sum(known.bearing >= MEMBER_AT for known in linked),
            "standing": sum(known.of_standing(now) for known in linked),
            "own_life": sum(known.settled(now) for known in linked),
            "bystanders": len(cluster.bystanders),
            "traits": traits,
            "carried": dict(sorted(cluster.carried.items())),
            "exchanges_of_its_accounts": sum(known.count for known in linked),
            "exchanges": cluster.taken,
            "answered": cluster.answered,
            "input_tokens": cluster.input_tokens,
            "output_tokens": cluster.output_tokens,
        },
        "inference": {
            "score": round(cluster.score, 4),
            "nats": round(cluster.nats, 3),
            "kinds": {kind: round(nats, 3) for kind, nats in sorted(sums.items(), key=lambda pair: -pair[1])},
            "evidence": [
                {"signal": e.signal, "kind": e.group, "nats": e.nats, "reason": e.reason} for e in cluster.evidence
            ],
        },
        "accounts": [_account(known, now) for known in linked[:SHOWN]],
    }


def _line(cluster: Cluster) -> JSONObject:
    return {
        "name": cluster.name,
        "band": band(cluster),
        "score": round(cluster.score, 4),
        "since": cluster.since,
        "last_at": cluster.last_at,
        "linked": cluster.linked,
        "bystanders": len(cluster.bystanders),
        "exchanges": cluster.taken,
        "answered": cluster.answered,
        "merged": len(cluster.merged),
    }


def _account(known: Known, now: float) -> JSONObject:
    return {
        "account": known.key,
        "first_at": known.first_at,
        "last_at": known.last_at,
        "exchanges": known.count,
        "carried": known.bearing,
        "standing": round(known.standing(now), 2),
        "own_life": known.settled(now),
    }
