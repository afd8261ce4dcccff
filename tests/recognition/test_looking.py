"""What the hot path knows of an exchange that goes on from another."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guard.recognition.clusters import Cluster
from guard.recognition.looking import SETTLED_HITS, STRANGERS_HITS
from guard.recognition.recognition import Recognition
from guard.talk import Talk
from guard.types import Account, Exchange
from tests.recognition.town import KEY, account, exchange, recognition

NOW = 1_790_000_000.0
DAY = 86_400.0
WORDS = [f"words {n}" for n in range(6)]


def knowing() -> Recognition:
    """It has found a cluster, whose own those words are."""
    made = recognition()
    cluster = Cluster(1, "c1-abcdef", NOW)
    cluster.score = 0.95
    made.clusters.add(cluster)
    made.clusters.traits.update({KEY.facet("system", words.encode()): 1 for words in WORDS})
    return made


def said(who: Account, *texts: str, asked: int, before: int = 0) -> Exchange:
    """An exchange in a conversation. ``asked``, ``before``: what stands for all of it, and for it up to the turn that went before."""
    made = exchange(who, *texts, slot=asked)
    return replace(made, features=replace(made.features, talk=Talk(asked, before, 0)))


@pytest.mark.parametrize(
    ("age_days", "hits", "held"),
    [(90.0, SETTLED_HITS, True), (90.0, SETTLED_HITS - 1, False), (1.0, STRANGERS_HITS, True), (1.0, 2, False)],
)
def test_what_goes_on_from_a_clusters_exchange_is_the_clusters(age_days: float, hits: int, held: bool) -> None:
    """Step after step, though it shows nothing of it; neither another conversation nor another account's. A few words may be chance."""
    made = knowing()
    who = account("who", created=NOW - age_days * DAY)
    made.look(said(who, *WORDS[:hits], asked=11), NOW)
    second = made.look(said(who, "go on", asked=12, before=11), NOW + 1.0)
    third = made.look(said(who, "and then", asked=13, before=12), NOW + 2.0)

    assert [second is not None, third is not None] == [held, held]
    assert made.look(said(who, "something else", asked=22, before=21), NOW + 3.0) is None
    other = account("other", created=NOW - age_days * DAY)
    assert made.look(said(other, "go on", asked=12, before=11), NOW + 4.0) is None


def test_a_cluster_that_was_let_go_holds_nothing_that_went_on_from_it() -> None:
    """The way back ends it at once."""
    made = knowing()
    who = account("who", created=NOW - 90.0 * DAY)
    made.look(said(who, *WORDS, asked=11), NOW)
    cluster = made.clusters.find("c1-abcdef")
    assert cluster is not None
    made.clusters.release(cluster)

    assert made.look(said(who, "go on", asked=12, before=11), NOW + 1.0) is None
