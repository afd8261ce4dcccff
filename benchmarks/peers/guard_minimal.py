"""guard with one limit of requests per account and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

LABEL = "guard, one limit"
FRAMEWORK = "starlette"
PINS: list[str] = []
POLICY = """
version = 1
mode = "enforce"
[[limit]]
id = "one"
per = ["account"]
requests = "1000000000/minute"
"""


def build(bare: Callable[..., Any], scratch: Path) -> Any:
    from guard import GuardMiddleware

    path = scratch / "guard.toml"
    path.write_text(POLICY)
    return GuardMiddleware(bare(), policy=path)
