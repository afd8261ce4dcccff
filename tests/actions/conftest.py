from __future__ import annotations

import pytest

from guard.contracts import Dialect
from guard.registry import discover
from guard.types import Decision, Quota


@pytest.fixture(params=sorted(discover("dialects")))
def dialect(request: pytest.FixtureRequest) -> Dialect:
    """Each dialect in turn: an action speaks all of them."""
    plugin: Dialect = discover("dialects")[request.param]()
    return plugin


def decision(action: str, status: int = 200, **fields: object) -> Decision:
    """A decision with a secret in every field that a client must not see."""
    base: dict[str, object] = {
        "action": action,
        "enforced": True,
        "status": status,
        "reference": "0123456789ab",
        "score": 0.77123,
        "band": "suspect",
        "public": "The client may read this.",
        "private": "PRIVATE",
    }
    return Decision(**(base | fields))  # type: ignore[arg-type]


QUOTA = Quota("free", "requests", 20, 60.0, 0, 12.0)
