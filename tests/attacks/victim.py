"""A guarded endpoint on a real uvicorn in a process of its own, to be measured, killed and started again.

``python -m tests.attacks.victim FD SETTINGS`` serves on the listening socket that it inherits, so that a client may connect
before it is up. ``SETTINGS`` is JSON: ``policy`` (a path), and the rest as ``uvicorn.Config`` takes it.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.attacks.wire import PATIENCE_S, ask_once

ROOT = Path(__file__).resolve().parents[2]


class Victim:
    """One server process. Its words (stdout and stderr) go to ``folder/said``."""

    def __init__(self, folder: Path, policy: Path, *, uds: str = "", **settings: Any) -> None:
        self.folder = folder
        self.to: int | str
        if uds:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(uds)
            self.to = uds
        else:
            listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
            self.to = listener.getsockname()[1]
        listener.listen(1024)
        listener.set_inheritable(True)
        said = (folder / "said").open("ab")
        words = [sys.executable, "-m", "tests.attacks.victim", str(listener.fileno())]
        self.process = subprocess.Popen(
            [*words, json.dumps({"policy": str(policy), **settings})],
            cwd=ROOT, stdout=said, stderr=said, pass_fds=[listener.fileno()], env={**os.environ, "PYTHONHASHSEED": "0"},
        )  # fmt: skip
        listener.close()
        said.close()

    @property
    def said(self) -> str:
        return (self.folder / "said").read_text(errors="replace")

    def seen(self) -> dict[str, int]:
        """What reached the endpoint so far."""
        seen: dict[str, int] = ask_once(self.to, b"", method="GET", path="/seen").json()
        return seen

    def release(self) -> None:
        """Lets go of every request that the endpoint holds."""
        assert ask_once(self.to, b"", path="/release").status == 200

    def rss_bytes(self) -> int:
        """Resident memory now."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def forget_peak(self) -> None:
        """The peak counts from now on."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def peak_bytes(self) -> int:
        """The most resident memory since ``forget_peak``."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def stop(self) -> int:
        """Asks it to end and waits until it has; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        if self.process.poll() is None:
            self.kill()


def wrapped() -> Any:
    """The guarded endpoint under the policy that ``VICTIM_POLICY`` names, for ``uvicorn --factory``."""
    from guard import GuardMiddleware
    from tests.attacks.upstream import Upstream

    return GuardMiddleware(Upstream(keep=False), policy=Path(os.environ["VICTIM_POLICY"]))


def main() -> None:
    import uvicorn

    descriptor, settings = int(sys.argv[1]), json.loads(sys.argv[2])
    os.environ["VICTIM_POLICY"] = settings.pop("policy")
    logging.basicConfig(level=logging.DEBUG if settings.pop("debug", False) else logging.INFO)
    settings = {"log_config": None, "access_log": False, "timeout_graceful_shutdown": 2} | settings
    uvicorn.Server(uvicorn.Config(wrapped(), **settings)).run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    main()
