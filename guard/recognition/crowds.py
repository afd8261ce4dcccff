"""What finds groups that share no text, over accounts of standing as well; and how their members are held.

A crowd is found by what its accounts ask, and convicted by how they act. Its members show no trait, so they are held by what they
are: their next ``EXCHANGES`` by the client that each came by last, each time that the crowd is found; and no longer than a day, unless
their cluster was found by text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from guard.recognition.accounts import Known
from guard.recognition.clusters import Cluster, Clusters
from guard.recognition.cohorts import HOLDS_S
from guard.recognition.explained import Scene
from guard.recognition.groups import Observed
from guard.recognition.joining import HELD, try_out
from guard.recognition.pardons import SAME
from guard.recognition.verdicts import Verdict

EXCHANGES = 64
"""A day or two of a light user's."""


class Crowd(Protocol):
    """One way of looking."""

    @property
    def due(self) -> bool:
        """Whether to look."""

    def observe(self, observed: Observed, known: Known) -> None:
        """Takes in an exchange."""

    def weigh(self, scene: Scene) -> Iterator[None]:
        """Looks, and books what is found. In slices."""

    def clear(self) -> None:
        """Forgets what could become a finding."""


def could_be(known: Known, clusters: Clusters) -> bool:
    """Whether an account may be found: whom the operator has spoken for, or text has found, is not looked for."""
    if known.granted or known.cleared:
        return False
    cluster = clusters.number(known.cluster) if known.cluster else None
    return cluster is None or cluster.held_until > 0.0


def forgiven(crowd: Sequence[Known]) -> bool:
    """Whether so many of a crowd's accounts are under one pardon that it is: what the operator has taken back is no new finding where
    some of them were not known then."""
    under = Counter(known.cleared for known in crowd if known.cleared)
    return max(under.values(), default=0) >= max(1.0, SAME * len(crowd))


def book(
    clusters: Clusters, members: list[Known], begun: Mapping[int, Sequence[Observed]], verdict: Verdict, now: float
) -> Cluster:
    """Links a crowd's members, who ``could_be``, and holds them. ``begun``: the conversations that each of them began, by number, at least one."""
    cluster = clusters.whose(members, begun[members[0].number][-1].slot, now)
    # What they ask may be anybody's: without a trait nobody is more than suspect.
    cluster.hear(verdict._replace(band=2))
    cluster.held_until = now + HOLDS_S
    first = {known.number: begun[known.number][0].at for known in members}
    counts = {known.number: len(begun[known.number]) for known in members}
    clusters.link(cluster, members, first, counts, now)
    for known in members:
        if known.cluster == cluster.number:
            hold(known, begun[known.number][-1])
    return cluster


def hold(known: Known, latest: Observed) -> None:
    """Holds an account for its next exchanges by the client of its latest one: not as a member by its hops is, since that says nothing of
    those it shares a conversation with."""
    if known.hops != HELD:
        known.client = latest.stack ^ latest.parameters
        try_out(known, EXCHANGES)
