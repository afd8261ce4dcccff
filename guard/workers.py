"""Finds out whether another worker of the same server guards as well.

Limits that are kept in memory are this process's own, so two workers would give everybody twice the allowance. With a state
folder its lock tells them apart; without one, the processes that one server has started share a lock that is named after it.
"""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from guard.errors import InstallError

_REMEDY = (
    "another worker of this server guards with limits of its own, so everybody would have the allowance once for each: start the "
    "server with one worker (`--workers 1`), or run several servers behind a balancer that keeps each account on one of them"
)


def claim_only_worker(environ: Mapping[str, str]) -> None:
    """Claims to be the only worker of the server that has started this process; ``InstallError`` where another one is.

    Nothing is claimed by a process that no server has started as a worker. The claim lasts as long as the process, and one
    process may claim as often as it likes.
    """
    if multiprocessing.parent_process() is None and not environ.get("SERVER_SOFTWARE", "").startswith("gunicorn"):
        return
    path = Path(tempfile.gettempdir()) / f"guard-{os.getuid()}-{os.getppid()}.lock"
    try:
        # Never closed: closing any descriptor of the file would end the process's claim.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InstallError(_REMEDY) from None
    except OSError as error:
        raise InstallError(f"{path}: can't be locked ({error.strerror}); {_REMEDY}") from error
