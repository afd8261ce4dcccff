"""asgi-ratelimit with one rule of three windows per account, in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

LABEL = "asgi-ratelimit, 3 windows"
FRAMEWORK = "starlette"
PINS = ["asgi-ratelimit==0.10.0", "starlette==1.10.0", "uvloop==0.23.0"]


def build(bare: Callable[..., Any], scratch: Path) -> Any:
    from ratelimit import RateLimitMiddleware, Rule
    from ratelimit.backends.simple import MemoryBackend

    async def account(scope: Any) -> tuple[str, str]:
        return dict(scope["headers"])[b"authorization"].decode(), "default"

    most = 1_000_000_000
    rule = Rule(minute=most, hour=most, day=most)
    return RateLimitMiddleware(bare(), authenticate=account, backend=MemoryBackend(), config={r"^/v1/": [rule]})
