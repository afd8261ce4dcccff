"""slowapi's ASGI middleware with three limits per account, in memory. Its key is the credential as it stands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

LABEL = "slowapi ASGI, 3 limits"
FRAMEWORK = "starlette"
PINS = ["slowapi==0.1.10", "starlette==1.10.0", "uvloop==0.23.0"]


def build(bare: Callable[..., Any], scratch: Path) -> Any:
    from slowapi import Limiter
    from slowapi.middleware import SlowAPIASGIMiddleware

    def account(request: Any) -> str:
        return str(request.headers["authorization"])

    app = bare()
    limits = ["1000000000/minute", "1000000000/hour", "1000000000/day"]
    app.state.limiter = Limiter(key_func=account, default_limits=limits)
    app.add_middleware(SlowAPIASGIMiddleware)
    return app
