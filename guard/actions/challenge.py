"""challenge: 403 with the operator's address where the owner can verify the account, in the dialect's own error shape.

The address stands in the sentence, in the problem details (``verify_at``) and in a ``Link`` header of the relation ``help``.
"""

from __future__ import annotations

from guard.contracts import Dialect, Reply
from guard.problem import refusal_headers
from guard.types import Decision


class Challenge:
    name = "challenge"

    def apply(self, decision: Decision, dialect: Dialect) -> Reply:
        link = (b"link", b'<%b>; rel="help"' % decision.verify_at.encode("ascii", "ignore"))
        return Reply(decision.status, (*refusal_headers(decision), link), dialect.error(decision))


PLUGIN = Challenge
