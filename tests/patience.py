"""Looks until something that takes real time has come to hold."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 60.0
"""A minute, so that a test that fails does so by its own assertion."""


def until(holds: Callable[[], bool], within_s: float = PATIENCE_S) -> float:
    """The seconds it took."""
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < within_s, "it never came to hold"
        time.sleep(0.005)
    return time.monotonic() - begun
