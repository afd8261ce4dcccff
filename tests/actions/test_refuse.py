from __future__ import annotations

import orjson

from guard.actions.refuse import PLUGIN
from guard.contracts import Dialect
from tests.actions.conftest import decision


def test_refuse_answers_403_in_words(dialect: Dialect) -> None:
    """403 as JSON in the dialect's shape, with the sentence and the reference, and without a wait or a secret."""
    reply = PLUGIN().apply(decision("refuse", 403, rule="deny"), dialect)
    names = {name for name, _ in reply.headers}

    assert reply.status == 403
    body = orjson.loads(reply.body)
    assert "error" in body or body["status"] == 403
    assert b"The client may read this." in reply.body
    assert b"x-guard-reference" in names
    assert b"retry-after" not in names
    assert b"PRIVATE" not in reply.body


def test_a_fault_keeps_its_status(dialect: Dialect) -> None:
    """A request that can't be judged is answered with the fault's own status."""
    assert PLUGIN().apply(decision("refuse", 415), dialect).status == 415
