"""The bars of the detection benchmark: when one is missed, and that it is named."""

from __future__ import annotations

from typing import Any

import pytest


def report(
    until: int | None = 100, leak_after: float | None = 0.001, leak: float = 0.01, touched: int = 0, **harm: float
) -> dict[str, Any]:
    segments = {"chat": {"exchanges": 10_000, "accounts": 1000, "accounts_touched": touched}}
    usual = {"exchanges": 0.0, "refused": 0.0, "accounts": touched / 1000, "worst_segment": 0.0}
    return {
        "extraction_exchanges": 5000,
        "until": until,
        "leak_after": leak_after,
        "leak": leak,
        "cluster_precision": 1.0,
        "cluster_recall": 0.99,
        "harm": {**usual, **harm},
        "segments": segments,
    }


@pytest.fixture
def row(load: Any) -> Any:
    """A row of the table; unless told otherwise one that holds every bar of hydra."""

    def make(scenario: str = "hydra", seed: int = 1, who: str = "guard", **more: Any) -> Any:
        figures = more.pop("report", None) or report()
        return load("bars").Row(scenario, seed, who, figures, **more)

    return make


def test_figures_within_the_bars_pass(load: Any, row: Any) -> None:
    """All held: nothing falls short, and every judged cell carries a tick."""
    bars = load("bars")
    assert bars.shortfalls([row()], bars.JUDGED) == []
    assert "✗" not in bars.line(row(), bars.JUDGED["hydra"])
    assert bars.line(row(), bars.JUDGED["hydra"]).count("✓") == 8


@pytest.mark.parametrize(
    ("figures", "named"),
    [
        ({"until": 301}, "until"),
        ({"until": None, "leak_after": None}, "until is not reached"),
        ({"leak_after": 0.006}, "leak after"),
        ({"leak": 0.021}, "leak is"),
        ({"exchanges": 0.0011}, "contained"),
        ({"touched": 4}, "touched"),
        ({"worst_segment": 0.021}, "worst"),
    ],
)
def test_a_missed_bar_is_named(figures: dict[str, Any], named: str, load: Any, row: Any) -> None:
    """A little more than the bar falls short, and the message says which of them, of which run."""
    bars = load("bars")
    missed = bars.shortfalls([row(report=report(**figures))], bars.JUDGED)
    assert any(named in each and each.startswith("hydra 1:") for each in missed)


def test_cost_is_judged_where_it_was_measured(load: Any, row: Any) -> None:
    """A ratio above 25 and a last tenth above 1.3 times the first fall short; an unknown growth does too."""
    bars, cost = load("bars"), load("replay").Cost
    assert bars.shortfalls([row(cost=cost(1, 25.0, 1.3, 0))], bars.JUDGED) == []
    assert len(bars.shortfalls([row(cost=cost(1, 25.1, 1.31, 0))], bars.JUDGED)) == 2
    assert len(bars.shortfalls([row(cost=cost(1, 20.0, None, 0))], bars.JUDGED)) == 1


def test_a_needle_may_touch_five_accounts_and_no_more(load: Any, row: Any) -> None:
    """Its bar counts accounts, whatever share of all they are."""
    bars = load("bars")
    assert bars.shortfalls([row("needle", report=report(touched=5))], bars.JUDGED) == []
    assert any(
        "accounts is 6" in each for each in bars.shortfalls([row("needle", report=report(touched=6))], bars.JUDGED)
    )


def test_baselines_and_other_scenarios_are_not_judged(load: Any, row: Any) -> None:
    """What others miss is no shortfall of guard's; but a check that judged nothing does not pass."""
    bars = load("bars")
    bad = report(leak=1.0)
    assert bars.shortfalls([row(), row(who="words", report=bad), row("office", report=bad)], bars.JUDGED) == []
    assert bars.shortfalls([row("office")], bars.JUDGED) == ["nothing was judged"]


def test_a_run_that_failed_is_no_pass(load: Any, row: Any) -> None:
    """Where guard or the judge broke down the check names it."""
    bars = load("bars")
    failed = bars.Row("hydra", 1, "guard", failed="guard replay ended with 1")
    assert bars.shortfalls([row(), failed], bars.JUDGED) == ["hydra 1: could not be judged: guard replay ended with 1"]
    assert "could not be judged" in bars.line(failed, bars.JUDGED["hydra"])


def test_clean_is_judged_by_its_seeds_together(load: Any, row: Any) -> None:
    """Three touched accounts in all pass, a fourth does not; two seeds are not three."""
    bars = load("bars")

    def clean(*touched: int) -> list[Any]:
        return [
            row("clean", seed, report={**report(None, None, touched=count), "extraction_exchanges": 0})
            for seed, count in enumerate(touched)
        ]

    assert bars.shortfalls(clean(1, 2, 0), bars.JUDGED) == []
    assert "4 ordinary accounts touched" in bars.shortfalls(clean(1, 2, 1), bars.JUDGED)[0]
    assert bars.shortfalls(clean(0, 0), bars.JUDGED) == ["clean: judged on 2 of 3 seeds"]


def test_no_language_may_bear_twice_the_mean(load: Any, row: Any) -> None:
    """Chinese users touched five times as often as all are named; two unlucky accounts are not."""
    bars, speakers = load("bars"), load("ledger").Speakers
    others = speakers(100_000, 100, 20, 4000, 10)
    hurt = row(languages={"en": others, "zh": speakers(2000, 2, 2, 100, 5)})
    assert "language zh" in bars.shortfalls([hurt], bars.JUDGED)[0]
    unlucky = row(languages={"en": others, "zh": speakers(2000, 9, 2, 100, 2)})
    assert bars.shortfalls([unlucky], bars.JUDGED) == []
    prompts = row(languages={"en": others, "zh": speakers(2000, 20, 6, 0, 0)})
    assert "exchanges contained" in bars.shortfalls([prompts], bars.JUDGED)[0]
