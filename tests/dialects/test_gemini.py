from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.body import parse
from guard.dialects.gemini import Gemini
from guard.errors import BadExchange
from guard.settings import Body
from guard.types import Ask, Route, Tally, Turn

from .conftest import JSON, LIMITED, OBJECTS, REFUSED, read_or_refused

GEMINI = Gemini()
HELLO = [{"role": "user", "parts": [{"text": "Hello"}]}]
BASE: dict[str, Any] = {"contents": HELLO}


def route(verb: str = "generatecontent", model: str = "models/gemini-x") -> Route:
    known = f"/v1beta/{{model}}:{verb}"
    return Route(known, "gemini", (("path", known), ("model", model)))


def cache(method: str = "POST", name: str = "") -> Route:
    known = "/v1beta/cachedcontents/{id}" if name else "/v1beta/cachedcontents"
    options = [("path", known), *([("id", name)] if name else []), *([("method", method)] if method != "POST" else [])]
    return Route(known, "gemini", tuple(options))


ROUTE = route()


def read(**body: Any) -> Ask:
    return GEMINI.read(BASE | body, ROUTE)


def refused(body: Any, on: Route = ROUTE) -> BadExchange:
    with pytest.raises(BadExchange) as caught:
        GEMINI.read(body, on)
    return caught.value


@pytest.mark.parametrize("spelling", ["systemInstruction generationConfig maxOutputTokens", "system_instruction generation_config max_output_tokens"])  # fmt: skip
def test_a_plain_request(spelling: str) -> None:
    """Model of the path, system, turns and parameters, in both spellings that the API reads."""
    system, config, budget = spelling.split()
    ask = read(**{system: {"parts": [{"text": "Be brief."}]}, config: {budget: 50}})

    assert ask == Ask(
        dialect="gemini",
        model="gemini-x",
        stream=False,
        system="Be brief.",
        turns=(Turn("user", "Hello"),),
        tools=b"",
        parameters=json.dumps({"generationConfig": {budget: 50}}, separators=(",", ":")).encode(),
        budget_tokens=50,
    )


MARKED: dict[str, Any] = {
    "systemInstruction": {"role": "system", "parts": [{"text": "m-system"}]},
    "contents": [
        {"role": "user", "parts": [{"text": "m-user"}, {"inlineData": {"mimeType": "image/png", "data": "sealed"}}]},
        {"role": "user", "parts": [{"inline_data": {"mime_type": "text/plain", "data": "bS1ibG9i"}}]},
        {"role": "user", "parts": [{"fileData": {"mimeType": "video/mp4", "fileUri": "m-uri"}}]},
        {"role": "model", "parts": [
            {"text": "m-thought", "thought": True, "thoughtSignature": "sealed"},
            {"functionCall": {"name": "m-call", "args": {"q": ["m-argument"]}}, "thought_signature": "sealed"},
            {"executableCode": {"language": "PYTHON", "code": "m-code"}},
        ]},
        {"role": "user", "parts": [
            {"functionResponse": {"name": "m-called", "response": {"found": "m-result"}, "parts": [{"inlineData": {"mimeType": "image/png", "data": "sealed"}}]}},
            {"text": "m-after"},
        ]},
        {"role": "function", "parts": [{"text": "m-function"}]},
        {"role": "m-role", "parts": [{"novel": {"words": "m-novel"}}, "m-bare"]},
        {"parts": {"text": "m-single"}},
    ],
    "tools": [{"functionDeclarations": [{"name": "m-tool", "description": "m-description", "parameters": {"properties": {"m-property": {}}}}]}],
    "generationConfig": {"stopSequences": ["m-stop"], "responseSchema": {"properties": {"m-field": {"description": "m-schema"}}}},
    "labels": {"team": "m-label"},
    "novelField": "m-top",
}  # fmt: skip


def test_every_text_reaches_the_ask() -> None:
    """Text of every text-bearing field stands in system, turns or texts; what is sealed does not (SECURITY 68)."""
    ask = read(**MARKED)
    everything = "\n".join([ask.system, *(turn.text for turn in ask.turns), *ask.texts])
    markers = set(re.findall(r"m-[a-z-]+", json.dumps(MARKED))) | {"m-blob"}

    assert {marker for marker in markers if marker not in everything} == set()
    assert len(markers) > 22
    assert not re.search(r"sealed|bS1ibG9i", everything)


def test_where_text_lands() -> None:
    """The model's role is the assistant; a function's response is a turn of its own before the user's words."""
    ask = read(**MARKED)

    roles = ["user", "user", "user", "assistant", "tool", "user", "tool", "m-role", "user"]
    assert [turn.role for turn in ask.turns] == roles
    assert ask.turns[3].text == "m-thought\nm-call\nm-argument\nPYTHON\nm-code"
    assert ask.turns[4].text == "m-called\nm-result"
    assert ask.media == 3


@pytest.mark.parametrize(
    ("config", "budget_tokens", "choices"),
    [
        ({}, None, 1),
        ({"maxOutputTokens": 10}, 10, 1),
        ({"maxOutputTokens": 10, "candidateCount": 3}, 30, 3),
        ({"maxOutputTokens": 10, "thinkingConfig": {"thinkingBudget": 500}}, 500, 1),
        ({"max_output_tokens": 10, "thinking_config": {"thinking_budget": 500}, "candidate_count": 2}, 1000, 2),
        ({"maxOutputTokens": 10, "thinkingConfig": {"thinkingBudget": -1, "includeThoughts": True}}, 10, 1),
        ({"candidateCount": 2}, None, 2),
    ],
)
def test_budget(config: Any, budget_tokens: int | None, choices: int) -> None:
    """Output and thoughts of every candidate, in either spelling."""
    ask = read(generationConfig=config)
    assert (ask.budget_tokens, ask.choices) == (budget_tokens, choices)


@pytest.mark.parametrize(("config", "wanted"), [({}, 0), ({"responseLogprobs": True}, 1), ({"responseLogprobs": True, "logprobs": 5}, 5), ({"response_logprobs": True}, 1)])  # fmt: skip
def test_logprobs(config: Any, wanted: int) -> None:
    """On, or so many."""
    assert read(generationConfig=config).top_logprobs == wanted


@pytest.mark.parametrize(
    ("verb", "stream", "budget_tokens"),
    [("generatecontent", False, 9), ("streamgeneratecontent", True, 9), ("counttokens", False, 0)],
)
def test_the_verb_decides(verb: str, stream: bool, budget_tokens: int) -> None:
    """It streams, or counts and generates nothing."""
    ask = GEMINI.read(BASE | {"generationConfig": {"maxOutputTokens": 9}}, route(verb))
    assert (ask.stream, ask.budget_tokens) == (stream, budget_tokens)


def test_counting_a_whole_request() -> None:
    """What is counted may stand in a request of its own."""
    ask = GEMINI.read({"generateContentRequest": {"model": "models/gemini-x"} | MARKED}, route("counttokens"))
    assert ask.system == "m-system"
    assert ask.budget_tokens == 0


def test_embedding() -> None:
    """One content, or many requests with one each: every text is a turn, each request counts, none has output."""
    one = GEMINI.read({"content": {"parts": [{"text": "a"}]}, "taskType": "X"}, route("embedcontent"))
    requests = [{"model": "models/gemini-x", "content": {"parts": [{"text": text}]}} for text in "abc"]
    many = GEMINI.read({"requests": requests}, route("batchembedcontents"))

    assert (one.turns, one.budget_tokens, one.requests) == ((Turn("user", "a"),), 0, 1)
    assert ([turn.text for turn in many.turns], many.budget_tokens, many.requests) == (["a", "b", "c"], 0, 3)


def test_caches() -> None:
    """What is cached is read as text; what was cached is named by its path or by the request that goes on from it."""
    made = GEMINI.read(MARKED | {"model": "models/gemini-x", "ttl": "60s"}, cache())

    assert (made.system, made.model, made.budget_tokens, made.continues) == ("m-system", "gemini-x", 0, ())
    assert read(cachedContent="cachedContents/Ab1").continues == ("cachedcontents/ab1",)
    for method in ("GET", "PATCH", "DELETE"):
        assert GEMINI.read({}, cache(method, "ab1")).continues == ("cachedcontents/ab1",)
    assert GEMINI.read({}, cache("GET")).continues == ()
    assert refused({}, cache("POST", "ab1")).status == 405
    assert refused({}, cache("GET", "ab1/x")).status == 405


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"contents": "Hello"},
        {"contents": [5]},
        {"contents": [{"parts": 5}]},
        {"contents": [{"parts": [5]}]},
        {"contents": [{"role": 5, "parts": []}]},
        {"contents": HELLO * 10_001},
        BASE | {"systemInstruction": 5},
        BASE | {"systemInstruction": "a", "system_instruction": "b"},
        BASE | {"generationConfig": 5},
        BASE | {"generationConfig": {"maxOutputTokens": "100"}},
        BASE | {"generationConfig": {"maxOutputTokens": 0}},
        BASE | {"generationConfig": {"maxOutputTokens": 1e3}},
        BASE | {"generationConfig": {"maxOutputTokens": 5, "max_output_tokens": 5000}},
        BASE | {"generationConfig": {"candidateCount": 5000}},
        BASE | {"generationConfig": {"candidateCount": True}},
        BASE | {"generationConfig": {"maxOutputTokens": 9, "thinkingConfig": {"thinkingBudget": -2}}},
        BASE | {"generationConfig": {"maxOutputTokens": 9, "thinkingConfig": 5}},
        BASE | {"generationConfig": {"responseLogprobs": "yes"}},
        BASE | {"tools": "f"},
        BASE | {"cachedContent": 5},
        BASE | {"model": "models/other"},
        BASE | {"model": 5},
    ],
)
def test_what_can_not_be_judged_is_refused(body: Any) -> None:
    """A field that is not what the API takes, one in two spellings, a model beside the path's: a 400."""
    assert refused(body).status == 400


@pytest.mark.parametrize(
    ("payload", "counted"),
    [
        ({"candidates": [{"content": {"parts": [{"text": "four"}, {"functionCall": {"name": "f", "args": {"q": "x"}}}]}}]}, (6, -1, -1)),
        ({"candidates": [{"content": {"parts": [{"text": "hmm", "thought": True, "thoughtSignature": "sealed"}]}}]}, (3, -1, -1)),
        ({"usageMetadata": {"promptTokenCount": 7}}, (0, 7, -1)),
        ({"usageMetadata": {"promptTokenCount": 7, "toolUsePromptTokenCount": 2, "candidatesTokenCount": 5, "thoughtsTokenCount": 30}}, (0, 9, 35)),
        ({"usageMetadata": {"candidatesTokenCount": True, "promptTokenCount": -1}}, (0, -1, -1)),
        ({"totalTokens": 31}, (0, -1, 0)),
        ({"embedding": {"values": [0.5]}}, (0, -1, 0)),
        ({"embeddings": [{"values": [0.5]}]}, (0, -1, 0)),
        ({"name": "cachedContents/x", "usageMetadata": {"totalTokenCount": 9}}, (0, -1, 0)),
        ({"error": {"code": 500, "message": "no"}}, (0, -1, -1)),
    ],
)  # fmt: skip
def test_what_is_output(payload: Any, counted: tuple[int, int, int]) -> None:
    """Text, thoughts and calls by their text; reports with thoughts as output; nothing where nothing was generated."""
    tally = Tally()
    GEMINI.count(payload, tally)
    assert (tally.characters, tally.input_tokens, tally.output_tokens) == counted


@given(OBJECTS)
def test_any_json_is_read_or_refused(body: Any) -> None:
    """Nothing but ``BadExchange`` comes out of ``read``, and it is a 400."""
    for candidate in (body, BASE | body, {"contents": [body]}, {"contents": [{"parts": [body]}]}):
        outcome = read_or_refused(GEMINI, candidate, ROUTE)
        if isinstance(outcome, BadExchange):
            assert outcome.status == 400


@given(OBJECTS | st.fixed_dictionaries({"candidates": JSON, "usageMetadata": JSON, "name": JSON}))
def test_any_json_is_counted(payload: Any) -> None:
    """``count`` never raises, and only ever adds."""
    tally = Tally()
    GEMINI.count(payload, tally)
    assert tally.characters >= 0
    assert -1 <= tally.output_tokens <= 20_000_000


@pytest.mark.parametrize(("decision", "status"), [(LIMITED, "RESOURCE_EXHAUSTED"), (REFUSED, "PERMISSION_DENIED")])
def test_errors(decision: Any, status: str) -> None:
    """Code, message and status as the API gives them, how long to wait where that is known, and the problem beside them."""
    error = json.loads(GEMINI.error(decision))["error"]
    event = GEMINI.error_event(decision)

    assert (error["code"], error["message"], error["status"]) == (decision.status, decision.public, status)
    assert error["problem"]["reference"] == "G-1234"
    assert [detail["retryDelay"] for detail in error.get("details", [])] == (["7s"] if decision is LIMITED else [])
    assert event.startswith(b"data: ")
    assert event.endswith(b"\n\n")
    assert json.loads(event[6:])["error"] == error


@pytest.mark.parametrize(
    "text",
    [
        '{"contents":[{"parts":[{"text":"a"}]}],"generationConfig":{"maxOutputTokens":5,"maxOutputTokens":5000}}',
        '{"contents":[{"parts":[{"text":"a","text":"b"}]}]}',
        '{"contents":[{"parts":[{"inlineData":{"data":"YQ==","data":"Yg=="}}]}]}',
        '{"contents":[],"contents":[{"parts":[{"text":"a"}]}]}',
        '{"contents":[],"generationConfig":{"thinkingConfig":{"thinkingBudget":1,"thinkingBudget":9}}}',
    ],
)
def test_a_field_that_stands_twice_is_refused(text: str) -> None:
    """Readers differ in which of the two they take."""
    with pytest.raises(BadExchange) as caught:
        parse(text.encode(), Body())
    assert caught.value.reason == "duplicate_key"
