"""One virtual environment for each set of pinned requirements, made on first use and kept in a cache directory."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from hashlib import blake2b
from pathlib import Path

INSTALL_TIMEOUT_S = 600


class Unavailable(Exception):  # noqa: N818 - not an error: the peer is left out, and the report says so
    """An environment could not be made; the message says why."""


def python_of(pins: list[str], cache: Path) -> tuple[Path, float]:
    """The interpreter for ``pins`` and the seconds it took to make; no pins: the one that runs this."""
    if not pins:
        return Path(sys.executable), 0.0
    wanted = {"pins": pins, "python": sys.version.split()[0]}
    folder = cache / f"{pins[0].replace('==', '-')}-{blake2b(json.dumps(wanted).encode(), digest_size=4).hexdigest()}"
    interpreter = folder / "bin" / "python"
    finished = folder / "finished.json"
    if finished.is_file() and interpreter.exists():
        return interpreter, 0.0
    shutil.rmtree(folder, ignore_errors=True)
    started = time.monotonic()
    try:
        _run([sys.executable, "-m", "venv", str(folder)])
        _run(
            [
                str(interpreter),
                "-m",
                "pip",
                "install",
                "--quiet",
                "--retries",
                "1",
                "--disable-pip-version-check",
                *pins,
            ]
        )
    except Unavailable:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finished.write_text(json.dumps(wanted))
    return interpreter, time.monotonic() - started


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{' '.join(command[1:4])} took longer than {INSTALL_TIMEOUT_S} s") from None
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = (errors or done.stderr.splitlines() or ["no message"])[-1]
        raise Unavailable(f"{' '.join(command[1:4])} failed ({reason}); is the package index reachable?")
