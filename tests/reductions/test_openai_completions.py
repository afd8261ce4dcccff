from __future__ import annotations

from copy import deepcopy
from typing import Any

from guard.degrading import Wanted, Watch
from guard.reductions.openai_completions import PLUGIN
from guard.types import Route

ROUTE = Route("/v1/completions", "openai_completions")


def reduced(body: dict[str, Any], **wanted: Any) -> dict[str, Any]:
    body = {"model": "m", "prompt": "x"} | deepcopy(body)
    PLUGIN().request(body, Wanted(**wanted), ROUTE)
    return {key: value for key, value in body.items() if key != "prompt"}


def test_less_is_asked_for() -> None:
    """Budget and choices, log-probabilities, model."""
    assert reduced({"max_tokens": 900, "n": 4, "best_of": 8}, budget_tokens=64) == {
        "model": "m",
        "max_tokens": 64,
        "n": 1,
        "best_of": 1,
    }
    assert reduced({}, budget_tokens=64) == {"model": "m", "max_tokens": 64}
    assert reduced({"max_tokens": 0}, budget_tokens=64) == {"model": "m", "max_tokens": 0}
    assert reduced({"logprobs": 5, "logit_bias": {"1": 2}, "echo": True}, logprobs=True) == {"model": "m", "echo": True}
    assert reduced({}, model="small") == {"model": "small"}


def test_log_probabilities_are_taken_out() -> None:
    """Of a whole answer and of a stream; what has none passes as it is."""
    payload = {"choices": [{"index": 0, "text": "a", "logprobs": {"tokens": ["a"]}}]}
    event = deepcopy(payload)
    PLUGIN().answer(payload, Watch(logprobs=True))
    assert payload == {"choices": [{"index": 0, "text": "a", "logprobs": None}]}
    stream = PLUGIN().stream(Watch(logprobs=True))
    assert stream.reduce(event) == (payload,)
    assert stream.reduce({"choices": [{"text": "a"}]}) is None
    assert stream.reduce({"choices": "odd"}) is None


def test_the_answer_tells() -> None:
    answer: dict[str, Any] = {"choices": []}
    assert PLUGIN().tell(answer, {"a": 1})
    assert answer["guard"] == {"a": 1}
    assert not PLUGIN().tell({"error": {}}, {"a": 1})
