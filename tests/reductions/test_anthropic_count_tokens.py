from __future__ import annotations

from typing import Any

from guard.degrading import Wanted, Watch
from guard.reductions.anthropic_count_tokens import PLUGIN
from guard.rewriting import rewrite_request
from guard.types import Route


def test_counting_goes_on_as_it_was() -> None:
    """Whatever a rule reduces, the request is not touched and the number is told."""
    plain = b'{"model": "m", "messages": [], "thinking": {"type": "enabled", "budget_tokens": 2000}}'
    wanted = Wanted(64, True, True, "small", True)
    assert rewrite_request(plain, PLUGIN(), wanted, Route("/v1/*", PLUGIN.name)) == (plain, Watch())
    answer: dict[str, Any] = {"input_tokens": 7}
    PLUGIN().answer(answer, Watch())
    assert answer == {"input_tokens": 7}
    assert PLUGIN().stream(Watch()).reduce(answer) is None
    assert PLUGIN().tell(answer, {"a": 1})
    assert answer["guard"] == {"a": 1}
