"""`guard serve` with everything on: rules, recognition, state, audit, exchange log of features, metrics."""

from __future__ import annotations

import sys
from pathlib import Path

LABEL = "guard serve, everything on"
PINS: list[str] = []
# The shipped standard policy, but for its amounts: a few accounts in a loop are not to be limited.
POLICY = """
version = 1
mode = "enforce"
[state]
dir = "state"
[audit]
file = "audit.jsonl"
[record]
file = "exchanges.jsonl"
[[limit]]
id = "account"
per = ["account"]
requests = "600000000/minute; 900000000000/day"
tokens = "900000000000/minute; 999999999999/day"
concurrent = 64000
[[rule]]
id = "known-cluster"
when = { band = "confirmed", standing = { below = 0.5 } }
action = "refuse"
[[rule]]
id = "suspected"
when = { band = ["suspect", "confirmed"] }
action = "limit"
[[rule]]
id = "watched"
when = { band = "watch" }
action = "tag"
"""


def command(interpreter: Path, upstream: str, port: int, folder: Path) -> list[str]:
    (folder / "guard.toml").write_text(POLICY)
    words = ["-m", "guard", "serve", "--upstream", upstream, "--port", str(port), "--policy", "guard.toml"]
    return [str(interpreter or sys.executable), *words]
