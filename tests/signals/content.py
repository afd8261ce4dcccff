"""How a content signal reads a text: as the fingerprint stage hands it on, with its disguise undone."""

from __future__ import annotations

from guard.contracts import Signal
from guard.plain import folded
from guard.types import Ask

ASK = Ask("json", "m", False, "", (), b"", b"", None)


def read(signal: Signal, text: str) -> float:
    return signal.read(ASK, folded(text).encode())
