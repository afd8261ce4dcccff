"""Reducing any JSON body: what the route's options say where it stands, and nothing of reasoning, for which there is no common word.

A rule that also reduces reasoning, or asks for a concise answer, can't be carried out here; such an exchange is limited instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from guard.degrading import Wanted, Watch, capped
from guard.types import JSONObject, Route

_BUDGETS: Final = ("max_tokens", "max_new_tokens", "max_completion_tokens", "max_output_tokens", "num_predict")
_CHOICES: Final = ("n", "best_of", "num_return_sequences")
_ASKED: Final = (
    "logprobs",
    "top_logprobs",
    "prompt_logprobs",
    "logit_bias",
    "return_logprob",
    "top_n_tokens",
    "n_probs",
)
_ANSWERED: Final = frozenset(
    {"logprobs", "logprob", "top_logprobs", "token_logprobs", "prompt_logprobs", "completion_probabilities"}
    | {"top_tokens", "input_token_logprobs", "output_token_logprobs", "input_top_logprobs", "output_top_logprobs"}
)
_MOST_LEVELS: Final = 32


class JSONBody:
    name = "json"
    able = frozenset({"budget", "logprobs", "model"})

    def request(self, body: JSONObject, wanted: Wanted, route: Route) -> Watch:
        options = dict(route.options)
        where = options.get("max_tokens", "max_tokens").split(".")
        parents = [body] if len(where) == 1 else [body, _holder(body, where)]
        if wanted.model:
            named = options.get("model", "model").split(".")
            _holder(body, named)[named[-1]] = wanted.model
        if wanted.budget_tokens:
            for parent in parents:
                for key in {*_BUDGETS, where[-1]} & parent.keys():
                    parent[key] = capped(parent[key], wanted.budget_tokens, None)
                for key in _CHOICES:
                    if parent.get(key) is not None:
                        parent[key] = 1
            if not any(parent.get(key) is not None for parent in parents for key in (*_BUDGETS, where[-1])):
                parents[-1][where[-1]] = wanted.budget_tokens
        if wanted.logprobs:
            for parent in parents:
                for key in _ASKED:
                    parent.pop(key, None)
        return Watch(logprobs=wanted.logprobs)

    def answer(self, payload: JSONObject, watch: Watch) -> None:
        if watch.logprobs:
            _blank(payload, _MOST_LEVELS)

    def stream(self, watch: Watch) -> Events:
        return Events()

    def tell(self, payload: JSONObject, notice: JSONObject) -> bool:
        payload["guard"] = notice
        return True


class Events:
    """One stream: each event by itself."""

    __slots__ = ()

    def reduce(self, event: JSONObject) -> Sequence[JSONObject] | None:
        return (event,) if _blank(event, _MOST_LEVELS) else None


def _holder(body: JSONObject, path: list[str]) -> JSONObject:
    """The object that holds what stands at ``path``, made where there is none."""
    holder = body
    for name in path[:-1]:
        below = holder.get(name)
        if type(below) is not dict:
            below = holder[name] = {}
        holder = below
    return holder


def _blank(value: Any, levels: int) -> bool:
    """Makes null of every log-probability; whether there was one."""
    found = False
    if levels and type(value) is dict:
        for key, part in value.items():
            if key in _ANSWERED:
                if part is not None:
                    value[key] = None
                    found = True
            elif type(part) is dict or type(part) is list:
                found |= _blank(part, levels - 1)
    elif levels and type(value) is list:
        for part in value:
            found |= _blank(part, levels - 1)
    return found


PLUGIN = JSONBody
