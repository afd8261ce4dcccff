"""OpenAI responses, as the official SDK sends them to ``<base_url>/responses``, with what the API keeps of them.

``previous_response_id``, ``conversation``, references to items and the paths below ``/v1/responses/{id}`` name what was given out
before: only the account that received it may (``conversations.py``). A kept answer that is read again counts as it did.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import orjson

from guard.counting import count_strings, count_text, report_input, report_output
from guard.errors import BadExchange
from guard.heard import brought, visible
from guard.openai_items import Items
from guard.openai_shape import OpenAIErrors, refusal
from guard.reading import ModelNames, canonical, collect, fields, flag, invalid, items, missing, text, whole_number
from guard.types import Ask, Decision, JSONObject, Route, Tally

_MOST_TOOLS = 1_000
_MOST_LOGPROBS = 1_000
_MOST_INCLUDED = 100
_LOGPROBS = "message.output_text.logprobs"
_KEPT, _COMPACT, _COUNT = "/responses/{id}", "/responses/compact", "/responses/input_tokens"
# What is below a kept response, and with which method it is asked for.
_BELOW = {"": ("GET", "DELETE"), "cancel": ("POST",), "input_items": ("GET",)}
# What a field of the body is; one that is not named here is text like any other.
_FIELDS: dict[str, Literal["always", "stream", "tuned", "budget", "logprobs", "reference", "at times"]] = {
    **dict.fromkeys(("model", "input", "instructions"), "always"),
    "stream": "stream",
    **dict.fromkeys(("temperature", "top_p", "reasoning", "text", "truncation", "service_tier"), "tuned"),
    **dict.fromkeys(("tool_choice", "parallel_tool_calls", "max_tool_calls", "store", "background"), "tuned"),
    **dict.fromkeys(("context_management", "moderation", "image", "prompt_cache_retention"), "tuned"),
    **dict.fromkeys(("frequency_penalty", "presence_penalty", "reasoning_effort"), "tuned"),
    **dict.fromkeys(("max_output_tokens", "max_tokens", "max_completion_tokens"), "budget"),
    **dict.fromkeys(("top_logprobs", "include"), "logprobs"),
    **dict.fromkeys(("previous_response_id", "conversation", "prompt_cache_options"), "reference"),
    **dict.fromkeys(("tools", "user", "safety_identifier", "stream_options", "background_options"), "at times"),
}
# Fields of an answer's item that the model did not write.
_NOT_WRITTEN = frozenset({"id", "type", "status", "call_id", "encrypted_content", "result", "phase", "role"})
# What comes back from paths to what is kept: nothing that the model wrote for this request.
_BOOKKEEPING = frozenset({"list", "response.deleted", "response.input_tokens"})


class OpenAIResponses(OpenAIErrors):
    name = "openai_responses"
    paths = tuple(prefix + path for prefix in ("/v1", "") for path in ("/responses", _COMPACT, _COUNT, _KEPT))
    methods = dict.fromkeys((f"/v1{_KEPT}", _KEPT), ("GET", "DELETE"))

    def __init__(self) -> None:
        self._models = ModelNames()

    def read(self, body: Mapping[str, Any], route: Route) -> Ask:
        options = dict(route.options)
        path = options.get("path", "").removeprefix("/v1")
        if path == _KEPT:
            return self._kept(body, options)
        gathered = Items()
        if body.get("instructions") is not None:
            # The API takes a string; some servers give back, and take, a list of items.
            if type(body["instructions"]) is str:
                gathered.system.append(body["instructions"])
            else:
                gathered.media += collect(body["instructions"], gathered.system)
        if body.get("input") is not None:
            gathered.read(body["input"], "input")
        parameters: JSONObject = {}
        budget_tokens = top_logprobs = 0
        stream = False
        texts = gathered.texts
        for key, value in body.items():
            kind = _FIELDS.get(key)
            if kind in ("always", "at times") or value is None:
                continue
            if kind == "tuned":
                parameters[key] = value
                if type(value) is dict or type(value) is list:
                    gathered.media += collect(value, texts, keys=True)
            elif kind == "budget":
                parameters[key] = value
                budget_tokens = max(budget_tokens, whole_number(value, key))
            elif kind == "stream":
                stream = flag(value, key)
            elif kind == "logprobs":
                parameters[key] = value
                top_logprobs = max(top_logprobs, _logprobs(key, value))
            elif kind == "reference":
                _refer(key, value, gathered)
            else:
                gathered.media += collect(value, texts)
        said, sealed = brought(reversed(body["input"])) if type(body.get("input")) is list else (None, ())
        if not (body.get("input") or gathered.kept or body.get("prompt") is not None):
            raise missing("input")
        return Ask(
            "openai_responses",
            self._model(body, path),
            stream,
            "\n".join(gathered.system),
            tuple(gathered.turns),
            _tools(body.get("tools"), texts),
            canonical(parameters) if parameters else b"",
            0 if path == _COUNT else budget_tokens or None,
            user=_user(body),
            media=gathered.media,
            top_logprobs=top_logprobs,
            texts=tuple(texts),
            continues=tuple(gathered.kept),
            said=said,
            sealed=sealed,
        )

    def count(self, payload: Mapping[str, Any], tally: Tally) -> None:
        kind = payload.get("type")
        if type(kind) is str:
            if kind.endswith(".delta"):
                delta = payload.get("delta")
                if type(delta) is str:
                    count_text(delta, tally)
                    if kind == "response.output_text.delta":
                        tally.said(delta)
                else:
                    count_strings(delta, tally)
            elif kind in ("response.output_item.added", "response.output_item.done"):
                _issue(payload.get("item"), tally)
                if kind.endswith("done"):
                    _seal(payload.get("item"), tally)
            elif kind.startswith("response."):
                response = payload.get("response")
                if type(response) is dict:
                    _issue(response, tally)
                    _report(response.get("usage"), tally)
            return
        shape = payload.get("object")
        if type(shape) is not str:
            return
        if shape in ("response", "response.compaction"):
            _issue(payload, tally)
            usage = payload.get("usage")
            if type(usage) is dict:
                _report(usage, tally)
            elif payload.get("status") in ("queued", "in_progress"):
                report_output(0, tally)
            if tally.output_tokens < 0:
                for item in _list(payload.get("output")):
                    count_strings({key: value for key, value in item.items() if key not in _NOT_WRITTEN}, tally)
            for item in _list(payload.get("output")):
                _issue(item, tally)
                _seal(item, tally)
                tally.said(visible(item) or "")
        elif shape in _BOOKKEEPING:
            report_output(0, tally)

    def error_event(self, decision: Decision) -> bytes:
        error = refusal(decision)
        event = {"type": "error", "code": error["code"], "message": error["message"], "param": None}
        # The SDK makes an exception of what has ``error`` in it; the event itself has neither.
        return b"event: error\ndata: " + orjson.dumps(event | {"sequence_number": 0, "error": error}) + b"\n\n"

    def _model(self, body: Mapping[str, Any], path: str) -> str:
        if body.get("model") is not None:
            return self._models.of(body["model"])
        if body.get("prompt") is None and path != _COUNT:
            raise missing("model")
        return ""

    def _kept(self, body: Mapping[str, Any], options: Mapping[str, str]) -> Ask:
        """A kept response, asked for by its id."""
        name, _, below = options["id"].partition("/")
        if options.get("method", "POST") not in _BELOW.get(below, ()):
            raise BadExchange(405, "method", "This path is not open to that method.")
        texts: list[str] = []
        collect(dict(body), texts)
        return Ask(self.name, "", False, "", (), b"", b"", 0, texts=tuple(texts), continues=(name,))


def _refer(key: str, value: Any, gathered: Items) -> None:
    """What a field refers to, and the text beside it."""
    if key == "previous_response_id":
        gathered.refer(value, key)
    elif key == "conversation":
        if type(value) is dict:
            gathered.refer(value.get("id"), "conversation.id")
            collect({name: part for name, part in value.items() if name != "id"}, gathered.texts)
        else:
            gathered.refer(value, key)
    else:
        compared = fields(value, key).get("comparison_response_id")
        if compared is not None:
            gathered.refer(compared, f"{key}.comparison_response_id")
        collect({name: part for name, part in value.items() if name != "comparison_response_id"}, gathered.texts)


def _tools(tools: Any, texts: list[str]) -> bytes:
    """The tool list in canonical form (``b""``: none); its texts go to ``texts``."""
    if tools is None:
        return b""
    for tool in items(tools, "tools", _MOST_TOOLS):
        collect(fields(tool, "tools[]"), texts, keys=True)
    return canonical(tools) if tools else b""


def _user(body: Mapping[str, Any]) -> str:
    """The sub-user: the field that has replaced ``user`` where both stand there."""
    for key in ("safety_identifier", "user"):
        if body.get(key) is not None:
            return text(body[key], key)
    return ""


def _logprobs(key: str, value: Any) -> int:
    if key == "top_logprobs":
        return whole_number(value, key, _MOST_LOGPROBS, 0)
    included = items(value, key, _MOST_INCLUDED)
    if any(type(name) is not str for name in included):
        raise invalid(f"{key}[]", "a string")
    return int(_LOGPROBS in included)


def _list(value: Any) -> list[JSONObject]:
    return [item for item in value if type(item) is dict] if type(value) is list else []


def _issue(value: Any, tally: Tally) -> None:
    """Tells of the id of a response or an item, and of the conversation it belongs to."""
    if type(value) is dict:
        for holder in (value, value.get("conversation")):
            name = holder.get("id") if type(holder) is dict else None
            if type(name) is str and name:
                tally.issued(name)


def _seal(item: Any, tally: Tally) -> None:
    """Tells of the reasoning that an item seals."""
    if type(item) is dict and type(item.get("encrypted_content")) is str:
        tally.sealed(item["encrypted_content"])


def _report(usage: Any, tally: Tally) -> None:
    if type(usage) is dict:
        report_input(usage.get("input_tokens"), tally)
        report_output(usage.get("output_tokens"), tally)


PLUGIN = OpenAIResponses
