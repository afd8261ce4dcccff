"""An account's standing, 0 to 1: half for age, and as much again where the operator has verified it.

An old account that nobody verified, and a verified one of yesterday, are both had for little; one that is both is not.
"""

from __future__ import annotations

MATURE_S = 30 * 86_400.0
"""The age at which an account has all of the standing that age gives."""
STANDING = 0.5
"""So much is enough to be left out where groups are looked for, and to stand outside what the fresh ones share."""


def standing(since: float, now: float, *, verified: bool) -> float:
    """``since``: when the account was created, or first seen where nobody states it; what lies ahead of ``now`` is no age."""
    age = (now - since) / MATURE_S
    half = 0.5 if age >= 1.0 else 0.5 * age if age > 0.0 else 0.0
    return half + half if verified else half


def stands(since: float, now: float, *, verified: bool) -> bool:
    """Whether that is ``STANDING`` or more, in half the time."""
    return (now - since) / MATURE_S >= (0.5 if verified else 1.0)
