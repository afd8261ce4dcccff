"""What the operator takes back stays taken back: the same kinds of evidence do not convict the same accounts again."""

from __future__ import annotations

import orjson
import pytest

from guard.recognition import keeping, mercy, pardons
from guard.recognition.accounts import Known
from guard.recognition.pardons import Pardons
from guard.recognition.recognition import Recognition
from guard.types import Exchange
from tests.recognition import town

LOG = list(town.traffic(2_500))
END = LOG[-1][0]


def again(log: list[tuple[float, Exchange]], after: float) -> list[tuple[float, Exchange]]:
    """The same exchanges later."""
    shift = after + 1.0 - log[0][0]
    return [(at + shift, one) for at, one in log]


@pytest.fixture
def found() -> Recognition:
    """A town whose campaign was found."""
    recognition = town.recognition()
    town.run(recognition, LOG)
    assert len(recognition.clusters) == 1
    return recognition


def restarted(recognition: Recognition, *signals: town.Marked) -> Recognition:
    """What comes back from the disk, with other signals if any are named."""
    fresh = town.recognition(*signals)
    restoring = keeping.Restoring(fresh, LOG[-1][0])
    for piece in (*keeping.findings(recognition, whole=True), *keeping.verdicts(recognition)):
        restoring.take(orjson.loads(orjson.dumps(piece)))
    restoring.done()
    return fresh


def only(recognition: Recognition) -> str:
    (cluster,) = recognition.clusters
    return cluster.name


@pytest.mark.parametrize("restart", [False, True])
def test_a_forgiven_cluster_is_not_convicted_again_by_the_same_kinds(found: Recognition, restart: bool) -> None:
    """As much traffic again, by the same accounts in the same way: nobody is held, over a restart too."""
    groups = found.parts().groups
    (number,) = {cluster.number for cluster in found.clusters}
    assert number in {family.convicted for family in groups.values()}
    freed = mercy.forgive_cluster(found, only(found), END)
    assert freed is not None
    assert len(freed) == 40
    assert number not in {family.convicted for family in groups.values()}
    after = restarted(found) if restart else found
    assert not any(town.run(after, again(LOG, END)))
    assert len(after.clusters) == 0


def test_other_texts_by_the_same_accounts_are_no_new_finding(found: Recognition) -> None:
    """The template changes, the accounts and the kinds of evidence are the same."""
    mercy.forgive_cluster(found, only(found), END)
    changed = []
    for at, one in again(LOG, END):
        if one.features.readings:
            one = town.exchange(one.account, "other a", "other b", "other c", slot=one.features.slot, marked=True)
        changed.append((at, one))
    assert not any(town.run(found, changed))


def test_new_kinds_of_evidence_convict_again(found: Recognition) -> None:
    """Two kinds that had not spoken before are enough by themselves; the old ones still count nothing."""
    mercy.forgive_cluster(found, only(found), END)
    after = restarted(found, town.QUEUE, town.NIGHT, town.CARDS, town.YOUNG)
    held = [one for one in town.run(after, again(LOG, END)) if one is not None]
    assert len(held) > 100
    assert {evidence.signal for evidence in held[-1].evidence} == {"cards", "young"}
    assert all(known.cleared == 0 for known in after.accounts if known.cluster)


def test_one_new_kind_that_would_not_convict_alone_changes_nothing(found: Recognition) -> None:
    """Eleven nats were forgiven; five more of another kind don't revive them."""
    mercy.forgive_cluster(found, only(found), END)
    after = restarted(found, town.QUEUE, town.NIGHT, town.YOUNG)
    assert not any(town.run(after, again(LOG, END)))


def test_other_accounts_with_other_texts_are_convicted(found: Recognition) -> None:
    """A pardon is no licence for whoever comes next in the same way."""
    mercy.forgive_cluster(found, only(found), END)
    others = []
    for at, one in again(LOG, END):
        if one.features.readings:
            who = town.account("other" + one.account.key[:4])
            one = town.exchange(who, "new a", "new b", "new c", slot=one.features.slot, marked=True)
        others.append((at, one))
    assert sum(held is not None for held in town.run(found, others)) > 100


@pytest.mark.parametrize("restart", [False, True])
def test_one_forgiven_account_goes_free_and_the_others_do_not(found: Recognition, restart: bool) -> None:
    """Also where its group is convicted anew, on the same kinds of evidence."""
    spared = town.account("campaign 7").key
    assert mercy.forgive(found, spared, END)
    after = restarted(found) if restart else found
    later = again(LOG, END)
    held = {
        one.account.key for (_, one), verdict in zip(later, town.run(after, later), strict=True) if verdict is not None
    }
    assert spared not in held
    assert len(held) == 39


def test_a_forgiven_account_is_held_again_by_new_kinds(found: Recognition) -> None:
    """Its group is convicted by kinds of evidence of which none had been forgiven."""
    spared = town.account("campaign 7").key
    mercy.forgive(found, spared, END)
    after = restarted(found, town.CARDS, town.YOUNG)
    for family in after.parts().groups.values():
        assert family.group is not None
        family.group.due = 0
    later = again(LOG, END)
    held = {
        one.account.key for (_, one), verdict in zip(later, town.run(after, later), strict=True) if verdict is not None
    }
    assert spared in held


def test_nothing_is_forgiven_where_nothing_was_held(found: Recognition) -> None:
    """An honest account, an unknown one, an unknown cluster; and forgiving twice is as good as once."""
    assert not mercy.forgive(found, town.account("honest 3").key, END)
    assert not mercy.forgive(found, "0" * 32, END)
    assert mercy.forgive_cluster(found, "c9-000000", END) is None
    name = only(found)
    mercy.forgive_cluster(found, name, END)
    assert mercy.forgive_cluster(found, name, END) is None
    assert len(found.pardons) == 1


def test_a_cluster_is_forgiven_by_a_name_it_took_over(found: Recognition) -> None:
    """Whoever noted the younger name is understood."""
    (cluster,) = found.clusters
    cluster.merged.append("c0-old000")
    found.clusters.add(cluster)
    assert mercy.forgive_cluster(found, "c0-old000", END) is not None
    assert found.clusters.names == {}


# -- grants ----------------------------------------------------------------------------------------------------------------


def granted(recognition: Recognition, log: list[tuple[float, Exchange]], keys: set[str]) -> list[bool]:
    found = []
    for at, one in log:
        recognition.due(at)
        found.append(recognition.look(one, at, granted=one.account.key in keys) is not None)
    return found


def test_granted_accounts_are_never_linked_and_their_exchanges_do_not_count() -> None:
    """A whole campaign under a grant: no group is made of it, nobody is held."""
    keys = {town.account(f"campaign {n}").key for n in range(40)}
    recognition = town.recognition()
    assert not any(granted(recognition, LOG, keys))
    assert len(recognition.clusters) == 0
    templates = {value for _, value in town.exchange(town.account("x"), "template a", "template b").features.facets}
    assert all(family.value not in templates for family in recognition.parts().families)


def test_exchanges_from_before_a_grant_are_left_out_when_a_group_is_weighed() -> None:
    """Three of four campaign accounts get a grant before the group has enough evidence: the rest is too few for a verdict."""
    keys = {town.account(f"campaign {n}").key for n in range(30)}
    recognition = town.recognition()
    early = LOG[:120]
    assert not any(held is not None for held in town.run(recognition, early))
    assert not any(granted(recognition, LOG[120:], keys))
    assert len(recognition.clusters) == 0


def test_a_grant_lets_a_linked_account_go_and_ends_without_a_trace(found: Recognition) -> None:
    """While it holds nothing is held; when it is over the account is what its traffic makes it."""
    key = town.account("campaign 7").key
    spoken = found.pardons.spoken
    assert mercy.release(found, f"account:{key}") == 1
    assert mercy.release(found, f"account:{key}") == 0
    assert found.pardons.spoken == spoken + 1, "what is being weighed meanwhile does not count"
    known = found.accounts.find(key)
    assert known is not None
    assert (known.cluster, known.bearing, known.hops, known.first_bearing_at) == (0, 0, 0, 0.0)
    one = town.exchange(town.account("campaign 7"), "template a", "template b", "template c", marked=True)
    assert found.look(one, END + 1, granted=True) is None
    assert found.look(one, END + 2) is not None


def test_a_grant_to_an_organisation_lets_all_its_accounts_go(found: Recognition) -> None:
    key = town.KEY.identifier("org", b"acme")
    for known in found.accounts:
        if known.cluster:
            known.state(0, 0, int(key[:16], 16))
    assert mercy.release(found, f"org:{key}") == 40
    assert [cluster.linked for cluster in found.clusters] == [0]


# -- erase -----------------------------------------------------------------------------------------------------------------


def test_an_erased_account_is_nowhere(found: Recognition) -> None:
    """Not in the table, the cluster's count, or the state; its exchanges count for nobody."""
    key = town.account("campaign 7").key
    before = next(iter(found.clusters)).linked
    known = found.accounts.find(key)
    assert known is not None
    next(iter(found.clusters)).bystanders.add(known.number)
    assert mercy.erase(found, key)
    assert not mercy.erase(found, key)
    assert next(iter(found.clusters)).bystanders == set()
    assert next(iter(found.clusters)).linked == before - 1
    state = orjson.dumps([list(keeping.findings(found)), list(keeping.verdicts(found))])
    assert key.encode() not in state


# -- bounds ----------------------------------------------------------------------------------------------------------------


def test_pardons_are_bounded_and_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pardons, "_MOST", 3)
    held = Pardons()
    for number in range(5):
        held.pardon(f"c{number}", {"queue": "coordination"}, [number], [], float(number))
    assert [pardon.name for pardon in held] == ["c2", "c3", "c4"]
    assert set(held.traits) == {2, 3, 4}
    assert held.over(0, [], 0.0) == (frozenset(), frozenset())
    assert held.over(4, [], 0.0) == ({"coordination"}, frozenset())


def test_accounts_of_one_cluster_share_a_pardon(found: Recognition) -> None:
    """Forty accounts forgiven one by one take the room of one."""
    for number in range(40):
        mercy.forgive(found, town.account(f"campaign {number}").key, END)
    (pardon,) = found.pardons
    assert pardon.accounts == 40
    assert pardon.signals == {"queue": "coordination", "night": "rhythm"}


# -- whom one holds for ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settled", "cleared", "holds"),
    [(0, range(3), True), (0, range(2), False), (5, range(5, 7), True), (6, range(3), True), (5, range(5), False)],
    ids=["three of ten", "two of ten", "two of five fresh", "most are settled", "half are settled"],
)
def test_a_pardon_holds_for_three_tenths_of_those_that_count(settled: int, cleared: range, holds: bool) -> None:
    """The accounts without a life of their own; all, where those are fewer than half."""
    held = Pardons()
    members = [Known(number, f"{number:032x}", town.T0) for number in range(1, 11)]
    for known in members[:settled]:
        known.born = town.T0 - 90 * 86_400.0
    made = held.pardon("c1", {"queue": "coordination"}, (), [members[place] for place in cleared], town.T0)

    assert held.over(7, members, town.T0) == ({"coordination"} if holds else frozenset(), {made.number})


def test_a_new_pardon_never_takes_the_number_of_one_that_was_kept() -> None:
    """In whatever order they come back from the disk."""
    held = Pardons()
    for number in (7, 3):
        held.add(pardons.Pardon(number, f"c{number}", town.T0, {}, 1))

    assert held.pardon("new", {}, (), (), town.T0).number == 8
