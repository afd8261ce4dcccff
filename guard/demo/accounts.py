"""The demo's accounts, as its policy asks for them (``[identity] describe``).

guard is told an id for each credential and nothing else: no age, no payment, no name of a group. So each is an account without
standing, the honest ones too, and what guard finds it finds by how they ask.
"""

from __future__ import annotations

from guard.types import AccountFacts

_SECRET = "sk-demo-"  # noqa: S105 - every credential of the demo begins so


def credential(account: str) -> str:
    """What an account of the demo shows."""
    return _SECRET + account


def describe(shown: str) -> AccountFacts | None:
    """Whose credential that is; None: nobody's."""
    return AccountFacts(id=shown.removeprefix(_SECRET)) if shown.startswith(_SECRET) else None
