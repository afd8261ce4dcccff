"""Purity: how much of a family must be a cluster's for the family to be its trait.

Where a cluster is most of all traffic, what everybody shows is nearly all the cluster's as well. Two rules keep a phrase that people
use now and then from becoming its mark:

* the cluster's odds in the family must also be ``PURE``'s many times its odds in all traffic;
* a trait that stands in few of its exchanges must be one that others would have shown by now, if it were a phrase like any other.
  An attacker's texts may be several times as long as theirs, and so hold a phrase several times as often: ``SILENCE`` allows for ten.
"""

from __future__ import annotations

PURE = 0.9
"""The share of a family that must be a cluster's for the family to be its trait; it stops being one below ``IMPURE``."""
IMPURE = 0.8
COMMON = 0.25
"""From that share of a cluster's exchanges on a trait is the template's own, and is not asked about the silence of others."""
CHARACTERISTIC = 0.002
"""The least share of a cluster's exchanges that a trait stands in: what is rarer came by chance, with the slots."""
SILENCE = 46.0
"""So many exchanges of others would have shown a rare trait at the cluster's own rate: 4.6 at a tenth of it, and that none does is
chance once in a hundred times."""
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


def telling(count: int, own: int, others: int) -> bool:
    """Whether a family of ``count`` exchanges that is nearly all a cluster's, of ``own`` exchanges in all, says something of it.
    ``others``: how many exchanges were not the cluster's since it was found."""
    rate = count / max(1, own)
    return rate >= COMMON or (rate >= CHARACTERISTIC and rate * others >= SILENCE)
