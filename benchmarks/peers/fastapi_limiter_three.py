"""fastapi-limiter with three dependencies, as its documentation shows, in memory.

Built like this all clients share one bucket: the limiter underneath ignores the identifier. It is measured as documented.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

LABEL = "fastapi-limiter, 3 limits"
FRAMEWORK = "fastapi"
PINS = ["fastapi-limiter==0.2.0", "fastapi==0.165.0", "starlette==1.10.0", "uvloop==0.23.0", "pyrate-limiter==4.5.1"]


def build(bare: Callable[..., Any], scratch: Path) -> Any:
    from fastapi import Depends
    from fastapi_limiter.depends import RateLimiter
    from pyrate_limiter import Duration, Limiter, Rate

    async def account(request: Any) -> str:
        return str(request.headers["authorization"])

    windows = (Duration.MINUTE, Duration.HOUR, Duration.DAY)
    limiters = [RateLimiter(Limiter(Rate(1_000_000_000, window)), identifier=account) for window in windows]
    return bare(dependencies=[Depends(limiter) for limiter in limiters])
