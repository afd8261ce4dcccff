"""What recognition keeps over a restart: it decides on as if it had never stopped, and keeps nothing that it shouldn't."""

from __future__ import annotations

import random
from base64 import b64encode
from typing import Any

import orjson
import pytest

from guard.errors import StateError
from guard.recognition import keeping
from guard.recognition.groups import Observed
from guard.recognition.recognition import Recognition
from tests.recognition import town
from tests.recognition.town import T0

LOG = list(town.traffic(3_000))
WHOLE = town.run(town.recognition(), LOG)


def written(recognition: Recognition, *, whole: bool = True) -> tuple[list[Any], list[Any]]:
    """Findings and verdicts as they come back from the disk."""
    return tuple(  # type: ignore[return-value]
        orjson.loads(orjson.dumps(list(pieces)))
        for pieces in (keeping.findings(recognition, whole=whole), keeping.verdicts(recognition))
    )


def resumed(findings: list[Any], verdicts: list[Any]) -> Recognition:
    fresh = town.recognition()
    restoring = keeping.Restoring(fresh, LOG[-1][0])
    for piece in (*findings, *verdicts):
        restoring.take(piece)
    restoring.done()
    return fresh


def test_the_town_has_a_cluster() -> None:
    """The other tests mean something: the campaign is found in the middle of the log, and nobody else."""
    first = next(n for n, held in enumerate(WHOLE) if held is not None)
    assert 100 < first < 1_500
    contained = {one.account.key for (_, one), held in zip(LOG, WHOLE, strict=True) if held is not None}
    assert contained <= {town.account(f"campaign {n}").key for n in range(40)}
    assert len(contained) == 40


@pytest.mark.parametrize("cut", [1, 60, 200, *random.Random(3).sample(range(200, 3_000), 6)])
def test_a_restored_one_decides_on_as_the_one_before_it_did(cut: int) -> None:
    """Cut anywhere, written down, read again: the rest of the log is decided the same, name, score and evidence."""
    before = town.recognition()
    town.run(before, LOG[:cut])
    after = resumed(*written(before))
    assert town.run(after, LOG[cut:]) == WHOLE[cut:]


def test_twice_restored_is_written_the_same() -> None:
    """Nothing is lost or made up on the way through the disk."""
    before = town.recognition()
    town.run(before, LOG)
    once = written(before)
    assert written(resumed(*once)) == once


def test_verdicts_alone_still_contain_the_campaign() -> None:
    """Where the large file is lost, known members and newcomers with the traits are contained from their first exchange."""
    before = town.recognition()
    town.run(before, LOG)
    after = resumed([], written(before)[1])
    at = LOG[-1][0] + 1.0
    member = town.exchange(town.account("campaign 3"), "template a", "template b", "template c", marked=True)
    newcomer = town.exchange(town.account("a new one"), "template a", "template b", "template c", marked=True)
    honest = town.exchange(town.account("honest 3", created=T0 - 9e6), "tool 1", "own 1")
    found = town.run(after, [(at, member), (at, newcomer), (at, honest)])
    assert found[0] is not None
    assert found[1] is not None
    assert (
        found[0].cluster
        == found[1].cluster
        == next(held.cluster for held in WHOLE if held is not None and held.cluster is not None)
    )
    assert found[2] is None


def test_verdicts_that_are_newer_than_findings_hold() -> None:
    """A cluster that was pardoned after the findings were written is nobody's any more, and no reference to it is left."""
    from guard.recognition import mercy

    before = town.recognition()
    town.run(before, LOG)
    findings = written(before)[0]
    (name,) = [cluster.name for cluster in before.clusters]
    assert mercy.forgive_cluster(before, name, LOG[-1][0]) is not None
    after = resumed(findings, written(before)[1])
    assert all(known.cluster == 0 for known in after.accounts)
    assert len(after.clusters) == 0
    assert town.run(after, [(LOG[-1][0] + 1, one) for _, one in LOG[-200:]]) == [None] * 200


def test_what_is_used_of_ceilings_is_kept_with_the_verdicts() -> None:
    """Also where the findings are lost; and no new account gets the number, and with it the rank of today, of a forgotten one."""
    before = town.recognition()
    town.run(before, LOG)
    for _, one in LOG[:50]:
        assert before.over(one, LOG[-1][0], enforced=False) is None
    before.ceilings._joint.allow(0, 50.0, 0.001, LOG[-1][0])
    after = resumed([], written(before)[1])
    assert list(after.ceilings.pieces()) == list(before.ceilings.pieces())
    assert after.ceilings.ceiling(0, LOG[-1][0]) == before.ceilings.ceiling(0, LOG[-1][0])
    assert after.accounts.next == before.accounts.next


def test_numbers_are_never_given_twice() -> None:
    """A new account after the restart is not taken for one that stood in a group before."""
    before = town.recognition()
    town.run(before, LOG[:500])
    newest = max(known.number for known in before.accounts)
    before.accounts.forget(next(known.key for known in before.accounts if known.number == newest))
    after = resumed(*written(before))
    after.look(town.exchange(town.account("late"), "x"), T0 + 9e5)
    assert max(known.number for known in after.accounts) == newest + 1


def test_only_keyed_hashes_and_numbers_are_kept() -> None:
    """No text of a request, and no id that the operator gave: only the reasons that signals state are words."""
    before = town.recognition()
    town.run(before, LOG)
    state = orjson.dumps(written(before))
    for word in (b"template", b"campaign", b"honest", b"own 1", b"tool"):
        assert word not in state
    assert b"bears the mark" in state


def test_groups_are_kept_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many exchanges groups hold, only the latest of each are kept, and they are in order."""
    monkeypatch.setattr(keeping, "MOST_EXCHANGES", 500)
    before = town.recognition()
    town.run(before, LOG)
    findings, verdicts = written(before, whole=False)
    kept = sum(len(piece["values"][0]) for piece in findings if piece["kind"] == "exchanges")
    groups = [piece for piece in findings if piece["kind"] == "group"]
    assert len(groups) > 3
    assert kept <= 500
    after = resumed(findings, verdicts)
    for family in after.parts().groups.values():
        assert family.group is not None
        times = [event.at for event in family.group.events]
        assert times == sorted(times)
        assert times[-1] > LOG[-400][0]


@pytest.mark.parametrize(
    "piece",
    [
        {},
        {"kind": "accounts"},
        {"kind": "accounts", "v": 1, "columns": [], "rows": []},
        {"kind": "accounts", "v": 2, "columns": ["number", "key"], "rows": [["x", "y"]], "next": 1},
        {"kind": "nothing", "v": 2},
        {"kind": "group", "v": 2, "family": 1, "columns": [], "row": [], "events": ""},
        {"kind": "gate", "v": 2, "first": 1 << 20, "cells": "AAAAAAAAAAA="},
        {"kind": "traits", "v": 2, "pairs": [[1]]},
        {"kind": "cluster", "v": 2, "columns": ["number", "name"], "row": [1], "evidence": []},
        {"kind": "exchanges", "v": 2, "columns": ["at"], "values": [[1.0]]},
        {"kind": "ceilings", "v": 2, "next": 1, "used": {"joint": [[0, -1.0]], "marks": [[]]}},
        {"kind": "ceilings", "v": 2, "used": {}},
    ],
)
def test_what_is_no_piece_is_said_with_the_remedy(piece: dict[str, Any]) -> None:
    with pytest.raises(StateError, match="move the files in state_dir"):
        keeping.Restoring(town.recognition(), T0).take(piece)


def test_pieces_are_small() -> None:
    """None is so large that requests would wait for it: some hundred rows at most, or 128 KiB of the gate."""
    before = town.recognition()
    town.run(before, LOG)
    for piece in (*keeping.findings(before, whole=True), *keeping.verdicts(before)):
        assert len(orjson.dumps(piece)) < 256 * 1024
        assert len(piece.get("rows", ())) <= 500


def test_what_purity_rests_on_is_kept() -> None:
    """How much of all traffic is a cluster's, and which traits speak for themselves: without them a restart would lose traits."""
    before = town.recognition()
    town.run(before, LOG)
    after = resumed(*written(before))
    assert before.clusters.seen > 1_000
    assert before.clusters.proven
    assert after.clusters.seen == before.clusters.seen
    assert after.clusters.proven == before.clusters.proven
    assert resumed([], written(before)[1]).clusters.seen == before.clusters.seen


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_exchanges_of_an_earlier_shape_are_read(missing: int) -> None:
    """Before there were parameters, and before it was known what had moved."""
    one = Observed(1.0, 2, b"12345678", 3, b"x" * 32, 0.5, 1, 4, 5, 6, 0, 7, True)
    row = {name: [value] for name, value in one._asdict().items()}
    row |= {name: [b64encode(getattr(one, name)).decode()] for name in ("traits", "gist")}
    names = Observed._fields[: len(Observed._fields) - missing]

    (read,) = keeping._observed({"columns": list(names), "values": [row[name] for name in names]})

    assert read == one[: len(names)] + (0, False)[2 - missing :]
