"""Anthropic's counting of tokens, as the official SDK sends it to ``/v1/messages/count_tokens``: a message without an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from guard.counting import report_input, report_output
from guard.reading import canonical
from guard.registry import discover
from guard.types import Ask, Decision, Route, Tally


class AnthropicCountTokens:
    name = "anthropic_count_tokens"
    paths = ("/v1/messages/count_tokens",)

    def __init__(self) -> None:
        self._messages = discover("dialects")["anthropic_messages"]()

    def read(self, body: Mapping[str, Any], route: Route) -> Ask:
        ask: Ask = self._messages.read({"max_tokens": 1, **body}, route)
        tuned = {key: body[key] for key in ("thinking", "tool_choice") if body.get(key) is not None}
        return replace(ask, dialect=self.name, budget_tokens=0, parameters=canonical(tuned) if tuned else b"")

    def count(self, payload: Mapping[str, Any], tally: Tally) -> None:
        if "input_tokens" in payload:
            report_input(payload["input_tokens"], tally)
            report_output(0, tally)

    def error(self, decision: Decision) -> bytes:
        said: bytes = self._messages.error(decision)
        return said

    def error_event(self, decision: Decision) -> bytes:
        said: bytes = self._messages.error_event(decision)
        return said


PLUGIN = AnthropicCountTokens
