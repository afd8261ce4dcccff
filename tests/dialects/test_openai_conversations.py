from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from guard.dialects.openai_conversations import OpenAIConversations
from guard.errors import BadExchange
from guard.types import Ask, Route, Tally

from .conftest import OBJECTS, REFUSED, read_or_refused

CONVERSATIONS = OpenAIConversations()
ALL = Route("/v1/conversations", "openai_conversations")


def one(below: str) -> Route:
    known = "/v1/conversations/{id}"
    return Route(known, "openai_conversations", (("path", known), ("id", below)))


def test_what_is_put_into_one_is_read() -> None:
    """Its items are turns and system text, as in a response, and cost no output."""
    items = [{"role": "user", "content": "Hello"}, {"role": "system", "content": "Be brief."}]
    ask = CONVERSATIONS.read({"items": items, "metadata": {"note": "beside"}}, ALL)

    assert (ask.system, [turn.text for turn in ask.turns], ask.texts) == ("Be brief.", ["Hello"], ("beside",))
    assert (ask.budget_tokens, ask.continues) == (0, ())


@pytest.mark.parametrize("below", ["conv_1", "conv_1/items", "conv_1/items/msg_1"])
def test_the_path_names_it(below: str) -> None:
    """The conversation, its items, one of them."""
    assert CONVERSATIONS.read({}, one(below)).continues == ("conv_1",)


@pytest.mark.parametrize("below", ["conv_1/other", "conv_1/items/msg_1/conv_2", "conv_1//items"])
def test_other_paths_below_it_are_closed(below: str) -> None:
    """What is not known of this API."""
    with pytest.raises(BadExchange) as caught:
        CONVERSATIONS.read({}, one(below))
    assert caught.value.status == 404


@given(OBJECTS)
def test_any_json_is_read_or_refused_and_counted(body: Any) -> None:
    """Nothing but a 400 comes out of ``read``, and nothing at all of ``count``."""
    for candidate in (body, {"items": [body]}):
        outcome = read_or_refused(CONVERSATIONS, candidate, ALL)
        assert isinstance(outcome, Ask) or outcome.status == 400
    tally = Tally()
    CONVERSATIONS.count(body, tally)
    CONVERSATIONS.count({"object": "conversation", **body}, tally)
    assert tally.output_tokens == 0 or "object" in body


def test_errors() -> None:
    """In OpenAI's shape."""
    assert json.loads(CONVERSATIONS.error(REFUSED))["error"]["code"] == "request_refused"
    assert CONVERSATIONS.error_event(REFUSED).startswith(b"data: ")
