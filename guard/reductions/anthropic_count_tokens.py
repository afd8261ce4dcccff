"""Counting tokens: the model writes nothing, so there is nothing to reduce, and a client that counts before it asks goes on working."""

from __future__ import annotations

from collections.abc import Sequence

from guard.degrading import Wanted, Watch
from guard.types import JSONObject, Route


class AnthropicCountTokens:
    name = "anthropic_count_tokens"
    able = frozenset({"budget", "logprobs", "reasoning", "model", "concise"})

    def request(self, body: JSONObject, wanted: Wanted, route: Route) -> Watch:
        return Watch()

    def answer(self, payload: JSONObject, watch: Watch) -> None:
        """A number stays as it is."""

    def stream(self, watch: Watch) -> Events:
        return Events()

    def tell(self, payload: JSONObject, notice: JSONObject) -> bool:
        payload["guard"] = notice
        return True


class Events:
    """This API streams nothing."""

    __slots__ = ()

    def reduce(self, event: JSONObject) -> Sequence[JSONObject] | None:
        return None


PLUGIN = AnthropicCountTokens
