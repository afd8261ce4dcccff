"""limit: 429 with ``Retry-After`` and the RateLimit fields, in the dialect's own error shape."""

from __future__ import annotations

from guard.contracts import Dialect, Reply
from guard.problem import refusal_headers
from guard.types import Decision


class Limit:
    name = "limit"

    def apply(self, decision: Decision, dialect: Dialect) -> Reply:
        return Reply(decision.status, refusal_headers(decision), dialect.error(decision))


PLUGIN = Limit
