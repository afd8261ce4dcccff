"""guard: recognises accounts that act as one and keeps extraction campaigns from taking a model, inline.

    from guard import GuardMiddleware
    app = GuardMiddleware(app, policy="guard.toml")

``AccountFacts`` is what an operator's ``describe`` returns, ``Decision`` what stands in ``scope["state"]["guard"]``; ``Guard``
is the synchronous core. ``guard.testing.allow_all`` keeps guard out of an app's own tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard.errors import GuardError, InstallError, PolicyError
from guard.settings import Policy
from guard.types import AccountFacts, Decision

if TYPE_CHECKING:
    from guard.middleware import GuardMiddleware
    from guard.pipeline import Guard

__version__ = "0.1.0"
__all__ = [
    "AccountFacts",
    "Decision",
    "Guard",
    "GuardError",
    "GuardMiddleware",
    "InstallError",
    "Policy",
    "PolicyError",
]

# Imported when first asked for: `guard --help` and a `describe` module need neither the pipeline nor its libraries.
_LATE = {"Guard": "guard.pipeline", "GuardMiddleware": "guard.middleware"}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        from importlib import import_module  # noqa: PLC0415 - see above

        return getattr(import_module(_LATE[name]), name)
    raise AttributeError(f"module 'guard' has no attribute {name!r}")
