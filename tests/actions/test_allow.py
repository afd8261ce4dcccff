from __future__ import annotations

from guard.actions.allow import PLUGIN
from guard.contracts import Dialect, Forward
from tests.actions.conftest import decision


def test_allow_adds_nothing(dialect: Dialect) -> None:
    """The app's answer goes out as it is, without a trace of guard."""
    assert PLUGIN().apply(decision("allow"), dialect) == Forward(())
