"""Who may use the operator's own credential: for a gateway that puts it into every request it sends on.

Such an upstream takes every request for the operator's, so nobody behind guard would ever be asked who he is. Here he is: what
``[identity] describe`` names may pass, on every path and in every mode, also when guard judges nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.describing import described
from guard.errors import BadExchange
from guard.identity import NeedsDescribe
from guard.routes import FLAT, NOT_PROTECTED
from guard.types import Route

if TYPE_CHECKING:
    from starlette.types import Scope

    from guard.installation import Installation

_ANY_PATH = Route("/*", FLAT)
_STRANGER = BadExchange(401, "credential", "This service needs a credential that it knows.")


async def admit(scope: Scope) -> None:
    """Lets a request pass whose credential the operator's callable has named. Raises ``BadExchange`` (401, 503) for any other."""
    installation: Installation = scope["guard"]
    guard, now = installation.guard, installation.clock.now()
    caller = guard.compiled.caller
    route = caller.route(scope)
    call = caller.call(scope, _ANY_PATH if route is NOT_PROTECTED else route)
    found = guard.identities.resolve(call, now)
    if isinstance(found, NeedsDescribe):
        await described(guard, found, call, now)
    if not guard.identities.named(call):
        raise _STRANGER
