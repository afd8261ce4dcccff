"""What the operator is shown of a cluster: facts apart from inference, nobody's name, true numbers."""

from __future__ import annotations

import orjson
import pytest

from guard.recognition.dossier import counts, dossier, listed
from guard.recognition.recognition import Recognition
from guard.types import Usage
from tests.recognition import town
from tests.recognition.town import T0

LOG = list(town.traffic(2_000))
END = LOG[-1][0]


@pytest.fixture(scope="module")
def found() -> Recognition:
    recognition = town.recognition()
    held = town.run(recognition, LOG)
    recognition.clusters.book(
        next(one.cluster for one in held if one), Usage(200, 100, 40, reported=True, complete=True)
    )
    recognition.clusters.book("c9-nobody", Usage(200, 1, 1, reported=True, complete=True))
    recognition.clusters.book(
        next(one.cluster for one in held if one), Usage(500, 100, 0, reported=True, complete=True)
    )
    return recognition


def test_facts_are_what_was_counted(found: Recognition) -> None:
    """Against the log itself."""
    (cluster,) = found.clusters
    shown = dossier(found, cluster.name, END)
    assert shown is not None
    facts = shown["facts"]
    campaign = [at for at, one in LOG if one.features.readings]
    assert facts["linked"] == 40
    assert facts["exchanges_of_its_accounts"] == len(campaign)
    assert facts["first_account_at"] == campaign[0]
    assert facts["last_at"] == campaign[-1]
    assert facts["standing"] == facts["own_life"] == 0
    assert 0 < facts["exchanges"] < len(campaign)
    assert facts["carried"] == {"shingle": facts["exchanges"]}
    assert (facts["answered"], facts["input_tokens"], facts["output_tokens"]) == (1, 100, 40)
    assert facts["traits"] >= 3


def test_inference_is_named_by_kind_with_nats_and_reason(found: Recognition) -> None:
    (cluster,) = found.clusters
    shown = dossier(found, cluster.name, END)
    assert shown is not None
    assert shown["band"] == "confirmed"
    assert shown["inference"]["kinds"] == {"coordination": 6.0, "rhythm": 5.0}
    assert shown["inference"]["evidence"][0] == {
        "signal": "queue",
        "kind": "coordination",
        "nats": 6.0,
        "reason": "bears the mark",
    }


def test_accounts_are_keyed_hashes_the_earliest_first(found: Recognition) -> None:
    (cluster,) = found.clusters
    shown = dossier(found, cluster.name, END)
    assert shown is not None
    firsts = [one["first_at"] for one in shown["accounts"]]
    assert firsts == sorted(firsts)
    assert all(len(one["account"]) == 32 for one in shown["accounts"])
    assert b"campaign" not in orjson.dumps(shown)


def test_the_list_has_a_line_for_each_cluster(found: Recognition) -> None:
    shown = listed(found)
    assert shown["count"] == 1
    assert shown["clusters"][0]["linked"] == 40
    assert dossier(found, "c9-nobody", END) is None


def test_learning_ends_when_ceilings_are_enforced() -> None:
    """That is what ``learning`` means; why it goes on stands beside how many ceilings there are."""
    recognition = town.recognition()
    assert counts(recognition)["learning"] is True
    town.run(recognition, LOG[:50])
    recognition.due(T0 + 3600)
    found = counts(recognition)
    assert found["learning"] is True
    assert "so far 50 and" in found["ceilings"]["learning"]
    recognition.due(T0 + 90_000)
    late = town.exchange(town.account("late"), "x")
    town.run(recognition, [(T0 + 90_001, late)])
    recognition.due(T0 + 90_010)
    found = counts(recognition)
    assert found["learning"] is False
    assert found["ceilings"]["learning"] == ""
    assert found["ceilings"]["ceilings"] == 0


def test_numbers_for_the_status(found: Recognition) -> None:
    numbers = counts(found)
    assert numbers["clusters"] == {"suspect": 0, "confirmed": 1}
    assert numbers["traits"] >= 3
    assert numbers["groups"] >= 3
    assert numbers["families"] >= numbers["groups"]
    assert numbers["lost"] == 0
