from __future__ import annotations

from typing import Any

import httpx2
import pytest
from hypothesis import strategies as st

from guard.errors import BadExchange
from guard.problem import refusal_headers
from guard.types import Ask, Decision, Quota, Route

LIMITED = Decision(
    "limit", True, 429, "G-1234", 0.7, "low", reasons=("free", "limit_requests"), public="Too many requests.", private="inside",
    retry_after_s=7, quotas=(Quota("free", "requests", 20, 60, 0, 7),),
)  # fmt: skip
REFUSED = Decision(
    "refuse", True, 403, "G-1234", 0.97, "confirmed", rule="known-cluster", public="Not allowed.", private="inside"
)
UNREADABLE = Decision(
    "refuse", True, 400, "G-1234", 0.0, "low", reasons=("invalid_field",), public="n must be a number."
)
FAILED = Decision("refuse", True, 503, "G-1234", 0.0, "low", public="Try again.")


@pytest.fixture
def answer() -> Any:
    """A transport that answers every request as guard does with that decision, or with those bytes as a stream."""

    def build(dialect: Any, decision: Decision | None = None, stream: bytes = b"") -> httpx2.MockTransport:
        def respond(request: httpx2.Request) -> httpx2.Response:
            if decision is None:
                return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=stream)
            return httpx2.Response(
                decision.status, headers=list(refusal_headers(decision)), content=dialect.error(decision)
            )

        return httpx2.MockTransport(respond)

    return build


NAMES = st.sampled_from(
    [
        "model",
        "messages",
        "max_tokens",
        "n",
        "stream",
        "system",
        "tools",
        "thinking",
        "metadata",
        "role",
        "content",
        "type",
        "text",
        "choices",
        "delta",
        "message",
        "usage",
        "completion_tokens",
        "output_tokens",
        "input_tokens",
        "content_block",
        "source",
        "data",
        "prompt",
        "inputs",
        "parameters",
        "max_new_tokens",
        "logprobs",
        "logit_bias",
        "name",
        "tool_calls",
        "user",
        "user_id",
    ]
)
WORDS = st.sampled_from(
    [
        "user",
        "system",
        "text",
        "tool_result",
        "message",
        "message_start",
        "message_delta",
        "content_block_delta",
        "content_block_start",
        "document",
        "image",
        "base64",
        "gpt-5",
        "data:text/plain;base64,aGk=",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**70) | st.floats() | WORDS | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(max_size=4), inner, max_size=6),
    max_leaves=25,
)
OBJECTS = st.dictionaries(NAMES, JSON, max_size=8)


def read_or_refused(dialect: Any, body: Any, route: Route) -> Ask | BadExchange:
    """What came out of reading a body: the request, or its refusal; anything else breaks the test."""
    try:
        ask: Ask = dialect.read(body, route)
    except BadExchange as refusal:
        return refusal
    return ask
