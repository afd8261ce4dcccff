"""Several processes behind one port: the parent holds the socket, its children serve, and one that dies is replaced.

Each is the same command line with ``--inherit FD`` in the place of ``--workers``.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from types import FrameType

INHERIT = "--inherit"
_YOUNG_S = 5.0
"""A child that ends sooner has not started: the next one would not either."""
_LOOK_S = 0.2


def listening(host: str, port: int) -> socket.socket:
    """A socket that all workers accept from. Raises ``OSError``."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.create_server((host, port), family=family, backlog=2048)
    bound.setblocking(False)
    return bound


def supervise(count: int, command: Sequence[str], bound: socket.socket, say: Callable[[str], None]) -> int:
    """Runs ``count`` of ``command`` until told to end (SIGTERM, SIGINT), then lets them end. The exit code: 0, or 1 where they
    could not start."""
    ending: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        ending.append(number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    running: dict[subprocess.Popen[bytes], float] = {}
    failed = False
    try:
        while not (ending or failed):
            for child in [child for child in running if child.poll() is not None]:
                failed = time.monotonic() - running.pop(child) < _YOUNG_S
                say(f"worker {child.pid} ended with {child.returncode}" + (", before it had started" if failed else ""))
            while len(running) < count and not (ending or failed):
                child = _started(command, bound)
                running[child] = time.monotonic()
                say(f"worker {child.pid} started")
            time.sleep(_LOOK_S)
    finally:
        for child in running:
            child.send_signal(signal.SIGTERM)
        for child in running:
            child.wait()
        for number, handler in before.items():
            signal.signal(number, handler)
    return 1 if failed else 0


def _started(command: Sequence[str], bound: socket.socket) -> subprocess.Popen[bytes]:
    # A session of its own: an interrupt at the terminal reaches the parent alone, which lets the children end.
    return subprocess.Popen(  # noqa: S603 - this very command line
        [sys.executable, "-m", "guard", *command, INHERIT, str(bound.fileno())],
        pass_fds=[bound.fileno()],
        start_new_session=True,
    )
