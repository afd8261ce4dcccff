from __future__ import annotations

import json
import re
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.dialects.openai_responses import OpenAIResponses
from guard.errors import BadExchange
from guard.types import Ask, Route, Tally, Turn

from .conftest import FAILED, JSON, LIMITED, OBJECTS, REFUSED, UNREADABLE, read_or_refused

ROUTE = Route("/v1/responses", "openai_responses")
RESPONSES = OpenAIResponses()
BASE = {"model": "gpt-5", "input": "Hello"}


def kept(below: str, method: str) -> Route:
    options = (("path", "/v1/responses/{id}"), ("id", below), ("method", method))
    return Route("/v1/responses/{id}", "openai_responses", options)


def read(**body: Any) -> Ask:
    return RESPONSES.read(BASE | body, ROUTE)


def refused(body: Any, route: Route = ROUTE) -> BadExchange:
    with pytest.raises(BadExchange) as caught:
        RESPONSES.read(body, route)
    return caught.value


def test_a_plain_request() -> None:
    """Model, instructions, input, budget and parameters of the request that most clients send."""
    ask = read(
        model="GPT-5 ",
        instructions="Be brief.",
        max_output_tokens=50,
        temperature=0.5,
        stream=True,
        store=True,
        user="u-1",
    )

    assert ask == Ask(
        dialect="openai_responses",
        model="gpt-5",
        stream=True,
        system="Be brief.",
        turns=(Turn("user", "Hello"),),
        tools=b"",
        parameters=b'{"max_output_tokens":50,"store":true,"temperature":0.5}',
        budget_tokens=50,
        user="u-1",
    )


MARKED: dict[str, Any] = {
    "instructions": "m-instructions",
    "input": [
        {"role": "user", "content": "m-plain"},
        {"role": "developer", "content": [{"type": "input_text", "text": "m-developer"}]},
        {"type": "message", "role": "user", "content": [
            {"type": "input_text", "text": "m-part"},
            {"type": "input_image", "image_url": "data:image/png;base64,sealed"},
            {"type": "input_file", "filename": "m-file", "file_data": "data:application/pdf;base64,sealed"},
            {"type": "novel", "words": ["m-novel"]},
        ]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "m-summary"}], "encrypted_content": "sealed"},
        {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed", "content": [
            {"type": "output_text", "text": "m-answer", "annotations": [{"type": "url_citation", "title": "m-title", "url": "m-url"}], "logprobs": [{"token": "sealed"}]},
            {"type": "refusal", "refusal": "m-refusal"},
        ]},
        {"type": "function_call", "call_id": "call_1", "name": "m-call", "arguments": "{\"q\":\"m-arguments\"}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "m-output"},
        {"type": "function_call_output", "call_id": "call_2", "output": [{"type": "input_text", "text": "m-list-output"}]},
        {"type": "custom_tool_call", "call_id": "call_3", "name": "m-custom", "input": "m-custom-input"},
        {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "sealed" * 40},
        {"type": "web_search_call", "id": "ws_1", "action": {"type": "search", "query": "m-query"}},
        {"type": "additional_tools", "tools": [{"type": "function", "name": "m-later-tool", "parameters": {"properties": {"m-later-property": {}}}}]},
        {"type": "novel_item", "payload": {"deep": ["m-novel-item"]}},
        {"role": "m-role", "content": "m-strange"},
    ],
    "tools": [{"type": "function", "name": "m-tool", "description": "m-description", "parameters": {"properties": {"m-property": {"description": "m-schema"}}}}],
    "text": {"format": {"type": "json_schema", "name": "m-format", "schema": {"properties": {"m-field": {}}}}},
    "prompt": {"id": "pmpt_1", "variables": {"who": "m-variable"}},
    "conversation": {"id": "conv_1", "note": "m-conversation"},
    "metadata": {"note": "m-metadata"},
    "suffix": "m-suffix",
}  # fmt: skip


def test_every_text_reaches_the_ask() -> None:
    """Text of every text-bearing field stands in system, turns or texts; what is sealed does not (SECURITY 68)."""
    ask = read(**MARKED)
    everything = "\n".join([ask.system, *(turn.text for turn in ask.turns), *ask.texts])
    markers = set(re.findall(r"m-[a-z-]+", json.dumps(MARKED)))

    assert {marker for marker in markers if marker not in everything} == set()
    assert len(markers) > 30
    assert not re.search(r"sealed|call_1|msg_1|rs_1|completed", everything)


def test_where_text_lands() -> None:
    """Calls and reasoning are the model's, outputs a tool's, developers' items the system's; files and images are counted."""
    ask = read(**MARKED)

    assert ask.system == "m-instructions\nm-developer\nm-later-tool\nm-later-property"
    assert [turn.role for turn in ask.turns] == [
        *("user", "user", "assistant", "assistant", "assistant", "tool", "tool", "assistant", "assistant", "assistant"),
        "m-role",
    ]
    assert ask.turns[2].text == "m-summary"
    assert ask.turns[4] == Turn("assistant", 'm-call\n{"q":"m-arguments"}')
    assert ask.turns[5] == Turn("tool", "m-output")
    assert ask.media == 3


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"previous_response_id": "resp_1"}, ("resp_1",)),
        ({"previous_response_id": None, "conversation": None}, ()),
        ({"conversation": "conv_1"}, ("conv_1",)),
        ({"conversation": {"id": "conv_1"}}, ("conv_1",)),
        ({"input": [{"type": "item_reference", "id": "msg_1"}, {"role": "user", "content": "Go on"}]}, ("msg_1",)),
        ({"input": [{"id": "msg_1"}]}, ("msg_1",)),
        ({"input": [{"type": None, "id": "msg_1", "status": "completed"}]}, ("msg_1",)),
        ({"input": [{"type": "reasoning", "id": "rs_1", "summary": []}]}, ("rs_1",)),
        ({"input": [{"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}]}, ()),
        ({"input": [{"type": "message", "role": "assistant", "id": "msg_1", "content": []}]}, ()),
        ({"prompt_cache_options": {"comparison_response_id": "resp_2"}}, ("resp_2",)),
    ],
)
def test_what_it_goes_on_from(body: Any, names: tuple[str, ...]) -> None:
    """Every way to name what the API keeps: an answer, a conversation, an item, reasoning that only the API has."""
    assert read(**body).continues == names


@pytest.mark.parametrize(
    ("body", "budget_tokens"),
    [
        ({}, None),
        ({"max_output_tokens": None}, None),
        ({"max_output_tokens": 10}, 10),
        ({"max_output_tokens": 10, "max_tokens": 5000}, 5000),
        ({"max_completion_tokens": 7}, 7),
    ],
)
def test_budget(body: Any, budget_tokens: int | None) -> None:
    """The largest alias counts, whatever the server reads."""
    assert read(**body).budget_tokens == budget_tokens


@pytest.mark.parametrize(
    ("body", "top_logprobs"),
    [
        ({}, 0),
        ({"top_logprobs": 5}, 5),
        ({"include": ["message.output_text.logprobs"]}, 1),
        ({"include": ["reasoning.encrypted_content"]}, 0),
    ],
)
def test_logprobs(body: Any, top_logprobs: int) -> None:
    """They are asked for by number or by inclusion."""
    assert read(**body).top_logprobs == top_logprobs


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"model": "gpt-5"},
        {"input": "Hello"},
        {"model": "gpt-5", "input": []},
        BASE | {"input": 5},
        BASE | {"input": [5]},
        BASE | {"input": [{"role": 5, "content": "x"}]},
        BASE | {"input": [{"type": 5, "content": "x"}]},
        BASE | {"input": [{"role": "user", "content": 5}]},
        BASE | {"input": [{"role": "user", "content": [5]}]},
        BASE | {"input": [{}]},
        BASE | {"input": [{"type": "item_reference"}]},
        BASE | {"input": [{"id": f"msg_{n}"} for n in range(1001)]},
        BASE | {"input": [{"role": "user", "content": "x"}] * 10_001},
        BASE | {"previous_response_id": 5},
        BASE | {"previous_response_id": ["resp_1"]},
        BASE | {"conversation": {"id": 5}},
        BASE | {"conversation": {}},
        BASE | {"max_output_tokens": 0},
        BASE | {"max_output_tokens": True},
        BASE | {"max_output_tokens": "100"},
        BASE | {"max_output_tokens": 1e3},
        BASE | {"top_logprobs": -1},
        BASE | {"include": "all"},
        BASE | {"include": [{}]},
        BASE | {"stream": 1},
        BASE | {"tools": {}},
        BASE | {"tools": ["f"]},
        BASE | {"prompt_cache_options": 5},
    ],
)
def test_what_can_not_be_judged_is_refused(body: Any) -> None:
    """A field that is not what the API takes is a 400 that names it."""
    assert refused(body).status == 400


def test_a_stored_prompt_needs_no_model() -> None:
    """A prompt that the API keeps names the model itself."""
    assert RESPONSES.read({"prompt": {"id": "pmpt_1"}}, ROUTE).model == ""


def test_counting_and_compacting() -> None:
    """Counting input costs no output, and may leave the model out; compacting is read like an answer."""
    count = Route("/v1/responses/input_tokens", "openai_responses", (("path", "/v1/responses/input_tokens"),))
    compact = Route("/v1/responses/compact", "openai_responses", (("path", "/v1/responses/compact"),))

    assert RESPONSES.read({"input": "Hello"}, count).budget_tokens == 0
    assert RESPONSES.read({"model": "gpt-5", "previous_response_id": "resp_1"}, compact).continues == ("resp_1",)


@pytest.mark.parametrize(
    ("below", "method", "open_to_it"),
    [
        ("resp_1", "GET", True),
        ("resp_1", "DELETE", True),
        ("resp_1/cancel", "POST", True),
        ("resp_1/input_items", "GET", True),
        ("resp_1", "POST", False),
        ("resp_1/cancel", "GET", False),
        ("resp_1/input_items", "DELETE", False),
        ("resp_1/unheard_of", "GET", False),
        ("resp_1/cancel/resp_2", "POST", False),
    ],
)
def test_what_is_kept(below: str, method: str, open_to_it: bool) -> None:
    """A kept answer is named by the path, and costs no output before it passes; other paths and methods are closed."""
    route = kept(below, method)
    if open_to_it:
        ask = RESPONSES.read({}, route)
        assert (ask.continues, ask.budget_tokens) == (("resp_1",), 0)
    else:
        assert refused({}, route).status == 405


class Heard(Tally):
    """A tally that writes down the ids it is told of."""

    __slots__ = ("names",)

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def issued(self, name: str) -> None:
        self.names.append(name)


OUTPUT = [
    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "sealed"},
    {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [{"type": "output_text", "text": "four", "annotations": []}]},
]  # fmt: skip
WHOLE = {"id": "resp_1", "object": "response", "status": "completed", "output": OUTPUT}
USED = {"input_tokens": 5, "output_tokens": 8, "total_tokens": 13}


@pytest.mark.parametrize(
    ("payload", "counted", "names"),
    [
        (WHOLE, (4, -1, -1), ["resp_1", "rs_1", "msg_1"]),
        (WHOLE | {"usage": USED}, (0, 5, 8), ["resp_1", "rs_1", "msg_1"]),
        (WHOLE | {"conversation": {"id": "conv_1"}, "usage": USED}, (0, 5, 8), ["resp_1", "conv_1", "rs_1", "msg_1"]),
        ({"id": "resp_1", "object": "response", "status": "queued", "output": [], "usage": None}, (0, -1, 0), ["resp_1"]),
        ({"type": "response.created", "response": {"id": "resp_1", "usage": None}}, (0, -1, -1), ["resp_1"]),
        ({"type": "response.output_item.added", "item": {"id": "msg_1"}}, (0, -1, -1), ["msg_1"]),
        ({"type": "response.output_text.delta", "delta": "four"}, (4, -1, -1), []),
        ({"type": "response.reasoning_summary_text.delta", "delta": "hmm"}, (3, -1, -1), []),
        ({"type": "response.function_call_arguments.delta", "delta": "{}"}, (2, -1, -1), []),
        ({"type": "response.novel.delta", "delta": {"words": "abc"}}, (3, -1, -1), []),
        ({"type": "response.output_text.done", "text": "four"}, (0, -1, -1), []),
        ({"type": "response.completed", "response": WHOLE | {"usage": USED}}, (0, 5, 8), ["resp_1"]),
        ({"type": "response.completed", "response": {"usage": {"output_tokens": True}}}, (0, -1, -1), []),
        ({"type": "error", "message": "overloaded"}, (0, -1, -1), []),
        ({"error": {"message": "no"}}, (0, -1, -1), []),
        ({"id": "resp_1", "object": "response.deleted", "deleted": True}, (0, -1, 0), []),
        ({"object": "list", "data": [{"id": "msg_9", "type": "message"}]}, (0, -1, 0), []),
    ],
)  # fmt: skip
def test_what_is_output(payload: Any, counted: tuple[int, int, int], names: list[str]) -> None:
    """Deltas by their text, whole answers by their report or else their text, and every id that is given out."""
    tally = Heard()
    RESPONSES.count(payload, tally)

    assert (tally.characters, tally.input_tokens, tally.output_tokens) == counted
    assert tally.names == names


@given(OBJECTS)
def test_any_json_is_read_or_refused(body: Any) -> None:
    """Nothing but ``BadExchange`` comes out of ``read``, and it is a 400."""
    for candidate in (body, BASE | body, BASE | {"input": [body]}):
        outcome = read_or_refused(RESPONSES, candidate, ROUTE)
        if isinstance(outcome, BadExchange):
            assert outcome.status == 400


@given(OBJECTS | st.fixed_dictionaries({"type": JSON, "delta": JSON, "response": JSON, "item": JSON, "object": JSON}))
def test_any_json_is_counted(payload: Any) -> None:
    """``count`` never raises, and only ever adds."""
    tally = Tally()
    RESPONSES.count(payload, tally)

    assert tally.characters >= 0
    assert -1 <= tally.output_tokens <= 10_000_000


def client(transport: Any) -> openai.OpenAI:
    http = openai.DefaultHttpxClient(transport=transport)
    return openai.OpenAI(api_key="sk-test", base_url="http://guard.test/v1", max_retries=0, http_client=http)


@pytest.mark.parametrize(
    ("decision", "raised"),
    [
        (LIMITED, openai.RateLimitError),
        (REFUSED, openai.PermissionDeniedError),
        (UNREADABLE, openai.BadRequestError),
        (FAILED, openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_the_sdk_raises_its_own_error(answer: Any, decision: Any, raised: Any, stream: bool) -> None:
    """The official client raises the error of the status and finds message, problem and reference where it looks."""
    with client(answer(RESPONSES, decision)) as sdk, pytest.raises(raised) as caught:
        sdk.responses.create(model="gpt-5", input="Hi", stream=stream)

    assert caught.value.body["message"] == decision.public
    assert caught.value.body["problem"]["reference"] == "G-1234"


def test_the_sdk_ends_a_cut_stream_with_an_error(answer: Any) -> None:
    """What came before arrives, then the SDK raises; whoever reads the event itself finds its type, code and message."""
    created = {"type": "response.created", "sequence_number": 0, "response": WHOLE}
    stream = f"event: response.created\ndata: {json.dumps(created)}\n\n".encode() + RESPONSES.error_event(REFUSED)
    events = []
    with client(answer(RESPONSES, None, stream)) as sdk, pytest.raises(openai.APIError) as caught:
        events.extend(event.type for event in sdk.responses.create(model="gpt-5", input="Hi", stream=True))

    event = json.loads(RESPONSES.error_event(REFUSED).split(b"data: ")[1])
    assert caught.value.message == REFUSED.public
    assert (event["type"], event["message"], event["code"]) == ("error", REFUSED.public, "request_refused")
