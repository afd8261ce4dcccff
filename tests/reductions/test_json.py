from __future__ import annotations

from copy import deepcopy
from typing import Any

from guard.degrading import Wanted, Watch
from guard.reductions.json import PLUGIN
from guard.types import Route

PLAIN = Route("/generate", "json", (("prompt", "inputs"),))
NAMED = Route(
    "/generate", "json", (("prompt", "inputs"), ("max_tokens", "parameters.max_new_tokens"), ("model", "to.name"))
)


def reduced(body: dict[str, Any], route: Route = NAMED, **wanted: Any) -> dict[str, Any]:
    body = deepcopy(body)
    PLUGIN().request(body, Wanted(**wanted), route)
    return body


def test_the_budget_is_capped_where_it_stands() -> None:
    """At the route's path, beside it under any other name, and at the top; where there is none one is set."""
    body = reduced(
        {"max_tokens": 900, "parameters": {"max_new_tokens": 900, "num_predict": 900, "n": 4}}, budget_tokens=64
    )
    assert body == {"max_tokens": 64, "parameters": {"max_new_tokens": 64, "num_predict": 64, "n": 1}}
    assert reduced({"inputs": "x"}, budget_tokens=64) == {"inputs": "x", "parameters": {"max_new_tokens": 64}}
    assert reduced({"inputs": "x"}, PLAIN, budget_tokens=64) == {"inputs": "x", "max_tokens": 64}


def test_another_model_and_no_log_probabilities() -> None:
    body = {"inputs": "x", "to": {"name": "big"}, "logprobs": 5, "parameters": {"top_n_tokens": 5}}
    assert reduced(body, model="small", logprobs=True) == {"inputs": "x", "to": {"name": "small"}, "parameters": {}}


def test_the_answer_loses_its_log_probabilities_at_any_depth() -> None:
    payload = {"details": {"tokens": [{"text": "a", "logprob": -1.0}]}, "choices": [{"logprobs": {"tokens": []}}]}
    event = deepcopy(payload)
    PLUGIN().answer(payload, Watch(logprobs=True))
    assert payload == {"details": {"tokens": [{"text": "a", "logprob": None}]}, "choices": [{"logprobs": None}]}
    stream = PLUGIN().stream(Watch(logprobs=True))
    assert stream.reduce(event) == (payload,)
    assert stream.reduce({"text": "a"}) is None
    assert PLUGIN().tell(event, {"a": 1})
    assert event["guard"] == {"a": 1}


def test_what_it_is_not_able_to_do() -> None:
    """There is no common word for reasoning: such exchanges are limited instead (``policy.py``)."""
    assert not PLUGIN.able & {"reasoning", "concise"}
