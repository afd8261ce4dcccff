"""Runs a script in Node with the official JavaScript clients, where both are there.

``GUARD_NODE_MODULES`` names a folder in which ``npm install openai @anthropic-ai/sdk`` was run; without it, or without ``node``, such a
test is skipped and says so. Nothing is installed by a test.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

_TIMEOUT_S = 60


def run(package: str, script: str, *arguments: str) -> Any:
    """What the script prints as its last line, as JSON. ``package`` must be installed; arguments are ``process.argv`` from 2 on."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    folder = os.environ.get("GUARD_NODE_MODULES", "")
    modules = Path(folder) / "node_modules"
    if not folder or not (modules / package).is_dir():
        pytest.skip(f"GUARD_NODE_MODULES names no folder with node_modules/{package}: npm install {package} there")
    done = subprocess.run(
        [node, "-e", script, "--", *arguments],
        env={"PATH": os.environ["PATH"], "NODE_PATH": str(modules)},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.strip().splitlines()[-1])
