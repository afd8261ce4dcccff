"""guard with everything on: the shipped ``standard`` policy, state, audit file, exchange log of features, metrics.

Only the amounts of its limits are raised, so that a thousand accounts in a loop are not limited.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

LABEL = "guard, everything on"
FRAMEWORK = "starlette"
PINS: list[str] = []
_RAISED = 1_000_000


def build(bare: Callable[..., Any], scratch: Path) -> Any:
    from guard import GuardMiddleware
    from guard.config import load

    shipped = load("standard")
    policy = replace(
        shipped,
        limits=tuple(_raised(limit) for limit in shipped.limits),
        state=replace(shipped.state, dir=str(scratch / "state")),
        audit=replace(shipped.audit, file=str(scratch / "audit.jsonl")),
        record=replace(shipped.record, file=str(scratch / "exchanges.jsonl")),
    )
    return GuardMiddleware(bare(), policy=policy)


def _raised(limit: Any) -> Any:
    units = ("requests", "tokens", "cost")
    windows = {
        unit: tuple(replace(window, amount=window.amount * _RAISED) for window in getattr(limit, unit))
        for unit in units
    }
    return replace(limit, **windows)
