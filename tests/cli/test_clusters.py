from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.desk import ACCOUNT, Desk

Run = Callable[..., tuple[int, str, str]]


def test_all_clusters_a_line_each(guard: Run) -> None:
    """Name, band, accounts, volume, since when."""
    code, out, _ = guard("clusters")
    assert code == 0
    assert out.startswith("c1-beef00  confirmed (0.97)  212 accounts, 5120 exchanges, 300 answered  since 2023-11-14")


def test_a_dossier_keeps_facts_apart_from_inference(guard: Run) -> None:
    """Facts come first; each piece of evidence has its kind, its nats and its reason; the way back stands at the end."""
    code, out, _ = guard("clusters", "c1-beef00")
    assert code == 0
    facts, inference = out.split("Inference: ")
    assert "212  accounts linked to it" in facts
    assert "40,000  tokens out" in facts
    assert "nats" not in facts
    assert "traits carried, by kind: shingle 5,000, system 12" in facts
    assert "It has taken over: c2-feed00" in facts
    assert inference.startswith("+3.10 nats in all, score 0.97")
    assert "coordination +3.00 nats\n    even_load +3.00: loads vary by 0.3" in inference
    assert f"{ACCOUNT}  30 exchanges, 28 with its traits" in inference
    assert "guard forgive cluster:c1-beef00" in inference


def test_json_is_the_whole_answer(guard: Run) -> None:
    code, out, _ = guard("clusters", "cluster:c1-beef00", "--json")
    assert code == 0
    assert json.loads(out)["facts"]["linked"] == 212


def test_an_unknown_cluster_is_said_with_the_remedy(guard: Run) -> None:
    code, _, err = guard("clusters", "c7-000000")
    assert code == 2
    assert "`guard clusters` lists them" in err


def test_feedback_is_kept_and_changes_nothing(guard: Run, desk: Desk, tmp_path: Path) -> None:
    """A line for calibration, an event with the reason in the audit, and what to do about a wrong verdict."""
    code, out, _ = guard("clusters", "c1-beef00", "--wrong", "--why", "a partner's evaluation")
    assert code == 0
    assert "guard forgive cluster:c1-beef00" in out
    assert json.loads((tmp_path / "feedback.jsonl").read_text())["right"] is False
    assert "partner" not in (tmp_path / "feedback.jsonl").read_text()
    event = [json.loads(line) for line in desk.events().splitlines() if '"event":"feedback"' in line][-1]
    assert (event["why"], event["right"], event["subject"]) == ("a partner's evaluation", False, "cluster:c1-beef00")
    assert guard("clusters", "c1-beef00", "--right")[0] == 0
    assert len((tmp_path / "feedback.jsonl").read_text().splitlines()) == 2


def test_feedback_needs_a_cluster(guard: Run) -> None:
    code, _, err = guard("clusters", "--right")
    assert code == 2
    assert "which cluster" in err
