"""OpenAI chat completions, as the official SDK sends them to ``<base_url>/chat/completions``.

Also what compatible servers add: ``reasoning_content``, the budget aliases of other engines, ``prompt_logprobs``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from guard.counting import count_strings, count_text
from guard.heard import last_said
from guard.openai_shape import OpenAIErrors, count_usage
from guard.reading import (
    MOST_CHOICES,
    ModelNames,
    canonical,
    collect,
    fields,
    flag,
    invalid,
    items,
    missing,
    text,
    whole_number,
)
from guard.types import Ask, JSONObject, Route, Tally, Turn

_MOST_MESSAGES = 10_000
_MOST_PARTS = 10_000
_MOST_TOOLS = 1_000
_MOST_LOGPROBS = 1_000
_SYSTEM = frozenset({"system", "developer"})
_ROLES = _SYSTEM | {"user", "assistant", "tool", "function"}
# What a field of the body is; one that is not named here is text like any other.
_FIELDS: dict[str, Literal["always", "stream", "at times", "tuned", "score", "budget", "choices", "stop"]] = {
    **dict.fromkeys(("model", "messages"), "always"),
    "stream": "stream",
    **dict.fromkeys(("stream_options", "tools", "functions", "logit_bias"), "at times"),
    **dict.fromkeys(("user", "safety_identifier", "seed"), "at times"),
    # From here on: what a client tunes. It is alike for all requests of one program, so a trait of it.
    **dict.fromkeys(("temperature", "top_p", "top_k", "min_p"), "tuned"),
    **dict.fromkeys(("frequency_penalty", "presence_penalty", "repetition_penalty"), "tuned"),
    **dict.fromkeys(("response_format", "reasoning_effort", "reasoning", "thinking", "verbosity"), "tuned"),
    **dict.fromkeys(("modalities", "audio", "service_tier"), "tuned"),
    **dict.fromkeys(("tool_choice", "parallel_tool_calls", "function_call"), "tuned"),
    **dict.fromkeys(("logprobs", "top_logprobs", "prompt_logprobs"), "score"),
    **dict.fromkeys(("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens"), "budget"),
    "num_predict": "budget",
    **dict.fromkeys(("n", "best_of"), "choices"),
    "stop": "stop",
}
# Turns are made without the detour over ``Turn``'s own constructor: it takes as long as all the rest of a short message.
_new = tuple.__new__


class OpenAIChat(OpenAIErrors):
    name = "openai_chat"
    paths = ("/v1/chat/completions", "/chat/completions")

    def __init__(self) -> None:
        self._models = ModelNames()

    def read(self, body: Mapping[str, Any], route: Route) -> Ask:
        if "model" not in body:
            raise missing("model")
        if "messages" not in body:
            raise missing("messages")
        texts: list[str] = []
        system, turns, media = _conversation(items(body["messages"], "messages", _MOST_MESSAGES), texts)
        budget_tokens = 0
        choices = 1
        stream = more = False
        parameters = {}
        for key, value in body.items():
            kind = _FIELDS.get(key)
            if kind == "always" or value is None:
                continue
            if kind == "tuned":
                parameters[key] = value
                if type(value) is dict or type(value) is list:
                    media += collect(value, texts, keys=True)
            elif kind == "budget":
                parameters[key] = value
                stated = whole_number(value, key)
                budget_tokens = max(budget_tokens, stated)
            elif kind == "stream":
                stream = flag(value, key)
            elif kind == "choices":
                parameters[key] = value
                choices = max(choices, whole_number(value, key, MOST_CHOICES))
            elif kind == "at times":
                more = True
            elif kind == "score":
                parameters[key] = value
                more = True
            elif kind == "stop":
                parameters[key] = value
                media += collect(value, texts, keys=True)
            else:
                media += collect(value, texts)
        return Ask(
            "openai_chat",
            self._models.of(body["model"]),
            stream,
            system,
            turns,
            _tools(body, texts) if more and ("tools" in body or "functions" in body) else b"",
            canonical(parameters) if parameters else b"",
            budget_tokens * choices or None,
            choices,
            _user(body) if more else "",
            media,
            _top_logprobs(body) if more else 0,
            _biased(body.get("logit_bias")) if more else 0,
            tuple(texts),
            said=last_said(reversed(body["messages"])) if len(turns) > 2 else None,
        )

    def count(self, payload: Mapping[str, Any], tally: Tally) -> None:
        choices = payload.get("choices")
        if type(choices) is list:
            for choice in choices:
                if type(choice) is dict:
                    message = choice.get("delta") or choice.get("message") or choice.get("text")
                    if type(message) is dict:
                        _count_message(message, tally)
                        if type(message.get("content")) is str and not choice.get("index"):
                            tally.said(message["content"])
                    elif type(message) is str:
                        count_text(message, tally)
        count_usage(payload, tally)


def _conversation(messages: list[Any], texts: list[str]) -> tuple[str, tuple[Turn, ...], int]:
    """System text, turns and the number of media parts."""
    system: list[str] = []
    turns: list[Turn] = []
    media = 0
    for message in messages:
        if type(message) is not dict:
            raise invalid("messages[]", "an object")
        role = message.get("role")
        if (role == "user" or role == "assistant") and len(message) == 2:  # noqa: PLR1714 - a set would have to hash it
            said = message.get("content")
            if type(said) is str:
                turns.append(_new(Turn, (role, said)))
                continue
        if type(role) is not str or role not in _ROLES:
            role = _role(role, texts)
        said = message.get("content")
        if type(said) is not str or len(message) != 2:
            parts: list[str] = []
            media += _message(message, said, parts, texts)
            said = "\n".join(parts)
        if role in _SYSTEM:
            system.append(said)
        else:
            turns.append(Turn(role, said))
    return "\n".join(system), tuple(turns), media


def _role(role: Any, texts: list[str]) -> str:
    """A role that is not among the API's own, as some servers accept: text like any other."""
    folded = text(role, "messages[].role").strip().lower()
    if folded not in _ROLES:
        texts.append(role)
    return folded


def _message(message: JSONObject, content: Any, parts: list[str], texts: list[str]) -> int:
    """Gathers the text of a message that is more than a role and a string; returns its media parts."""
    media = 0
    if type(content) is str:
        parts.append(content)
    elif type(content) is list:
        for part in items(content, "messages[].content", _MOST_PARTS):
            if type(part) is dict:
                words = part.get("text")
                if type(words) is str and len(part) == 2 and part.get("type") == "text":
                    parts.append(words)
                else:
                    media += collect(part, parts)
            elif type(part) is str:
                parts.append(part)
            else:
                raise invalid("messages[].content[]", "an object")
    elif content is not None:
        raise invalid("messages[].content", "a string or a list")
    for key, value in message.items():
        if key == "name" and type(value) is str:
            texts.append(value)
        elif key not in ("role", "content"):
            media += collect({key: value}, parts)
    return media


def _tools(body: Mapping[str, Any], texts: list[str]) -> bytes:
    """The tool list in canonical form (``b""``: none); its texts go to ``texts``."""
    lists = [items(body[key], key, _MOST_TOOLS) for key in ("tools", "functions") if body.get(key) is not None]
    for tools in lists:
        for tool in tools:
            collect(fields(tool, "tools[]"), texts, keys=True)
    lists = [tools for tools in lists if tools]
    return canonical(lists[0] if len(lists) == 1 else lists) if lists else b""


def _user(body: Mapping[str, Any]) -> str:
    """The sub-user: the field that has replaced ``user`` where both stand there."""
    for key in ("safety_identifier", "user"):
        if body.get(key) is not None:
            return text(body[key], key)
    return ""


def _biased(bias: Any) -> int:
    return 0 if bias is None else len(fields(bias, "logit_bias"))


def _top_logprobs(body: Mapping[str, Any]) -> int:
    wanted = 0
    if body.get("logprobs") is not None:
        wanted = int(flag(body["logprobs"], "logprobs"))
    for key in ("top_logprobs", "prompt_logprobs"):
        if body.get(key) is not None:
            wanted = max(wanted, whole_number(body[key], key, _MOST_LOGPROBS, 0))
    return wanted


def _count_message(message: JSONObject, tally: Tally) -> None:
    for key, value in message.items():
        if key == "role" or not value:
            continue
        if type(value) is str:
            count_text(value, tally)
        elif key == "audio":
            if type(value) is dict:
                count_strings(value.get("transcript"), tally)
        elif key != "annotations":
            count_strings(value, tally)


PLUGIN = OpenAIChat
