"""refuse: 403, or the 4xx or 503 of a request that can't be judged, in the dialect's own error shape."""

from __future__ import annotations

from guard.contracts import Dialect, Reply
from guard.problem import refusal_headers
from guard.types import Decision


class Refuse:
    name = "refuse"

    def apply(self, decision: Decision, dialect: Dialect) -> Reply:
        return Reply(decision.status, refusal_headers(decision), dialect.error(decision))


PLUGIN = Refuse
