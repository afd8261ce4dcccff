"""The closed loop: an operator that reacts against guard itself."""

from __future__ import annotations

from typing import Any

import pytest

from guard.config import load
from guard.simulation.campaigns import SHAPES
from guard.simulation.loop import Result, heard, play, report
from guard.simulation.operators import STRATEGIES, Heard
from guard.simulation.traffic import Population
from guard.types import Decision

OPEN = """
version = 1
mode = "enforce"
[ceilings]
mode = "off"
"""


def played(policy: str, strategy: str) -> Result:
    population = Population(2.0, 60, 1)
    chosen = STRATEGIES[strategy]
    operator = chosen.begins(population.stage("operator"), SHAPES["hydra"], "hydra", 30)
    return play(load(policy), population.ordinary(), operator, chosen)


def test_who_goes_on_gets_next_to_nothing() -> None:
    """The template is found within some dozens of exchanges, every account is burnt, nobody else is touched."""
    result = played("standard", "goes-on")
    assert result.unopposed == 30 * 26
    assert result.sent == pytest.approx(result.unopposed, rel=0.05)
    assert result.got < 80
    assert (result.used, result.burnt) == (30, 30)
    assert result.price > 300
    assert (result.touched, result.contained, result.faults) == (0.0, 0.0, "")


def test_a_policy_that_contains_nothing_yields_everything() -> None:
    """The yield is a share of what it would have got, and that is what it gets where nobody minds."""
    result = played(OPEN, "goes-on")
    assert result.got == result.sent
    assert result.part == pytest.approx(1.0, rel=0.05)
    assert result.burnt == 0
    assert [each.partition(":")[2].split()[0:3] for each in result.shortfalls()] == [
        ["the", "yield", "is"],
        ["0", "accounts", "burnt"],
    ]


@pytest.mark.parametrize(
    ("made", "client"),
    [
        ({"action": "allow"}, Heard(200)),
        ({"action": "refuse", "status": 403}, Heard(403)),
        ({"action": "degrade", "notice": "header"}, Heard(200, reduced=True)),
        ({"action": "degrade", "notice": "none"}, Heard(200)),
        ({"action": "delay", "delay_s": 9.0}, Heard(200, waited_s=9.0)),
    ],
)
def test_the_operator_hears_what_a_client_sees(made: dict[str, Any], client: Heard) -> None:
    """A status, a notice, a wait: no score, no reason, and nothing of a reduction that nobody is told of."""
    decision = Decision(**{"enforced": True, "status": 200, "reference": "", "score": 0.9, "band": "suspect", **made})
    assert heard(decision) == client


def test_every_bar_that_is_missed_is_named() -> None:
    """One sentence each; what holds all of them says nothing."""
    good = Result("goes on", True, 1000, 1000, 40, 50, 40, 0.001, 0.004, "")
    assert list(good.shortfalls()) == []
    bad = Result("rotates", True, 1000, 1000, 400, 10, 4, 0.003, 0.006, "scoring: 1")
    said = list(bad.shortfalls())
    assert len(said) == 5
    assert "40.00 %" in said[1]
    table = "\n".join(report([good, bad]))
    assert table.count("✓") == table.count("✗") == 4
