"""delay: the app is called later; who waits holds a connection, and the policy says how long."""

from __future__ import annotations

from guard.contracts import Dialect, Forward
from guard.notice import notice_body, notice_headers
from guard.types import Decision


class Delay:
    name = "delay"

    def apply(self, decision: Decision, dialect: Dialect) -> Forward:
        return Forward(notice_headers(decision), decision.delay_s, notice=notice_body(decision))


PLUGIN = Delay
