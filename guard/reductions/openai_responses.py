"""Reducing OpenAI responses, also kept ones that are read again.

Reasoning is an item of its own here, which later requests refer to, or bring back with what is sealed in it. So the item stays,
with its id and its seal, and its words are taken out: a tool loop goes on, and every index of a stream stays what it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from guard.degrading import CONCISE, Wanted, Watch, capped, lower_effort
from guard.types import JSONObject, Route

_BUDGETS: Final = ("max_output_tokens", "max_tokens", "max_completion_tokens")
_LEAST_BUDGET: Final = 16
"""The API takes no smaller one."""
_LOGPROBS: Final = "message.output_text.logprobs"
_ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})


class OpenAIResponses:
    name = "openai_responses"
    able = frozenset({"budget", "logprobs", "reasoning", "model", "concise"})

    def request(self, body: JSONObject, wanted: Wanted, route: Route) -> Watch:
        reasons = wanted.reasoning and not _turn_reasons(body.get("input"))
        watch = Watch(wanted.logprobs, reasons)
        if not dict(route.options).get("path", "/responses").endswith("/responses"):
            # A kept response is read, or a conversation counted or made shorter: nothing is asked of the model that could be less.
            return watch
        if reasons:
            lower_effort(body, "reasoning_effort")
            reasoning = body.get("reasoning")
            if type(reasoning) is dict:
                lower_effort(reasoning, "effort")
                for key in ("summary", "generate_summary"):
                    reasoning.pop(key, None)
        if wanted.model:
            body["model"] = wanted.model
        if wanted.budget_tokens:
            budget_tokens = max(_LEAST_BUDGET, wanted.budget_tokens)
            for key in [key for key in _BUDGETS if body.get(key) is not None] or _BUDGETS[:1]:
                body[key] = capped(body.get(key), budget_tokens, None)
        if wanted.logprobs:
            body.pop("top_logprobs", None)
            if type(body.get("include")) is list:
                body["include"] = [name for name in body["include"] if name != _LOGPROBS]
        if wanted.concise:
            said = body.get("instructions")
            if type(said) is list:
                body["instructions"] = [*said, {"role": "developer", "content": CONCISE}]
            else:
                body["instructions"] = f"{said}\n\n{CONCISE}" if said else CONCISE
        return watch

    def answer(self, payload: JSONObject, watch: Watch) -> None:
        _clean_output(payload, watch)

    def stream(self, watch: Watch) -> Events:
        return Events(watch)

    def tell(self, payload: JSONObject, notice: JSONObject) -> bool:
        # The last event of a stream holds the whole answer, from which clients make what they return.
        response = payload.get("response") if payload.get("type") in _ENDS else payload
        if type(response) is not dict or response.get("object") != "response":
            return False
        response["guard"] = notice
        return True


class Events:
    """One stream: each event by itself, for the last ones hold all that came before."""

    __slots__ = ("_watch",)

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def reduce(self, event: JSONObject) -> Sequence[JSONObject] | None:
        watch = self._watch
        kind = str(event.get("type"))
        part = event.get("part")
        if watch.reasoning and (
            kind.startswith("response.reasoning") or (type(part) is dict and part.get("type") == "reasoning_text")
        ):
            return ()
        changed = _clean_output(event.get("response"), watch)
        changed |= _clean_item(event.get("item"), watch)
        changed |= watch.logprobs and _blank(part)
        changed |= watch.logprobs and kind.startswith("response.output_text.") and _blank(event)
        return (event,) if changed else None


def _clean_output(response: Any, watch: Watch) -> bool:
    """Whether there was something in the output of a response."""
    items = response.get("output") if type(response) is dict else None
    return any([_clean_item(item, watch) for item in items]) if type(items) is list else False


def _clean_item(value: Any, watch: Watch) -> bool:
    item: JSONObject = value if type(value) is dict else {}
    if item.get("type") == "reasoning":
        if not watch.reasoning or not (item.get("summary") or item.get("content")):
            return False
        item["summary"] = []
        item.pop("content", None)
        return True
    parts = item.get("content")
    return any([_blank(part) for part in parts]) if watch.logprobs and type(parts) is list else False


def _blank(holder: Any) -> bool:
    if type(holder) is not dict or not holder.get("logprobs"):
        return False
    holder["logprobs"] = []
    return True


def _turn_reasons(stated: Any) -> bool:
    """Whether the client passes reasoning back within the turn under way: since the user's last message."""
    items: list[Any] = stated if type(stated) is list else []
    for item in reversed(items):
        if type(item) is dict:
            if item.get("type") == "reasoning":
                return True
            if str(item.get("role")).strip().lower() == "user":
                return False
    return False


PLUGIN = OpenAIResponses
