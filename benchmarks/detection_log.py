"""Labelled exchange logs, made on demand by ``population.py`` of the shared evaluation and kept only as long as they are needed.

A log is 0.3 to 1 GB. Its name says what it was made from (scenario, seed, and a hash of the program, the scenario and the
corpora), so a kept one is never taken for another.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from detection_variants import SHARED, toml_of

MOST_KEPT = 24
"""Logs that ``--keep`` leaves in the cache at most; the ones used longest ago make room."""
MAKING_TIMEOUT_S = 1800


class NotMade(Exception):  # noqa: N818 - not a fault of guard: the run is reported as not judged
    """A log could not be made; the message says why."""


def path_of(name: str, seed: int, spec: Mapping[str, Any], cache: Path) -> Path:
    """Where the log of this scenario and seed lies, made or not."""
    digest = blake2b(toml_of(spec).encode(), digest_size=5)
    digest.update((SHARED / "eval" / "population.py").read_bytes())
    for corpus in sorted((SHARED / "data").rglob("*.jsonl")):
        digest.update(f"{corpus.name} {corpus.stat().st_size}".encode())
    return cache / "logs" / f"{name}-{seed}-{digest.hexdigest()}.jsonl"


def make(name: str, seed: int, spec: Mapping[str, Any], cache: Path) -> Path:
    """The log, made unless it is there. Raises ``NotMade``."""
    log = path_of(name, seed, spec, cache)
    if log.is_file():
        log.touch()
        return log
    log.parent.mkdir(parents=True, exist_ok=True)
    make_room(cache, MOST_KEPT - 1)
    scenario, partial = log.with_suffix(".toml"), log.with_suffix(".part")
    scenario.write_text(toml_of(spec), encoding="utf-8")
    program = SHARED / "eval" / "population.py"
    command = [sys.executable, str(program), str(scenario), "--corpora", str(SHARED / "data"), "--seed", str(seed)]
    try:
        with partial.open("wb") as out:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.PIPE,
                timeout=MAKING_TIMEOUT_S,
                check=False,
            )
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise NotMade(f"population.py failed: {said[-1] if said else f'exit code {done.returncode}'}")
        return partial.rename(log)
    except subprocess.TimeoutExpired:
        raise NotMade(f"population.py took longer than {MAKING_TIMEOUT_S} s") from None
    except OSError as error:
        raise NotMade(f"{error.filename}: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)
        scenario.unlink(missing_ok=True)


def make_room(cache: Path, most: int) -> None:
    """Removes the logs used longest ago until ``most`` are left."""
    logs = sorted((cache / "logs").glob("*.jsonl"), key=lambda log: log.stat().st_mtime)
    for log in logs[: max(0, len(logs) - most)]:
        log.unlink(missing_ok=True)
