from __future__ import annotations

from guard.notice import notice, notice_body, notice_headers
from guard.types import Decision

DEGRADED = Decision("degrade", True, 200, "abc", 0.7, "suspect", reductions=(("budget", 512),), notice="header")


def test_a_decision_that_tells_nothing_says_nothing() -> None:
    """No header and no word in the answer: not even the reference."""
    silent = Decision("degrade", True, 200, "abc", 0.7, "suspect", reductions=(("budget", 512),))
    assert (notice(silent), notice_headers(silent), notice_body(silent)) == ("none", (), None)


def test_body_is_header_and_body() -> None:
    """A client that can't read the one reads the other."""
    told = Decision("degrade", True, 200, "abc", 0.7, "suspect", reductions=(("budget", 512),), notice="body")
    assert notice_headers(told) == notice_headers(DEGRADED)
    body = notice_body(told)
    assert body is not None
    assert (body["reference"], body["budget"]) == ("abc", 512)
    assert "contact the operator" in body["message"]
    assert notice_body(DEGRADED) is None


def test_nothing_of_suspicion_is_told() -> None:
    """Neither score nor band."""
    assert b"0.7" not in repr(notice_headers(DEGRADED)).encode()
    assert b"suspect" not in repr(notice_headers(DEGRADED)).encode()
