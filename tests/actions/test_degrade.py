from __future__ import annotations

import http_sfv

from guard.actions.degrade import PLUGIN
from guard.contracts import Dialect
from guard.degrading import Wanted
from tests.actions.conftest import decision

REDUCTIONS = (("budget", 512), ("logprobs", True), ("reasoning", True), ("model", "small"), ("pace", 12.5))


def test_degrade_says_what_is_reduced(dialect: Dialect) -> None:
    """To the edge, and to the client in a header that any parser of structured fields reads."""
    forward = PLUGIN().apply(decision("degrade", reductions=REDUCTIONS, notice="header"), dialect)
    field = http_sfv.Dictionary()
    field.parse(dict(forward.headers)[b"x-guard-notice"])

    assert forward.wanted == Wanted(512, True, True, "small", False, 12.5)
    assert {name: member.value for name, member in field.items()} == {**dict(REDUCTIONS), "pace": 12.5}
    assert forward.notice is None
    assert forward.hold_s == 0


def test_a_model_of_any_name_can_be_told(dialect: Dialect) -> None:
    """What is no ASCII is a display string."""
    forward = PLUGIN().apply(decision("degrade", reductions=(("model", "klein-ä"),), notice="header"), dialect)
    assert dict(forward.headers)[b"x-guard-notice"] == b'model=%"klein-%c3%a4"'


def test_a_grant_that_is_told_is_told(dialect: Dialect) -> None:
    """Whoever measures the model with the operator's word knows that this was not the model as it is."""
    silent = decision("degrade", reductions=REDUCTIONS, notice="none")
    granted = decision("degrade", reductions=REDUCTIONS, notice="none", grant="org:lab", told=True)
    untold = decision("degrade", reductions=REDUCTIONS, notice="none", grant="org:lab", told=False)

    assert PLUGIN().apply(silent, dialect).headers == PLUGIN().apply(untold, dialect).headers == ()
    assert b"x-guard-notice" in dict(PLUGIN().apply(granted, dialect).headers)
