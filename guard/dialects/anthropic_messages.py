"""Anthropic messages, as the official SDK sends them to ``/v1/messages``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import orjson

from guard.counting import believable, count_strings, count_text, report_input, report_output
from guard.heard import brought
from guard.problem import problem
from guard.reading import ModelNames, canonical, collect, fields, flag, invalid, items, missing, text, whole_number
from guard.types import Ask, Decision, JSONObject, Route, Tally, Turn

_MOST_MESSAGES = 10_000
_MOST_PARTS = 10_000
_MOST_TOOLS = 1_000
_ROLES = frozenset({"user", "assistant", "system"})
# What a field of the body is; one that is not named here is text like any other.
_FIELDS: dict[str, Literal["always", "at times", "tuned"]] = {
    **dict.fromkeys(("model", "messages"), "always"),
    **dict.fromkeys(("system", "stream", "tools", "metadata"), "at times"),
    # What a client tunes; alike for all requests of one program, so a trait of it.
    **dict.fromkeys(
        ("temperature", "top_p", "top_k", "max_tokens", "thinking", "stop_sequences", "tool_choice"), "tuned"
    ),
    **dict.fromkeys(("service_tier", "speed", "effort"), "tuned"),
    **dict.fromkeys(("output_config", "output_format", "context_management"), "tuned"),
}
# Turns are made without the detour over ``Turn``'s own constructor: it takes as long as all the rest of a short message.
_new = tuple.__new__
_DELTAS = ("text", "thinking", "partial_json")
_ERROR_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
}


class AnthropicMessages:
    name = "anthropic_messages"
    paths = ("/v1/messages",)

    def __init__(self) -> None:
        self._models = ModelNames()

    def read(self, body: Mapping[str, Any], route: Route) -> Ask:
        for key in ("model", "messages", "max_tokens"):
            if key not in body:
                raise missing(key)
        texts: list[str] = []
        system: list[str] = []
        turns: list[Turn] = []
        stated = body.get("system")
        media = 0 if stated is None else _content(stated, "system", system, system)
        for message in items(body["messages"], "messages", _MOST_MESSAGES):
            if type(message) is not dict:
                raise invalid("messages[]", "an object")
            role, said = message.get("role"), message.get("content")
            if type(said) is str and len(message) == 2:
                if role == "user" or role == "assistant":  # noqa: PLR1714 - a set would have to hash it
                    turns.append(_new(Turn, (role, said)))
                    continue
                if role == "system":
                    system.append(said)
                    continue
            if type(role) is not str or role not in _ROLES:
                role = _role(role, texts)
            media += _message(message, role, system, turns)
        said, sealed = brought(reversed(body["messages"])) if len(turns) > 2 else (None, ())
        parameters = {}
        for key, value in body.items():
            kind = _FIELDS.get(key)
            if kind == "tuned":
                if value is not None:
                    parameters[key] = value
                    if type(value) is dict or type(value) is list:
                        collect(value, texts, keys=True)
            elif kind is None and value is not None:
                media += collect(value, texts)
        return Ask(
            "anthropic_messages",
            self._models.of(body["model"]),
            flag(body["stream"], "stream") if "stream" in body else False,
            "\n".join(system),
            tuple(turns),
            _tools(body["tools"], texts) if "tools" in body else b"",
            canonical(parameters),
            _budget(body),
            user=_user(body["metadata"], texts) if "metadata" in body else "",
            media=media,
            texts=tuple(texts),
            said=said,
            sealed=sealed,
        )

    def count(self, payload: Mapping[str, Any], tally: Tally) -> None:
        kind = payload.get("type")
        if kind == "content_block_delta":
            delta = payload.get("delta")
            if type(delta) is dict:
                for key in _DELTAS:
                    words = delta.get(key)
                    if type(words) is str:
                        count_text(words, tally)
                        if key == "text":
                            tally.said(words)
                        return
                if delta.get("type") == "signature_delta":
                    if type(delta.get("signature")) is str:
                        tally.sealed(delta["signature"])
                else:
                    count_strings(delta, tally)
        elif kind == "content_block_start":
            _count_block(payload.get("content_block"), tally)
        elif kind == "message_start":
            message = payload.get("message")
            if type(message) is dict:
                _count_input(message.get("usage"), tally)
                _count_blocks(message.get("content"), tally)
        elif kind in ("message_delta", "message"):
            usage = payload.get("usage")
            _count_input(usage, tally)
            if type(usage) is dict:
                report_output(usage.get("output_tokens"), tally)
            _count_blocks(payload.get("content"), tally)

    def error(self, decision: Decision) -> bytes:
        default = "api_error" if decision.status >= 500 else "invalid_request_error"
        error = {
            "type": _ERROR_TYPES.get(decision.status, default),
            "message": decision.public,
            "problem": problem(decision),
        }
        return orjson.dumps({"type": "error", "error": error, "request_id": decision.reference})

    def error_event(self, decision: Decision) -> bytes:
        return b"event: error\ndata: " + self.error(decision) + b"\n\n"


def _message(message: JSONObject, role: str, system: list[str], turns: list[Turn]) -> int:
    """Adds a message that is more than a role and a string; returns its media parts.

    Tool results stand in the user's message; they become a turn of the role ``tool`` before the user's own words.
    """
    said: list[str] = []
    results: list[str] = []
    media = _content(message.get("content"), "messages[].content", said, results)
    for key, value in message.items():
        if key not in ("role", "content"):
            media += collect({key: value}, said)
    if role == "system":
        system.extend(results)
        system.extend(said)
        return media
    if results:
        turns.append(Turn("tool", "\n".join(results)))
    if said or not results:
        turns.append(Turn(role, "\n".join(said)))
    return media


def _content(content: Any, field: str, said: list[str], results: list[str]) -> int:
    """Gathers the text of a content (a string, a list of blocks, nothing); that of tool results goes to ``results``."""
    if type(content) is str:
        said.append(content)
        return 0
    if content is None:
        return 0
    if type(content) is not list:
        raise invalid(field, "a string or a list")
    media = 0
    for block in items(content, field, _MOST_PARTS):
        if type(block) is dict:
            kind, words = block.get("type"), block.get("text")
            if type(words) is str and kind == "text" and len(block) == 2:
                said.append(words)
            elif type(kind) is str and kind.endswith("tool_result"):
                media += collect(block, results)
            else:
                media += collect(block, said)
        elif type(block) is str:
            said.append(block)
        else:
            raise invalid(f"{field}[]", "an object")
    return media


def _role(role: Any, texts: list[str]) -> str:
    """A role that is not among the API's own, as some servers accept: text like any other."""
    folded = text(role, "messages[].role").strip().lower()
    if folded not in _ROLES:
        texts.append(role)
    return folded


def _tools(tools: Any, texts: list[str]) -> bytes:
    """The tool list in canonical form (``b""``: none); its texts go to ``texts``."""
    if tools is None:
        return b""
    for tool in items(tools, "tools", _MOST_TOOLS):
        collect(fields(tool, "tools[]"), texts, keys=True)
    return canonical(tools) if tools else b""


def _budget(body: Mapping[str, Any]) -> int:
    """``max_tokens`` contains the thinking budget, except with interleaved thinking: then the thinking budget is the larger."""
    budget_tokens = whole_number(body["max_tokens"], "max_tokens")
    thinking = body.get("thinking")
    if thinking is None:
        return budget_tokens
    wanted = fields(thinking, "thinking").get("budget_tokens")
    return budget_tokens if wanted is None else max(budget_tokens, whole_number(wanted, "thinking.budget_tokens"))


def _user(metadata: Any, texts: list[str]) -> str:
    """The sub-user of ``metadata.user_id``; what else stands in the metadata is text."""
    if metadata is None:
        return ""
    metadata = fields(metadata, "metadata")
    user = metadata.get("user_id")
    if len(metadata) > (user is not None):
        collect({key: value for key, value in metadata.items() if key != "user_id"}, texts)
    return "" if user is None else text(user, "metadata.user_id")


def _count_input(usage: Any, tally: Tally) -> None:
    """Tokens read from and written to the cache are input too; the API reports them apart."""
    if type(usage) is dict and believable(usage.get("input_tokens")):
        cached = (usage.get("cache_creation_input_tokens"), usage.get("cache_read_input_tokens"))
        report_input(sum((tokens for tokens in cached if believable(tokens)), usage["input_tokens"]), tally)


def _count_blocks(blocks: Any, tally: Tally) -> None:
    if type(blocks) is list:
        for block in blocks:
            _count_block(block, tally)


def _count_block(block: Any, tally: Tally) -> None:
    """A content block: of the model's own its text; what a server tool found is no text that the model wrote."""
    if type(block) is dict:
        kind = block.get("type")
        if type(kind) is not str or not kind.endswith("tool_result"):
            count_strings(block, tally)
            if kind == "text":
                if type(block.get("text")) is str:
                    tally.said(block["text"])
            elif kind in ("thinking", "redacted_thinking"):
                signature = block.get("signature") or block.get("data")
                if type(signature) is str:
                    tally.sealed(signature)


PLUGIN = AnthropicMessages
