from __future__ import annotations

import orjson

from guard.actions.limit import PLUGIN
from guard.contracts import Dialect
from tests.actions.conftest import QUOTA, decision


def test_limit_answers_429_with_a_wait(dialect: Dialect) -> None:
    """429, ``Retry-After`` of 1 to 60 s, the RateLimit fields of the quota, the public sentence, and no secret."""
    reply = PLUGIN().apply(
        decision("limit", 429, retry_after_s=3_600, quotas=(QUOTA,), reasons=("free", "limit_requests")), dialect
    )
    headers = dict(reply.headers)

    assert reply.status == 429
    assert 54 <= int(headers[b"retry-after"]) <= 60
    assert headers[b"x-guard-reference"] == b"0123456789ab"
    assert b'"free";r=0' in headers[b"ratelimit"]
    assert b"The client may read this." in reply.body
    assert b"quota-exceeded" in orjson.dumps(orjson.loads(reply.body))
    for secret in (b"PRIVATE", b"0.77", b"suspect"):
        assert secret not in reply.body + repr(headers).encode()


def test_a_limit_by_a_rule_shows_no_quota(dialect: Dialect) -> None:
    """Where suspicion limits, no RateLimit field lets the client read how close it was."""
    reply = PLUGIN().apply(decision("limit", 429, retry_after_s=30, rule="suspected", quotas=(QUOTA,)), dialect)
    names = {name for name, _ in reply.headers}

    assert b"retry-after" in names
    assert not {b"ratelimit", b"ratelimit-policy"} & names
