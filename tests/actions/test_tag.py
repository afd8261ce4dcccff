from __future__ import annotations

from guard.actions.tag import PLUGIN
from guard.contracts import Dialect, Forward
from tests.actions.conftest import decision


def test_tag_adds_the_reference_and_nothing_else(dialect: Dialect) -> None:
    """The operator can find the exchange; score, band and reasons stay inside (SECURITY 72)."""
    assert PLUGIN().apply(decision("tag"), dialect) == Forward(((b"x-guard-reference", b"0123456789ab"),))
