"""Finds out whether another worker of the same server guards as well.

Limits that are kept in memory are this process's own, so two workers would give everybody twice the allowance. With a state
folder its lock tells them apart; without one, the processes that one server has started share a lock that is named after it.
Workers that share a store are numbered instead, so that each writes files of its own.
"""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from guard.errors import InstallError
from guard.settings import Policy

_REMEDY = (
    "another worker of this server guards with limits of its own, so everybody would have the allowance once for each: start the "
    "server with one worker (`--workers 1`), or run several servers behind a balancer that keeps each account on one of them"
)


_MOST = 256


def claim_number(state_dir: str, environ: Mapping[str, str]) -> int:
    """Which one of its server's workers this process is, from 1 on: the first number that no other process has claimed.

    For workers that share a store, and so may be many. The claim lasts as long as the process. Raises ``InstallError`` where
    nothing can be claimed.
    """
    if not state_dir and not _is_worker(environ):
        return 1
    folder = Path(state_dir) if state_dir else Path(tempfile.gettempdir())
    name = "worker" if state_dir else f"guard-{os.getuid()}-{os.getppid()}-worker"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in range(1, _MOST):
            if _claimed(folder / f"{name}-{number}.lock"):
                return number
    except OSError as error:
        raise InstallError(f"{folder}: can't be used to tell workers apart ({error.strerror})") from error
    raise InstallError(
        f"{folder}: {_MOST} workers are more than share one folder; give some a [state] dir of their own"
    )


def apart(policy: Policy, number: int) -> Policy:
    """The policy as that worker keeps it: files and sockets of its own from the second on, so that none is written by two."""
    if number <= 1:
        return policy
    mark = f"worker-{number}"
    state, audit, record, admin = policy.state, policy.audit, policy.record, policy.admin
    return replace(
        policy,
        state=replace(state, dir=str(Path(state.dir) / mark)) if state.dir else state,
        audit=replace(audit, file=_named(audit.file, mark)),
        record=replace(record, file=_named(record.file, mark)),
        admin=replace(admin, socket=_named(admin.socket, mark), tcp=""),
    )


def _named(file: str, mark: str) -> str:
    path = Path(file)
    return str(path.with_name(f"{path.stem}-{mark}{path.suffix}")) if file else ""


def _is_worker(environ: Mapping[str, str]) -> bool:
    return multiprocessing.parent_process() is not None or environ.get("SERVER_SOFTWARE", "").startswith("gunicorn")


def _claimed(path: Path) -> bool:
    """Whether the lock is this process's now. Never closed: closing any descriptor of the file would end the claim."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    return True


def claim_only_worker(environ: Mapping[str, str]) -> None:
    """Claims to be the only worker of the server that has started this process; ``InstallError`` where another one is.

    Nothing is claimed by a process that no server has started as a worker. The claim lasts as long as the process, and one
    process may claim as often as it likes.
    """
    if not _is_worker(environ):
        return
    path = Path(tempfile.gettempdir()) / f"guard-{os.getuid()}-{os.getppid()}.lock"
    try:
        if not _claimed(path):
            raise InstallError(_REMEDY)
    except OSError as error:
        raise InstallError(f"{path}: can't be locked ({error.strerror}); {_REMEDY}") from error
