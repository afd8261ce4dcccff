"""allow: the app answers; nothing is added."""

from __future__ import annotations

from guard.contracts import Dialect, Forward
from guard.types import Decision


class Allow:
    name = "allow"

    def apply(self, decision: Decision, dialect: Dialect) -> Forward:
        return Forward()


PLUGIN = Allow
