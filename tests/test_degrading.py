from __future__ import annotations

from typing import Any

import pytest

from guard.degrading import Wanted, capped, lower_effort, reductions, wanted
from guard.types import Decision


def test_a_rules_options_and_the_decision_say_the_same() -> None:
    """What is recorded is what is carried out, in the order of the rule and the words of the decision log."""
    options: dict[str, Any] = {"reductions": ("pace", "budget", "reasoning"), "tokens_per_s": 20.0, "budget_tokens": 64}
    named = reductions(options)
    assert dict(named) == {"pace": 20.0, "budget": 64, "reasoning": True}
    assert wanted(Decision("degrade", True, 200, "r", 0.5, "watch", reductions=named)) == Wanted(
        64, reasoning=True, tokens_per_s=20.0
    )
    assert reductions({}) == ()


def test_pace_alone_changes_no_request() -> None:
    assert not Wanted(tokens_per_s=5).rewrites
    assert Wanted(concise=True).rewrites


@pytest.mark.parametrize(
    ("stated", "thinking", "left"),
    [
        (None, None, 512),
        (100, None, 100),
        (9000, None, 512),
        (9000, {"budget_tokens": 2000}, 2256),
        (2100, {"budget_tokens": 2000}, 2100),
        (9000, {"budget_tokens": True}, 512),
        (9000, "on", 512),
    ],
)
def test_a_budget_is_never_raised_and_leaves_room_to_think(stated: Any, thinking: Any, left: int) -> None:
    """256 tokens more than may be thought."""
    assert capped(stated, 512, thinking) == left


@pytest.mark.parametrize(
    ("stated", "left"), [("high", "low"), ("xhigh", "low"), ("none", "none"), (None, None), (5, "low")]
)
def test_effort_is_lowered_and_never_raised(stated: Any, left: Any) -> None:
    holder = {"effort": stated}
    lower_effort(holder, "effort")
    assert holder["effort"] == left
