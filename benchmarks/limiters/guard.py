"""guard with one limit per account on a shared store, as the README's page on replicas sets it up."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

LABEL = "guard"
PINS: list[str] = []
REFILLS = True
"""Its limit is a meter that drains all the time, not a window that begins anew."""


def app() -> Any:
    import faults_endpoint as endpoint

    from guard import GuardMiddleware

    policy = f"""
version = 1
mode = "enforce"
[state]
store = "{endpoint.store()}"
replicas = {endpoint.replicas()}
[[limit]]
id = "all"
per = ["account"]
requests = "{endpoint.LIMIT}/minute"
"""
    path = Path(tempfile.mkdtemp(dir=".")) / "guard.toml"
    path.write_text(policy)
    return GuardMiddleware(endpoint.starlette_app(), policy=path)
