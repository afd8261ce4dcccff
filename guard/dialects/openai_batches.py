"""OpenAI batches: the requests stand in a file that was sent elsewhere, so what they ask can't be read here.

What can't be judged is refused. Who wants to offer batches says what one costs, as a flat price:
``routes = [..., { path = "/v1/batches", flat = 100000 }, { path = "/v1/batches/*", flat = 1 }]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guard.errors import BadExchange
from guard.openai_shape import OpenAIErrors
from guard.types import Ask, Route, Tally

_BATCHES, _BATCH = "/v1/batches", "/v1/batches/{id}"


class OpenAIBatches(OpenAIErrors):
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


PLUGIN = OpenAIBatches
