"""Purity: how much of a family must be a cluster's for the family to be its trait.

Where a cluster is most of all traffic, what everybody shows is nearly all the cluster's as well. Two rules keep a phrase that people
use now and then from becoming its mark:

* the cluster's odds in the family must also be ``PURE``'s many times its odds in all traffic;
* a trait that stands in few of its exchanges must be shown by others so seldom that it can't be a phrase like any other. An attacker's
  texts may be several times as long as theirs, and so hold a phrase ``LONGER`` times as often: then the cluster would have, of all
  exchanges with the phrase, a share that follows from its share in all traffic, and any more by chance only. Among the phrases of a
  large campaign chance has very many tries, hence ``SURE_NATS`` (the tail of the binomial; Chernoff 1952).
"""

from __future__ import annotations

from math import log

PURE = 0.9
"""The share of a family that must be a cluster's for the family to be its trait; it stops being one below ``IMPURE``."""
IMPURE = 0.8
COMMON = 0.25
"""From that share of a cluster's exchanges on a trait is the template's own, and is not asked about the silence of others."""
CHARACTERISTIC = 0.002
"""The least share of a cluster's exchanges that a trait stands in: what is rarer came by chance, with the slots."""
LONGER = 10.0
SURE_NATS = 13.8
"""A chance of one in a million: there are at most 200,000 families, looked at a few times each."""
_MOST = 0.99


def least_share(taken: int, seen: int, *, kept: bool) -> float:
    """The share of a family that must be a cluster's which had so many of all exchanges ``seen`` since it was found. ``kept``: the
    family is its trait already."""
    share = IMPURE if kept else PURE
    part = min(_MOST, taken / max(1, seen))
    if part <= 0.5:
        return share
    odds = share / (1.0 - share) * part / (1.0 - part)
    return odds / (1.0 + odds)


def telling(rate: float, shown: int, others: int, taken: int, seen: int) -> bool:
    """Whether a family says something of a cluster of whose exchanges it stands in that ``rate``. Of the family's latest exchanges so
    many were ``shown`` by the cluster and by ``others``; of all exchanges ``seen`` since it was found, so many were the cluster's."""
    if rate >= COMMON or rate < CHARACTERISTIC:
        return rate >= COMMON
    part = min(_MOST, (taken + 1) / (seen + 2))
    by_chance = LONGER * part / (LONGER * part + 1.0 - part)
    share = shown / (shown + others)
    if share <= by_chance:
        return False
    nats = shown * log(share / by_chance)
    if others:
        nats += others * log((1.0 - share) / (1.0 - by_chance))
    return nats >= SURE_NATS
