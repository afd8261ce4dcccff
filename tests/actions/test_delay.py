from __future__ import annotations

from guard.actions.delay import PLUGIN
from guard.contracts import Dialect, Forward
from tests.actions.conftest import decision


def test_delay_holds_and_tells(dialect: Dialect) -> None:
    """As long as the decision says; the client reads how long it was kept."""
    headers = ((b"x-guard-reference", b"0123456789ab"), (b"x-guard-notice", b"delay=1.5"))
    assert PLUGIN().apply(decision("delay", delay_s=1.5, notice="header"), dialect) == Forward(headers, 1.5)


def test_delay_may_be_silent(dialect: Dialect) -> None:
    """Where the operator's rule says so."""
    assert PLUGIN().apply(decision("delay", delay_s=1.5, notice="none"), dialect) == Forward((), 1.5)


def test_delay_tells_in_the_body(dialect: Dialect) -> None:
    """The sentence, the reference and the time; no secret."""
    notice = PLUGIN().apply(decision("delay", delay_s=1.5, notice="body"), dialect).notice
    assert notice == {
        "reference": "0123456789ab",
        "action": "delay",
        "delay": 1.5,
        "message": "The client may read this.",
    }
