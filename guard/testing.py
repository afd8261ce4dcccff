"""For the tests of an app that guard protects.

from guard.testing import allow_all

with allow_all():                    # guard steps aside: nothing is read, counted, limited or refused
    client.post("/v1/chat/completions", json=…)

@allow_all()                         # the same for a whole test
def test_my_endpoint(): …
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest.mock import patch

from guard.clock import ManualClock
from guard.middleware import GuardMiddleware
from guard.types import Decision

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

ALLOWED = Decision(action="allow", enforced=False, status=200, reference="000000000000", score=0.0, band="low")


@contextmanager
def allow_all() -> Iterator[None]:
    """While it lasts every ``GuardMiddleware`` of this process passes everything on; works across threads.

    ``scope["state"]["guard"]`` still holds a decision (allow), so that apps that read it go on working.
    """

    async def pass_on(self: GuardMiddleware, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in {"http", "websocket"}:
            scope.setdefault("state", {})["guard"] = ALLOWED
        await self.app(scope, receive, send)

    with patch.object(GuardMiddleware, "__call__", pass_on):
        yield


__all__ = ["ALLOWED", "ManualClock", "allow_all"]
