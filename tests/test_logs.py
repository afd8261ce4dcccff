from __future__ import annotations

import logging

import pytest

from guard.logs import Log, line

NOW = 1_700_000_000.0


def test_an_event_is_one_line_of_printable_ascii(caplog: pytest.LogCaptureFixture) -> None:
    """No value can forge a line, colour a terminal or hide in it (SECURITY 141)."""
    caplog.set_level(logging.INFO, "guard")
    nasty = 'a\r\nadmin by="root"\x1b[2J\x00\x7f\u2028\u2029\x85%0a"'
    assert Log().event("admin", NOW, what=nasty, more={"k\n": nasty})
    (record,) = caplog.records
    message = record.getMessage()
    assert message.startswith("admin what=")
    assert message.isascii()
    assert message.isprintable()
    assert len(message.splitlines()) == 1


def test_one_line_a_second_of_each_event(caplog: pytest.LogCaptureFixture) -> None:
    """A flood writes one line a second, and the next line says how many were left out (SECURITY 107, 122)."""
    caplog.set_level(logging.INFO, "guard")
    log = Log()
    written = sum(log.event("stage_error", NOW + number / 1000, stage="scoring") for number in range(3000))
    assert written == 3
    assert "repeated=999" in caplog.records[-1].getMessage()
    assert log.event("admin", NOW + 2.999, what="another event has its own second")


def test_an_unknown_event_is_a_mistake_in_the_code() -> None:
    """Names are an interface: only those that are documented can be written."""
    with pytest.raises(KeyError):
        Log().event("surprise", NOW)


def test_nothing_is_formatted_for_a_level_that_is_off() -> None:
    """A logger that is off costs nothing and uses up no second."""
    logging.getLogger("guard").setLevel(logging.CRITICAL)
    try:
        log = Log()
        assert not log.event("admin", NOW, what="x")
    finally:
        logging.getLogger("guard").setLevel(logging.NOTSET)
    assert log.event("admin", NOW, logging.WARNING, what="x")


def test_values_are_cut() -> None:
    """A long value can't fill the log."""
    assert len(line("admin", {"what": "x" * 100_000})) < 400


def test_what_is_listed_at_the_start_is_not_thinned_out(caplog: pytest.LogCaptureFixture) -> None:
    """Every route and every warning has its line, all in the same second."""
    caplog.set_level(logging.INFO, "guard")
    log = Log()
    assert all(log.event("routes", NOW, path=f"/v1/{number}") for number in range(50))
    assert len(caplog.records) == 50
