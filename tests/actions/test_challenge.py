from __future__ import annotations

import orjson

from guard.actions.challenge import PLUGIN
from guard.contracts import Dialect
from tests.actions.conftest import decision


def test_challenge_names_the_address(dialect: Dialect) -> None:
    """403 in the dialect's shape; the address stands in the problem and in a header, and no secret anywhere."""
    reply = PLUGIN().apply(decision("challenge", 403, rule="prove", verify_at="https://example.org/verify"), dialect)
    headers = dict(reply.headers)

    assert reply.status == 403
    assert headers[b"link"] == b'<https://example.org/verify>; rel="help"'
    assert headers[b"x-guard-reference"] == b"0123456789ab"
    assert b'"verify_at":"https://example.org/verify"' in reply.body
    assert b"abnormal-usage-detected" in reply.body
    assert b"retry-after" not in headers
    assert orjson.loads(reply.body)
    for secret in (b"PRIVATE", b"0.77", b"suspect"):
        assert secret not in reply.body + repr(headers).encode()
