"""Gemini, as the official SDK sends it to ``/v1beta/models/<model>:generateContent`` and ``:streamGenerateContent``.

Also what is counted and embedded there, what is cached for later requests, and the same on Vertex AI's paths. The model and the verb
stand in the path; the credential in ``x-goog-api-key``, ``authorization`` or ``?key=``. The API reads ``snake_case`` as it
reads ``camelCase``, so both are read here, and a field that stands there in both ways is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

import orjson

from guard.counting import believable, count_strings, report_input, report_output
from guard.errors import BadExchange
from guard.gemini_content import Contents, camel, last_said, spoken
from guard.problem import problem
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
from guard.types import Ask, Decision, JSONObject, Route, Tally

_MOST_TOOLS = 1_000
_MOST_LOGPROBS = 1_000
_MOST_REQUESTS = 1_000
_VERSIONS = ("/v1beta", "/v1", "/v1alpha", "/v1beta1")
_VERBS = ("generatecontent", "streamgeneratecontent", "counttokens", "embedcontent", "batchembedcontents")
_CACHES, _CACHE = "/cachedcontents", "/cachedcontents/{id}"
_NO_ANSWER = frozenset({"counttokens", "embedcontent", "batchembedcontents"})
_CONTENT = frozenset({"contents", "content", "systemInstruction", "model"})
_NUMBERS = frozenset({"maxOutputTokens", "candidateCount", "logprobs", "responseLogprobs"})
_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_RETRY = "type.googleapis.com/google.rpc.RetryInfo"
# What says in an answer that nothing was generated.
_NOT_GENERATED = ("totalTokens", "embedding", "embeddings", "cachedContents")


class Gemini:
    name = "gemini"
    by_query = "key"
    paths = (
        *(f"{version}/{{model}}:{verb}" for version in _VERSIONS for verb in _VERBS),
        *(version + path for version in _VERSIONS for path in (_CACHES, _CACHE)),
    )
    methods = {version + _CACHES: ("GET",) for version in _VERSIONS} | {
        version + _CACHE: ("GET", "PATCH", "DELETE") for version in _VERSIONS
    }

    def __init__(self) -> None:
        self._models = ModelNames()

    def read(self, body: Mapping[str, Any], route: Route) -> Ask:
        options = dict(route.options)
        path = options.get("path", "")
        body = camel(body)
        if _CACHES in path:
            return self._cached(body, options, path)
        verb = path.rpartition(":")[2]
        if verb == "batchembedcontents":
            return self._embedded(body, options)
        counted = body.get("generateContentRequest")
        if verb == "counttokens" and counted is not None:
            body = {**body, **camel(fields(counted, "generateContentRequest"))}
            del body["generateContentRequest"]
        model = _model(options, body)
        gathered = Contents()
        told = body.get("content") if verb == "embedcontent" else body.get("contents")
        if told is None:
            raise missing("content" if verb == "embedcontent" else "contents")
        return self._ask(body, gathered, told, model, verb)

    def count(self, payload: Mapping[str, Any], tally: Tally) -> None:
        candidates = payload.get("candidates")
        if type(candidates) is list:
            for candidate in candidates:
                content = candidate.get("content") if type(candidate) is dict else None
                parts = content.get("parts") if type(content) is dict else None
                if type(parts) is list:
                    for part in parts:
                        if type(part) is dict:
                            _count_part(part, tally)
                    if type(content) is dict and not candidate.get("index"):
                        for words in spoken(content):
                            tally.said(words)
        name = payload.get("name")
        if type(name) is str and name.startswith("cachedContents/"):
            tally.issued(name.lower())
            report_output(0, tally)
            return
        usage = payload.get("usageMetadata")
        if type(usage) is dict:
            _report(usage, tally)
        if any(field in payload for field in _NOT_GENERATED):
            report_output(0, tally)

    def error(self, decision: Decision) -> bytes:
        default = "INTERNAL" if decision.status >= 500 else "INVALID_ARGUMENT"
        error: JSONObject = {
            "code": decision.status,
            "message": decision.public,
            "status": _STATUS.get(decision.status, default),
        }
        if decision.retry_after_s:
            error["details"] = [{"@type": _RETRY, "retryDelay": f"{ceil(decision.retry_after_s)}s"}]
        return orjson.dumps({"error": error | {"problem": problem(decision)}})

    def error_event(self, decision: Decision) -> bytes:
        return b"data: " + self.error(decision) + b"\n\n"

    def _ask(self, body: Mapping[str, Any], gathered: Contents, told: Any, model: str, verb: str) -> Ask:
        """One request. ``told``: its contents."""
        gathered.instruct(body.get("systemInstruction"))
        gathered.read(told)
        config = camel(fields(body["generationConfig"], "generationConfig")) if body.get("generationConfig") else {}
        parameters: JSONObject = {}
        kept: tuple[str, ...] = ()
        tools = b""
        for key, value in body.items():
            if key in _CONTENT or value is None:
                continue
            if key == "tools":
                tools = _tools(value, gathered.texts)
            elif key == "cachedContent":
                kept = (text(value, key).lower(),)
            elif key in ("generationConfig", "toolConfig", "safetySettings"):
                parameters[key] = value
                for part in value.values() if type(value) is dict else (value,):
                    gathered.media += collect(part, gathered.texts, keys=type(part) is dict)
            else:
                gathered.media += collect({key: value}, gathered.texts)
        choices = _number(config, "candidateCount", MOST_CHOICES) or 1
        budget_tokens = 0 if verb in _NO_ANSWER else _budget(config) * choices or None
        return Ask(
            self.name,
            self._models.of(model) if model else "",
            verb.startswith("stream"),
            "\n".join(gathered.system),
            tuple(gathered.turns),
            tools,
            canonical(parameters) if parameters else b"",
            budget_tokens,
            choices,
            media=gathered.media,
            top_logprobs=_logprobs(config),
            texts=tuple(gathered.texts),
            continues=kept,
            said=last_said(told) if len(gathered.turns) > 2 else None,
        )

    def _embedded(self, body: Mapping[str, Any], options: Mapping[str, str]) -> Ask:
        """Many texts to embed at once: each is a turn."""
        if body.get("requests") is None:
            raise missing("requests")
        gathered = Contents()
        model = _model(options, body)
        for request in items(body["requests"], "requests", _MOST_REQUESTS):
            one = camel(fields(request, "requests[]"))
            _model(options, one)
            gathered.read(one.get("content"))
            collect({key: value for key, value in one.items() if key not in ("content", "model")}, gathered.texts)
        collect({key: value for key, value in body.items() if key not in ("requests", "model")}, gathered.texts)
        return Ask(
            self.name,
            self._models.of(model),
            False,
            "\n".join(gathered.system),
            tuple(gathered.turns),
            b"",
            b"",
            0,
            media=gathered.media,
            texts=tuple(gathered.texts),
            requests=max(1, len(body["requests"])),
        )

    def _cached(self, body: Mapping[str, Any], options: Mapping[str, str], path: str) -> Ask:
        """What is to be kept for later requests, or what was."""
        if path.endswith(_CACHE):
            if options.get("method", "POST") == "POST" or "/" in options["id"]:
                raise BadExchange(405, "method", "This path is not open to that method.")
            return _bare(body, (f"cachedcontents/{options['id']}",))
        if options.get("method") == "GET":
            return _bare(body, ())
        model = text(body.get("model") or "", "model")
        return self._ask(
            body, Contents(), body.get("contents") or [], model.removeprefix("models/").lower(), "counttokens"
        )


def _bare(body: Mapping[str, Any], kept: tuple[str, ...]) -> Ask:
    texts: list[str] = []
    collect(dict(body), texts)
    return Ask("gemini", "", False, "", (), b"", b"", 0, texts=tuple(texts), continues=kept)


def _model(options: Mapping[str, str], body: Mapping[str, Any]) -> str:
    """The model of the path. Raises ``BadExchange`` where the body names another one, or the path's is none."""
    name = options.get("model", "").rpartition("models/")[2]
    if not name:
        raise missing("model")
    stated = body.get("model")
    if stated is not None and text(stated, "model").lower().rpartition("models/")[2] != name:
        raise invalid("model", "the model of the path")
    return name


def _budget(config: Mapping[str, Any]) -> int:
    """``maxOutputTokens`` contains the thoughts, unless their own budget is the larger."""
    stated = _number(config, "maxOutputTokens")
    thinking = config.get("thinkingConfig")
    if thinking is None or not stated:
        return stated
    wanted = camel(fields(thinking, "thinkingConfig")).get("thinkingBudget")
    # −1 leaves it to the model.
    return stated if wanted is None or wanted == -1 else max(stated, whole_number(wanted, "thinkingBudget", least=0))


def _number(config: Mapping[str, Any], key: str, most: int = 2**31 - 1) -> int:
    value = config.get(key)
    return 0 if value is None else whole_number(value, key, most)


def _logprobs(config: Mapping[str, Any]) -> int:
    wanted = config.get("responseLogprobs")
    on = wanted is not None and flag(wanted, "responseLogprobs")
    many = config.get("logprobs")
    return max(int(on), 0 if many is None else whole_number(many, "logprobs", _MOST_LOGPROBS, 0))


def _tools(value: Any, texts: list[str]) -> bytes:
    tools = items([value] if type(value) is dict else value, "tools", _MOST_TOOLS)
    for tool in tools:
        collect(fields(tool, "tools[]"), texts, keys=True)
    return canonical(tools) if tools else b""


def _count_part(part: JSONObject, tally: Tally) -> None:
    for key, value in part.items():
        if key not in ("thoughtSignature", "inlineData", "thought"):
            count_strings(value, tally)


def _report(usage: JSONObject, tally: Tally) -> None:
    """Thoughts are output too, and what tools were told input; the API reports them apart."""
    sent = [usage[key] for key in ("candidatesTokenCount", "thoughtsTokenCount") if believable(usage.get(key))]
    if sent:
        report_output(sum(sent), tally)
    received = [usage[key] for key in ("promptTokenCount", "toolUsePromptTokenCount") if believable(usage.get(key))]
    if received:
        report_input(sum(received), tally)


PLUGIN = Gemini
