from __future__ import annotations

from collections.abc import Callable

from prometheus_client.parser import text_string_to_metric_families

from tests.desk import Desk, receipt

Run = Callable[..., tuple[int, str, str]]


def test_the_text_can_be_piped_to_a_textfile_collector(guard: Run, desk: Desk) -> None:
    """Exactly the exposition format."""
    desk.metrics.decided(receipt("limit"), 0.0)
    code, out, _ = guard("metrics")
    assert code == 0
    assert "guard_exchanges" in {family.name for family in text_string_to_metric_families(out)}
