"""A BaseHTTPMiddleware that does nothing: what most hand-written limiters start from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

LABEL = "no-op BaseHTTPMiddleware"
FRAMEWORK = "starlette"
PINS: list[str] = []


def build(bare: Callable[..., Any], scratch: Path) -> Any:
    from starlette.middleware.base import BaseHTTPMiddleware

    async def carry_on(request: Any, call_next: Callable[[Any], Any]) -> Any:
        return await call_next(request)

    return BaseHTTPMiddleware(bare(), dispatch=carry_on)
