"""fastapi-guard's pure ASGI middleware as it is shipped, but for the rate limit and Redis (none): detection is on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

LABEL = "fastapi-guard, as shipped"
FRAMEWORK = "fastapi"
PINS = ["fastapi-guard==8.1.2", "guard-core==4.4.0", "fastapi==0.165.0", "starlette==1.10.0", "uvloop==0.23.0"]


def build(bare: Callable[..., Any], scratch: Path) -> Any:
    from guard import PureASGISecurityMiddleware, SecurityConfig

    app = bare()
    app.add_middleware(PureASGISecurityMiddleware, config=SecurityConfig(enable_redis=False, rate_limit=1_000_000_000))
    return app
