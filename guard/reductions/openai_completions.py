"""Reducing OpenAI completions. There is no reasoning in that API, and no place for an instruction: a rule that wants a concise
answer limits here instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from guard.degrading import Wanted, Watch, capped
from guard.types import JSONObject, Route

_BUDGETS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens", "num_predict")
_LOGPROBS: Final = ("logprobs", "prompt_logprobs", "logit_bias")


class OpenAICompletions:
    name = "openai_completions"
    able = frozenset({"budget", "logprobs", "reasoning", "model"})

    def request(self, body: JSONObject, wanted: Wanted, route: Route) -> Watch:
        if wanted.model:
            body["model"] = wanted.model
        if wanted.budget_tokens:
            for key in [key for key in _BUDGETS if body.get(key) is not None] or _BUDGETS[:1]:
                body[key] = capped(body.get(key), wanted.budget_tokens, None)
            for key in ("n", "best_of"):
                if body.get(key) is not None:
                    body[key] = 1
        if wanted.logprobs:
            for key in _LOGPROBS:
                body.pop(key, None)
        return Watch(logprobs=wanted.logprobs)

    def answer(self, payload: JSONObject, watch: Watch) -> None:
        if watch.logprobs:
            _blank(payload)

    def stream(self, watch: Watch) -> Events:
        return Events()

    def tell(self, payload: JSONObject, notice: JSONObject) -> bool:
        if type(payload.get("choices")) is not list:
            return False
        payload["guard"] = notice
        return True


class Events:
    """One stream: each event by itself."""

    __slots__ = ()

    def reduce(self, event: JSONObject) -> Sequence[JSONObject] | None:
        return (event,) if _blank(event) else None


def _blank(payload: JSONObject) -> bool:
    """Makes null of the log-probabilities of each choice; whether there were any."""
    choices = payload.get("choices")
    found = False
    for holder in [payload, *choices] if type(choices) is list else [payload]:
        if type(holder) is dict:
            for key in ("logprobs", "prompt_logprobs"):
                if holder.get(key) is not None:
                    holder[key] = None
                    found = True
    return found


PLUGIN = OpenAICompletions
