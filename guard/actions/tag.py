"""tag: the app answers; the decision stands in ``scope["state"]["guard"]`` and in the record, and the answer bears its reference.

The reference lets an operator find the exchange again; it says nothing of scores or reasons.
"""

from __future__ import annotations

from guard.contracts import Dialect, Forward
from guard.types import Decision


class Tag:
    name = "tag"

    def apply(self, decision: Decision, dialect: Dialect) -> Forward:
        return Forward(((b"x-guard-reference", decision.reference.encode()),))


PLUGIN = Tag
