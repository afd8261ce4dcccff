from __future__ import annotations

import json

import pytest

from guard.dialects.anthropic_count_tokens import AnthropicCountTokens
from guard.errors import BadExchange
from guard.types import Route, Tally, Turn

from .conftest import LIMITED

ROUTE = Route("/v1/messages/count_tokens", "anthropic_count_tokens")
COUNT = AnthropicCountTokens()
BASE = {"model": "claude-x", "messages": [{"role": "user", "content": "Hello"}]}


def test_it_is_read_like_a_message_without_an_answer() -> None:
    """Every text is there, and no output is reserved, whatever the request says of it."""
    tools = [{"name": "f", "description": "finds"}]
    thinking = {"type": "enabled", "budget_tokens": 5000}
    ask = COUNT.read(BASE | {"system": "Be brief.", "tools": tools, "thinking": thinking}, ROUTE)

    assert (ask.dialect, ask.model, ask.system, ask.turns) == (
        "anthropic_count_tokens",
        "claude-x",
        "Be brief.",
        (Turn("user", "Hello"),),
    )
    assert "finds" in ask.texts
    assert ask.budget_tokens == 0
    assert ask.parameters == b'{"thinking":{"budget_tokens":5000,"type":"enabled"}}'


@pytest.mark.parametrize("body", [{}, {"model": "x"}, BASE | {"messages": "Hello"}, BASE | {"max_tokens": "9"}])
def test_what_can_not_be_judged_is_refused(body: dict[str, object]) -> None:
    """As a message is."""
    with pytest.raises(BadExchange) as caught:
        COUNT.read(body, ROUTE)
    assert caught.value.status == 400


def test_what_is_output() -> None:
    """Nothing; the count itself is what was read."""
    tally = Tally()
    COUNT.count({"input_tokens": 31}, tally)
    COUNT.count({"type": "error"}, tally)
    assert tally == Tally(0, 31, 0)


def test_errors() -> None:
    """In Anthropic's shape."""
    assert json.loads(COUNT.error(LIMITED))["error"]["type"] == "rate_limit_error"
    assert COUNT.error_event(LIMITED).startswith(b"event: error\n")
