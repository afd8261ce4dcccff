"""OpenAI batches: the requests stand in a file that was sent elsewhere, so what they ask can't be read here.

What can't be judged is refused. Who wants to offer batches says what one costs, as a flat price:
``routes = [..., { path = "/v1/batches", flat = 100000 }, { path = "/v1/batches/*", flat = 1 }]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from guard.errors import BadExchange
from guard.openai_shape import refusal
from guard.types import Ask, Decision, Route, Tally

_BATCHES, _BATCH = "/v1/batches", "/v1/batches/{id}"


class OpenAIBatches:
    name = "openai_batches"
    paths = (_BATCHES, _BATCH)
    methods = {_BATCHES: ("GET",), _BATCH: ("GET",)}

    def read(self, body: Mapping[str, Any], route: Route) -> Ask:
        raise BadExchange(
            403,
            "batch",
            "Batches are not open here.",
            "a batch's requests stand in a file that guard has not read: give the path a flat cost in [protect] routes",
        )

    def count(self, payload: Mapping[str, Any], tally: Tally) -> None:
        """Nothing of a batch's answer is counted: none passes."""

    def error(self, decision: Decision) -> bytes:
        return orjson.dumps({"error": refusal(decision)})

    def error_event(self, decision: Decision) -> bytes:
        return b"data: " + self.error(decision) + b"\n\ndata: [DONE]\n\n"


PLUGIN = OpenAIBatches
