from __future__ import annotations

import json

import pytest

from guard.dialects.openai_batches import OpenAIBatches
from guard.errors import BadExchange
from guard.hashing import HashKey
from guard.pipeline import Guard
from guard.settings import Policy, Protect
from guard.types import Route, Tally

from .conftest import REFUSED

BATCHES = OpenAIBatches()


@pytest.mark.parametrize("body", [{}, {"input_file_id": "file-1", "endpoint": "/v1/chat/completions"}])
def test_what_stands_in_a_file_is_refused(body: dict[str, str]) -> None:
    """The client reads that batches are closed, the operator what to do about it."""
    with pytest.raises(BadExchange) as caught:
        BATCHES.read(body, Route("/v1/batches", "openai_batches"))
    assert caught.value.status == 403
    assert "flat" in caught.value.private
    assert "flat" not in caught.value.public


def test_a_flat_cost_opens_them() -> None:
    """As the page of the dialect says."""
    routes = (Route("/v1/batches", "", (), 100_000), Route("/v1/batches/*", "", (), 1))
    core = Guard(Policy(protect=Protect(routes)), key=HashKey(b"x" * 32))
    for path, tokens in (("/v1/batches", 100_000), ("/v1/batches/batch_1/cancel", 1)):
        found = core.compiled.caller.route({"path": path})
        assert isinstance(found, Route)
        assert (found.dialect, found.flat_tokens) == ("flat", tokens)


def test_errors() -> None:
    """In OpenAI's shape, and nothing is counted."""
    tally = Tally()
    BATCHES.count({"object": "batch", "id": "batch_1"}, tally)
    assert tally == Tally()
    assert json.loads(BATCHES.error(REFUSED))["error"]["type"] == "permission_error"
    assert BATCHES.error_event(REFUSED).startswith(b"data: ")
