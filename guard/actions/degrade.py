"""degrade: the app answers less: a smaller request, an answer without what a student model would learn from, slowly."""

from __future__ import annotations

from guard.contracts import Dialect, Forward
from guard.degrading import wanted
from guard.notice import notice_body, notice_headers
from guard.types import Decision


class Degrade:
    name = "degrade"

    def apply(self, decision: Decision, dialect: Dialect) -> Forward:
        return Forward(notice_headers(decision), wanted=wanted(decision), notice=notice_body(decision))


PLUGIN = Degrade
