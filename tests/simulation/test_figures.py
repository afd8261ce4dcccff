"""Figures on labelled decisions mean what the evaluation's judge means by them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from guard.config import load
from guard.replay.run import Outcome, Replay
from guard.simulation.campaigns import SHAPES
from guard.simulation.deciding import prepared
from guard.simulation.figures import Figures, contained
from guard.simulation.traffic import Chosen, Population
from guard.types import Account, Decision

SCORE = Path(__file__).resolve().parents[3] / "shared" / "eval" / "score.py"


def decision(action: str = "allow", **more: Any) -> Decision:
    return Decision(action, True, 200, "", 0.0, "low", **more)


@pytest.mark.parametrize(
    ("made", "kept"),
    [
        (decision("allow"), False),
        (decision("tag"), False),
        (decision("delay", delay_s=2.0), False),
        (decision("delay", delay_s=2.5), True),
        (decision("limit"), True),
        (decision("challenge"), True),
        (decision("refuse"), True),
        (decision("degrade", reductions=(("logprobs", True),)), False),
        (decision("degrade", reductions=(("reasoning", True),)), False),
        (decision("degrade", reductions=(("budget", 512),)), False),
        (decision("degrade", reductions=(("budget", 600), ("reasoning", True))), False),
        (decision("degrade", reductions=(("budget", 512), ("reasoning", True))), True),
        (decision("degrade", reductions=(("model", "small"),)), True),
    ],
)
def test_what_is_answered_in_full(made: Decision, kept: bool) -> None:
    """A reduction that hardly hurts a student model and a short delay leave an answer in full; the rest is contained."""
    assert contained(made) is kept


def told(figures: Figures, account: str, campaign: str | None, action: str = "allow", **more: Any) -> None:
    label = {"segment": campaign or "chat", "campaign": campaign, "extraction": more.pop("extraction", bool(campaign))}
    figures.add(label, Outcome(0, account, Account(account), decision(action, **more), True, True))


def test_until_counts_what_was_had_before_half_of_the_last_two_hundred_was_contained() -> None:
    """And the leak after it is of what came later only."""
    figures = Figures()
    for n in range(300):
        told(figures, f"a{n % 3}", "hydra", "allow" if n < 150 else "refuse")
    for _ in range(10):
        told(figures, "a0", "hydra")
    taken = figures.campaigns["hydra"]
    assert taken.until == 150
    assert taken.leaked == 160
    assert taken.leak_after == pytest.approx(10 / 60)
    assert list(taken.caught) == ["a0", "a1", "a2"]


def test_cover_is_neither_leak_nor_harm() -> None:
    """It is told apart."""
    figures = Figures()
    told(figures, "a", "hydra", extraction=False)
    told(figures, "a", "hydra", "refuse", extraction=False)
    told(figures, "b", None)
    assert figures.ordinary == (1, 0, 1, 0)
    assert not figures.campaigns


def test_an_ordinary_account_in_a_cluster_costs_precision_and_a_split_costs_recall() -> None:
    """Clusters that merged count as one, under the name that goes on."""
    figures = Figures()
    for account, cluster in (("a", "c1"), ("b", "c1"), ("c", "c2"), ("d", "c2")):
        told(figures, account, "hydra", cluster=cluster)
    assert figures.clusters() == (1.0, 0.5)
    told(figures, "a", "hydra", cluster="c1", merged=("c2",))
    assert figures.clusters() == (1.0, 1.0)
    told(figures, "person", None, cluster="c1")
    precision, recall = figures.clusters()
    assert precision == pytest.approx((4 * 0.8 + 0.2) / 5)
    assert recall == 1.0


def test_nothing_to_find_and_nothing_found_is_no_mistake() -> None:
    """Without a campaign the report holds the ordinary accounts alone."""
    figures = Figures()
    told(figures, "person", None)
    assert figures.clusters() == (1.0, 1.0)
    assert "campaign" not in "\n".join(figures.report())


def test_the_judge_of_the_evaluation_says_the_same(tmp_path: Path) -> None:
    """On one log, decided once: until, leak, harm, precision and recall are its figures."""
    if not SCORE.is_file():
        pytest.skip("needs ../shared, which is no part of this repository")
    population = Population(2.0, 100, 1, (Chosen(SHAPES["hydra"], 24), Chosen(SHAPES["camouflaged"], 12)))
    replay, figures = Replay(load("standard")), Figures()
    with (tmp_path / "d.jsonl").open("wb") as out:
        for record, logged, met in prepared(population.exchanges(), replay):
            outcome = replay.decide_met(logged, met)
            figures.add(record["label"], outcome)
            out.write(outcome.line() + b"\n")
    (tmp_path / "log.jsonl").write_bytes(b"".join(line + b"\n" for line in population.lines()))
    command = [sys.executable, str(SCORE), "log.jsonl", "d.jsonl", "--json"]
    # The judge numbers lines from 0, as a replay does; outcomes here are numbered by the log's reader.
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    report = json.loads(done.stdout)
    for name, row in report["campaigns"].items():
        taken = figures.campaigns[name]
        assert (taken.total, taken.until, taken.leak_after) == (row["exchanges"], row["until"], row["leak_after"])
        assert taken.leak == pytest.approx(row["leak"])
    precision, recall = figures.clusters()
    assert precision == pytest.approx(report["cluster_precision"])
    assert recall == pytest.approx(report["cluster_recall"])
    exchanges, kept, accounts, touched = figures.ordinary
    assert kept / exchanges == pytest.approx(report["harm"]["exchanges"])
    assert touched / accounts == pytest.approx(report["harm"]["accounts"])
    assert figures.campaigns["hydra"].leak < 0.2
