"""Reducing OpenAI chat completions, and what compatible servers add to them.

Which field turns reasoning off is every server's own affair, so every switch that the client has set is set the other way, and
reasoning that comes all the same is taken out of the answer. Where tools are offered, reasoning that leads to a call is left:
some servers want it back with the tool's result. A tool loop goes on as it began: with reasoning if the client passes
some back, without it if it began without.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from guard.degrading import CONCISE, Wanted, Watch, capped, lower_effort
from guard.types import JSONObject, Route

_BUDGETS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens", "num_predict")
_LOGPROBS: Final = ("logprobs", "top_logprobs", "prompt_logprobs", "logit_bias")
_REASONING: Final = (
    "reasoning_content",
    "reasoning",
    "reasoning_details",
    "reasoning_text",
    "thinking_blocks",
    "thinking",
)
_SWITCHES: Final = ("enable_thinking", "thinking", "include_reasoning", "think")
# Models of the vendor that refuses ``max_tokens`` for some of them and knows the other name for all.
_NEW_NAMES: Final = re.compile(r"(?:[^/]*/)*(?:gpt-(?!oss)|chatgpt-|o\d)")
_MOST_HELD: Final = 4_096
_MOST_HELD_CHARACTERS: Final = 1024 * 1024


class OpenAIChat:
    name = "openai_chat"
    able = frozenset({"budget", "logprobs", "reasoning", "model", "concise"})

    def request(self, body: JSONObject, wanted: Wanted, route: Route) -> Watch:
        reasons = wanted.reasoning and not _turn_reasons(body["messages"])
        if reasons:
            _turn_off(body)
        if wanted.model:
            body["model"] = wanted.model
        if wanted.budget_tokens:
            _cap(body, wanted.budget_tokens)
        if wanted.logprobs:
            for key in _LOGPROBS:
                body.pop(key, None)
        if wanted.concise:
            _instruct(body["messages"])
        return Watch(wanted.logprobs, reasons, bool(body.get("tools") or body.get("functions")))

    def answer(self, payload: JSONObject, watch: Watch) -> None:
        if watch.logprobs and payload.get("prompt_logprobs") is not None:
            payload["prompt_logprobs"] = None
        for choice in _choices(payload):
            if watch.logprobs and choice.get("logprobs") is not None:
                choice["logprobs"] = None
            message = choice.get("message")
            if watch.reasoning and type(message) is dict and not (watch.tools and _calls(message)):
                _take(message)

    def stream(self, watch: Watch) -> Events:
        return Events(watch)

    def tell(self, payload: JSONObject, notice: JSONObject) -> bool:
        if type(payload.get("choices")) is not list:
            return False
        payload["guard"] = notice
        return True


class Events:
    """One stream. With tools offered reasoning is held back until it is known whether it leads to a call."""

    __slots__ = ("_called", "_characters", "_held", "_watch")

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._called: set[Any] = set()
        # Deltas of reasoning that may still be let through, with the index of their choice.
        self._held: list[tuple[Any, JSONObject]] = []
        self._characters = 0

    def reduce(self, event: JSONObject) -> Sequence[JSONObject] | None:
        watch = self._watch
        changed = False
        released: list[JSONObject] = []
        if watch.logprobs and event.get("prompt_logprobs") is not None:
            event["prompt_logprobs"] = None
            changed = True
        choices = _choices(event)
        for choice in choices:
            if watch.logprobs and choice.get("logprobs") is not None:
                choice["logprobs"] = None
                changed = True
            delta = choice.get("delta")
            if not watch.reasoning or type(delta) is not dict:
                continue
            index = choice.get("index")
            if _calls(delta) and watch.tools and index not in self._called:
                self._called.add(index)
                released += self._release(index, event)
            if index not in self._called and (taken := _take(delta)):
                changed = True
                if watch.tools:
                    self._hold(index, taken)
        if not (changed or released):
            return None
        if not released and choices and all(_is_empty(choice) for choice in choices) and not event.get("usage"):
            return ()
        return (*released, event)

    def _hold(self, index: Any, taken: JSONObject) -> None:
        self._characters += sum(len(value) for value in taken.values() if type(value) is str)
        if self._characters <= _MOST_HELD_CHARACTERS and len(self._held) < _MOST_HELD:
            self._held.append((index, taken))
        else:
            self._held.clear()

    def _release(self, index: Any, event: JSONObject) -> list[JSONObject]:
        frame = {key: value for key, value in event.items() if key not in ("choices", "usage")}
        kept = [held for held in self._held if held[0] != index]
        released = [
            frame | {"choices": [{"index": at, "delta": taken, "finish_reason": None}]}
            for at, taken in self._held
            if at == index
        ]
        self._held = kept
        return released


def _choices(payload: JSONObject) -> list[JSONObject]:
    choices = payload.get("choices")
    return [choice for choice in choices if type(choice) is dict] if type(choices) is list else []


def _calls(message: JSONObject) -> bool:
    return bool(message.get("tool_calls") or message.get("function_call"))


def _take(message: JSONObject) -> JSONObject:
    """Takes the reasoning out of a message or delta; what there was of it."""
    return {key: message.pop(key) for key in _REASONING if message.get(key) is not None}


def _is_empty(choice: JSONObject) -> bool:
    return choice.get("delta") == {} and choice.get("finish_reason") is None


def _turn_reasons(messages: list[Any]) -> bool:
    """Whether the client passes reasoning back within the turn under way: since the user's last message."""
    for message in reversed(messages):
        if type(message) is dict:
            role = str(message.get("role")).strip().lower()
            if role == "user":
                return False
            if role == "assistant" and any(message.get(key) for key in _REASONING):
                return True
    return False


def _turn_off(body: JSONObject) -> None:
    """Sets every switch for reasoning that the client has set to off, or to the lowest effort there is for all models."""
    lower_effort(body, "reasoning_effort")
    body.pop("thinking_budget", None)
    template = body.get("chat_template_kwargs")
    for holder in (body, template) if type(template) is dict else (body,):
        for key in _SWITCHES:
            stated = holder.get(key)
            if type(stated) is dict:
                holder[key] = {"type": "disabled"}
            elif type(stated) is str:
                lower_effort(holder, key)
            elif stated is not None:
                holder[key] = False
    if type(template) is dict:
        lower_effort(template, "reasoning_effort")
    reasoning = body.get("reasoning")
    if type(reasoning) is dict and reasoning.get("enabled") is not False:
        for key in ("max_tokens", "summary"):
            reasoning.pop(key, None)
        reasoning.setdefault("effort", "")
        lower_effort(reasoning, "effort")


def _cap(body: JSONObject, budget_tokens: int) -> None:
    stated = [key for key in _BUDGETS if body.get(key) is not None]
    if not stated:
        model = body.get("model")
        new = type(model) is str and _NEW_NAMES.match(model.lower())
        stated = ["max_completion_tokens" if new else "max_tokens"]
    for key in stated:
        body[key] = capped(body.get(key), budget_tokens, body.get("thinking"))
    for key in ("n", "best_of"):
        if body.get(key) is not None:
            body[key] = 1


def _instruct(messages: list[Any]) -> None:
    """Adds the instruction to the system message, because some servers take no second one; without one it is the first."""
    first = messages[0] if messages else None
    if type(first) is dict and first.get("role") in ("system", "developer"):
        said = first.get("content")
        if type(said) is str:
            messages[0] = first | {"content": f"{said}\n\n{CONCISE}"}
            return
        if type(said) is list:
            messages[0] = first | {"content": [*said, {"type": "text", "text": CONCISE}]}
            return
    messages.insert(0, {"role": "system", "content": CONCISE})


PLUGIN = OpenAIChat
