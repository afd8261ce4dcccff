"""Clusters: who is linked, whose a trait is, who stands by, and what merging keeps."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from guard.recognition import clusters as clusters_module
from guard.recognition.accounts import Accounts, Known
from guard.recognition.clusters import Cluster, Clusters
from guard.recognition.families import Family
from guard.recognition.groups import Group, Observed
from guard.recognition.verdicts import SUSPECT_NATS, Verdict
from guard.types import Account, Evidence

NOW = 1_790_000_000.0
DAY = 86_400.0
STRONG = Verdict(3.0, 3, (Evidence("even_load", "coordination", 3.0, "why"),))
WEAK = Verdict(-1.0, 2, (Evidence("sessions", "rhythm", 1.0, "why"),))


class Scene:
    """Accounts and clusters, without anything that weighs."""

    def __init__(self) -> None:
        self.accounts = Accounts(10_000)
        self.clusters = Clusters(self.accounts)
        self.families = 0

    def people(self, count: int, *, age_days: float | None = 1.0, lived: bool = False) -> list[Known]:
        """So many accounts; ``lived``: with a week and twenty exchanges behind them."""
        made = []
        for _ in range(count):
            created = None if age_days is None else NOW - age_days * DAY
            known = self.accounts.meet(Account(f"{self.accounts.next:032x}", created=created), NOW - 7 * DAY * lived)
            known.count = 20 if lived else 1
            made.append(known)
        return made

    def family(self, events: Sequence[Known], *, start: float = NOW) -> Family:
        """A family with a group of one exchange of each, in that order."""
        self.families += 1
        family = Family(self.families << 40, start)
        family.count = len(events)
        family.group = Group([seen(known, start + n) for n, known in enumerate(events)])
        return family

    def convict(self, family: Family, verdict: Verdict = STRONG) -> Cluster:
        assert family.group is not None
        cluster = self.clusters.convict(family, family.group.events, verdict, NOW + 100)
        family.convicted = cluster.number
        return cluster

    def judge(self, family: Family) -> bool:
        return self.clusters.judge_trait(family, NOW + 100)


def seen(known: Known, at: float) -> Observed:
    return Observed(at, known.number, b"", 1, b"", 0.0, 1, 0, 0, 0, 0)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_verdict_links_those_without_standing_and_no_others(scene: Scene) -> None:
    """An old account and one with a life of its own are in the group, and not in the cluster."""
    fresh, old, lived = scene.people(20), scene.people(3, age_days=60.0), scene.people(3, lived=True)

    cluster = scene.convict(scene.family([*fresh, *old, *lived]))

    assert cluster.linked == 20
    assert {known.cluster for known in fresh} == {cluster.number}
    assert {known.cluster for known in [*old, *lived]} == {0}
    assert scene.clusters.number(cluster.number) is cluster
    assert cluster.evidence == STRONG.evidence


def test_what_is_shared_is_looked_at_again_where_somebody_new_is_linked(scene: Scene) -> None:
    """The same accounts once more change nothing; one more, or another cluster taken over, does."""
    fresh = scene.people(20)
    cluster = scene.convict(scene.family(fresh))
    cluster.judge_due = NOW + DAY
    assert scene.convict(scene.family(fresh)).judge_due == NOW + DAY
    assert scene.convict(scene.family([*fresh, *scene.people(1)])).judge_due <= NOW + 100

    other = scene.people(20)
    scene.convict(scene.family(other))
    cluster.judge_due = NOW + DAY
    assert scene.convict(scene.family([*fresh, *other])) is cluster
    assert cluster.judge_due <= NOW + 100


def test_an_account_under_a_grant_or_a_pardon_is_not_linked(scene: Scene) -> None:
    """Where the evidence goes beyond the pardon, the pardoned one is."""
    fresh = scene.people(20)
    fresh[0].granted = True
    fresh[1].cleared = 5
    family = scene.family(fresh)
    assert family.group is not None
    scene.convict(family)
    assert [known.cluster for known in fresh[:3]] == [0, 0, 1]

    scene.clusters.convict(family, family.group.events, STRONG, NOW + 200, frozenset({5}))
    assert [known.cluster for known in fresh[:2]] == [0, 1]
    assert fresh[1].cleared == 0


def test_who_had_the_text_before_and_has_a_life_of_his_own_stands_by(scene: Scene) -> None:
    """Whoever comes after the first of the campaign does not."""
    before, fresh, after = scene.people(1, lived=True), scene.people(20), scene.people(1, lived=True)

    cluster = scene.convict(scene.family([*before, *fresh, *after]))

    assert cluster.bystanders == {before[0].number}


def test_the_strongest_verdict_stands(scene: Scene) -> None:
    """A weaker one on another group of the same accounts adds its signals, and takes nothing away."""
    fresh = scene.people(20)
    cluster = scene.convict(scene.family(fresh))
    score = cluster.score
    assert scene.convict(scene.family(fresh), WEAK) is cluster
    assert (cluster.score, cluster.evidence) == (score, STRONG.evidence)
    assert cluster.heard == {"even_load": "coordination", "sessions": "rhythm"}


@pytest.mark.parametrize(("others", "pure"), [(0, True), (2, True), (3, False), (20, False)])
def test_a_trait_is_nine_tenths_the_clusters(scene: Scene, others: int, pure: bool) -> None:
    """Of twenty exchanges of its accounts and so many of accounts with standing."""
    fresh = scene.people(20)
    cluster = scene.convict(scene.family(fresh))
    family = scene.family([*fresh, *scene.people(others, age_days=60.0)])

    assert scene.judge(family) is pure
    assert scene.clusters.traits == ({family.value: cluster.number} if pure else {})


def test_purity_is_by_accounts_as_well(scene: Scene) -> None:
    """A campaign can't make a tool's trait its own by being loud: the tool's users are accounts too."""
    fresh, users = scene.people(20), scene.people(20, age_days=60.0)
    scene.convict(scene.family(fresh))

    assert not scene.judge(scene.family([*fresh * 10, *users]))


def test_a_trait_that_others_take_up_is_one_no_longer(scene: Scene) -> None:
    """It stays one down to eight tenths, and is gone below."""
    fresh, users = scene.people(20), scene.people(20, age_days=60.0)
    scene.convict(scene.family(fresh))
    family = scene.family(fresh)
    assert scene.judge(family)
    assert family.group is not None
    for n, known in enumerate(users):
        family.group.events.append(seen(known, NOW + 50 + n))
        if n == 3:
            assert scene.judge(family), "24 exchanges, 20 of them the cluster's"
    assert not scene.judge(family)
    assert scene.clusters.traits == {}


def test_a_few_exchanges_make_no_trait(scene: Scene) -> None:
    """Seven do not, nor do many of three accounts."""
    fresh = scene.people(20)
    scene.convict(scene.family(fresh))

    assert not scene.judge(scene.family(fresh[:7]))
    assert not scene.judge(scene.family(fresh[:3] * 10))
    assert scene.judge(scene.family(fresh[:8]))


def test_merging_keeps_the_older_name_and_loses_nobody(scene: Scene) -> None:
    """Members, traits, bystanders, volume and both names go over; the younger is gone."""
    one, two = scene.people(20), scene.people(20)
    first_bystander, second_bystander = scene.people(1, lived=True), scene.people(1, lived=True)
    older = scene.convict(scene.family([*first_bystander, *one]))
    younger = scene.convict(scene.family([*second_bystander, *two]), WEAK)
    assert older is not younger
    trait = scene.family(two)
    assert scene.judge(trait)
    older.taken, younger.taken = 30, 12
    name = younger.name

    merged = scene.convict(scene.family([*one, *two]))

    assert merged is older
    assert len(scene.clusters) == 1
    assert {known.cluster for known in [*one, *two]} == {older.number}
    assert older.linked == 40
    assert older.taken == 42
    assert older.merged == [name]
    assert older.bystanders == {first_bystander[0].number, second_bystander[0].number}
    assert scene.clusters.traits == {trait.value: older.number}
    assert scene.clusters.find(name) is older
    assert scene.clusters.number(younger.number) is None


def test_a_group_with_a_few_of_a_clusters_accounts_is_a_cluster_of_its_own(scene: Scene) -> None:
    """SECURITY 127: under three tenths shared, nothing merges, and nobody changes sides."""
    one, two = scene.people(20), scene.people(20)
    first = scene.convict(scene.family(one))
    second = scene.convict(scene.family([*one[:5], *two]))

    assert second is not first
    assert {known.cluster for known in one} == {first.number}
    assert {known.cluster for known in two} == {second.number}
    assert (first.linked, second.linked) == (20, 20)


def test_joining_links_once_and_counts_each_time(scene: Scene) -> None:
    """The first time is when the account met the cluster; a second cluster does not take it over."""
    one, two = scene.people(20), scene.people(20)
    first, second = scene.convict(scene.family(one)), scene.convict(scene.family(two))
    newcomer = scene.people(1)[0]
    scene.clusters.join(newcomer, first, NOW + 200)
    scene.clusters.join(newcomer, first, NOW + 300)
    scene.clusters.join(newcomer, second, NOW + 400)

    assert (newcomer.cluster, newcomer.bearing, newcomer.first_bearing_at) == (first.number, 3, NOW + 200)
    assert (first.linked, second.linked) == (21, 20)


def test_a_cluster_outlives_its_accounts(scene: Scene) -> None:
    """When all are gone it is still there, with its traits: who comes next in their place is known."""
    fresh = scene.people(20)
    cluster = scene.convict(scene.family(fresh))
    family = scene.family(fresh)
    assert scene.judge(family)
    for known in fresh:
        scene.accounts.forget(known.key)

    assert scene.clusters.number(cluster.number) is cluster
    assert scene.clusters.traits == {family.value: cluster.number}


def test_releasing_ends_a_cluster_altogether(scene: Scene) -> None:
    """Its accounts are nobody's, its traits are nothing, its name is unknown; another cluster keeps its own."""
    one, two = scene.people(20), scene.people(20)
    first, second = scene.convict(scene.family(one)), scene.convict(scene.family(two))
    trait = scene.family(one)
    assert scene.judge(trait)

    accounts, traits = scene.clusters.release(first)

    assert accounts == one
    assert traits == [trait.value]
    assert {(known.cluster, known.bearing) for known in one} == {(0, 0)}
    assert scene.clusters.traits == {}
    assert scene.clusters.find(first.name) is None
    assert {known.cluster for known in two} == {second.number}


def test_silence_takes_certainty_away_and_never_the_memory(scene: Scene) -> None:
    """Half of what lies above ``suspect`` goes in a week of silence; nothing goes while the cluster is heard from every day."""
    cluster = scene.convict(scene.family(scene.people(20)))
    before = cluster.nats, cluster.score

    cluster.fade(NOW + 0.9 * DAY)
    assert (cluster.nats, cluster.score) == before

    cluster.fade(NOW + 7 * DAY)
    assert cluster.nats == pytest.approx(SUSPECT_NATS + (before[0] - SUSPECT_NATS) / 2, abs=0.01)

    cluster.fade(NOW + 400 * DAY)
    assert 0.5 <= cluster.score < 0.6
    assert cluster.score < before[1]


def test_there_are_never_more_clusters_than_fit(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has thousands of groups convicted pushes out the one that was silent longest, and its accounts go free."""
    monkeypatch.setattr(clusters_module, "MOST_CLUSTERS", 3)
    crews = [scene.people(20) for _ in range(4)]
    found = [scene.convict(scene.family(crew)) for crew in crews]
    assert len(scene.clusters) == 3
    assert found[0] not in list(scene.clusters)
    assert {known.cluster for known in crews[0]} == {0}
    assert all(known.cluster for crew in crews[1:] for known in crew)


def test_two_clusters_that_share_a_queue_become_one(scene: Scene) -> None:
    """Found apart, by two templates; a third queue, of both and of nobody else, makes one of them. What is merely shared does not."""
    ours, theirs = scene.people(20), scene.people(20)
    first, second = scene.convict(scene.family(ours)), scene.convict(scene.family(theirs))
    assert first.number != second.number
    both = scene.family([*ours, *theirs])
    outside = scene.family([*ours, *theirs, *scene.people(10, age_days=90.0)])
    outside.convicted = first.number

    assert not scene.judge(both)
    assert not scene.judge(outside)
    assert [cluster.name for cluster in scene.clusters] == [first.name, second.name]

    both.convicted = second.number
    scene.judge(both)
    assert [cluster.name for cluster in scene.clusters] == [first.name]
    assert {known.cluster for known in [*ours, *theirs]} == {first.number}
    assert scene.clusters.traits[both.value] == first.number


def test_a_pool_that_was_found_in_pieces_becomes_one_when_it_is_found_whole(scene: Scene) -> None:
    """Reworded three times, a pool stands in four clusters of a quarter each: none is near enough alone, and a fifth would be
    empty."""
    pool = scene.people(48)
    pieces = [scene.convict(scene.family(pool[first : first + 12])) for first in range(0, 48, 12)]
    assert len({piece.number for piece in pieces}) == 4

    whole = scene.convict(scene.family(pool))

    assert whole.name == pieces[0].name
    assert {known.cluster for known in pool} == {whole.number}
    assert len(list(scene.clusters)) == 1


def test_a_piece_of_which_hardly_anybody_is_in_the_group_stays_another_operators(scene: Scene) -> None:
    """Three accounts of another cluster among fifty don't make both one."""
    pool, others = scene.people(47), scene.people(30)
    first, second = scene.convict(scene.family(pool[:30])), scene.convict(scene.family(others))

    whole = scene.convict(scene.family([*pool, *others[:3]]))

    assert whole.number == first.number
    assert {known.cluster for known in others} == {second.number}
