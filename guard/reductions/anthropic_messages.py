"""Reducing Anthropic messages.

Thinking is decided once a turn, for the API wants the thinking blocks of a tool loop back unchanged and takes none where thinking
was off: a turn that has begun with thinking blocks keeps them, any other goes on without thinking. At a new turn thinking is
switched off in the request; where tools are offered that is said even if the client said nothing, because blocks can't be taken
out of the answer of a loop. What the model thinks all the same is taken out of the answer, and the blocks after it move up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from guard.degrading import CONCISE, Wanted, Watch, capped, lower_effort
from guard.types import JSONObject, Route

_THINKING: Final = frozenset({"thinking", "redacted_thinking"})


class AnthropicMessages:
    name = "anthropic_messages"
    able = frozenset({"budget", "logprobs", "reasoning", "model", "concise"})

    def request(self, body: JSONObject, wanted: Wanted, route: Route) -> Watch:
        reasons = wanted.reasoning and not _turn_thinks(body["messages"])
        if reasons:
            _turn_off(body)
        if wanted.model:
            body["model"] = wanted.model
        if wanted.budget_tokens:
            thinking = body.get("thinking")
            on = type(thinking) is dict and thinking.get("type") != "disabled"
            body["max_tokens"] = capped(body["max_tokens"], wanted.budget_tokens, thinking if on else None)
        if wanted.concise:
            _instruct(body)
        return Watch(reasoning=reasons)

    def answer(self, payload: JSONObject, watch: Watch) -> None:
        blocks = payload.get("content")
        if watch.reasoning and type(blocks) is list:
            payload["content"] = [block for block in blocks if not _thinks(block)]

    def stream(self, watch: Watch) -> Events:
        return Events()

    def tell(self, payload: JSONObject, notice: JSONObject) -> bool:
        kind = payload.get("type")
        message = payload.get("message") if kind == "message_start" else payload if kind == "message" else None
        if type(message) is not dict:
            return False
        message["guard"] = notice
        return True


class Events:
    """One stream: the blocks that were taken out, and how far the others move up."""

    __slots__ = ("_taken",)

    def __init__(self) -> None:
        self._taken: list[int] = []

    def reduce(self, event: JSONObject) -> Sequence[JSONObject] | None:
        index = event.get("index")
        if type(index) is not int:
            return None
        if event.get("type") == "content_block_start" and _thinks(event.get("content_block")):
            self._taken.append(index)
        if index in self._taken:
            return ()
        before = sum(taken < index for taken in self._taken)
        if not before:
            return None
        event["index"] = index - before
        return (event,)


def _thinks(block: Any) -> bool:
    return type(block) is dict and block.get("type") in _THINKING


def _turn_thinks(messages: list[Any]) -> bool:
    """Whether the turn under way has thinking blocks: since the user's last message that is more than tools' results."""
    for message in reversed(messages):
        if type(message) is not dict:
            continue
        content = message.get("content")
        blocks = content if type(content) is list else []
        if str(message.get("role")).strip().lower() == "user":
            if not any(type(block) is dict and str(block.get("type")).endswith("tool_result") for block in blocks):
                return False
        elif any(_thinks(block) for block in blocks):
            return True
    return False


def _turn_off(body: JSONObject) -> None:
    if body.get("thinking") is not None or body.get("tools"):
        body["thinking"] = {"type": "disabled"}
    lower_effort(body, "effort")
    output = body.get("output_config")
    if type(output) is dict:
        lower_effort(output, "effort")
    management = body.get("context_management")
    if type(management) is dict and type(management.get("edits")) is list:
        # The API refuses to clear thinking where there is none.
        management["edits"] = [
            edit
            for edit in management["edits"]
            if not (type(edit) is dict and str(edit.get("type")).startswith("clear_thinking"))
        ]


def _instruct(body: JSONObject) -> None:
    """After what is there, so that a cached beginning stays cached."""
    system = body.get("system")
    if type(system) is str:
        body["system"] = f"{system}\n\n{CONCISE}"
    elif type(system) is list:
        body["system"] = [*system, {"type": "text", "text": CONCISE}]
    else:
        body["system"] = CONCISE


PLUGIN = AnthropicMessages
