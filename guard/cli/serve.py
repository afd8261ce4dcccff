"""Runs guard in front of a model endpoint, as a reverse proxy. It ends in good order: streams that run are let to their end.

    guard serve --upstream http://127.0.0.1:8000
    guard serve --upstream http://10.0.0.7:8000 --host 0.0.0.0 --port 8080 --policy guard.toml
    guard serve --upstream https://api.example.com --upstream-header 'authorization=Bearer {UPSTREAM_KEY}'

The last one puts the operator's own key, from the environment, into every request; the clients' keys go no further, and only
clients that [identity] describe names are let through.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import ipaddress
import logging
import math
import os
import re
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from guard.cli._server import configured
from guard.cli._workers import INHERIT, listening, supervise
from guard.clock import SystemClock
from guard.config import load
from guard.errors import InstallError
from guard.quantities import duration_s

if TYPE_CHECKING:
    from guard.types import Headers

SUMMARY = "run guard as a reverse proxy in front of a model endpoint"
DEFAULT_POLICY = "guard.toml"
_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_NOT_TO_BE_SET = frozenset(
    ["connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"]
)
_SECRET_NAMES = frozenset(["authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "proxy-authorization"])
_WORKERS = (
    "several workers need a store that they share, or everybody would have the allowance once for each: give the policy "
    '[state] store = "redis://HOST:6379/0" and set GUARD_KEY; without a store start several `guard serve`, each with a port and a '
    "[state] dir of its own, behind a balancer that keeps each account on one of them (examples/nginx.conf does)"
)


def arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--upstream", metavar="URL", required=True, help="the model endpoint: http://HOST:PORT, and at most a path")
    add(
        "--policy",
        metavar="FILE",
        default="",
        help="file or preset (default: guard.toml here, else the preset observe)",
    )
    add("--host", metavar="H", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1)")
    add("--port", metavar="P", type=int, default=8080, help="the port to listen on; 0: any (default: 8080)")
    add(
        "--workers",
        metavar="N",
        type=int,
        default=1,
        help="how many processes; several need a [state] store (default: 1)",
    )
    add(INHERIT, metavar="FD", type=int, default=-1, help=argparse.SUPPRESS)
    add(
        "--upstream-header",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="a header for every request to the upstream; {VAR} in VALUE stands for an environment variable",
    )
    add("--anyone", action="store_true", help="whoever reaches this port may use the credential of --upstream-header")
    for name, default, what in (
        ("connect-timeout", "5s", "to connect to the upstream"),
        ("read-timeout", "10min", "for the upstream's answer to begin, and between two pieces of it"),
        ("pool-timeout", "10s", "for one of the connections to become free"),
        ("shutdown-timeout", "10min", "for running answers when it is told to end"),
        ("drain", "", "to go on listening, but not ready, when it is told to end (default: not at all)"),
    ):
        shown = f" (default: {default})" if default else ""
        add(f"--{name}", metavar="TIME", type=_time, default=default or 0.0, help=f"how long {what}{shown}")
    add("--connections", metavar="N", type=int, default=1000, help="to the upstream, at most (default: 1000)")
    add("--healthz", metavar="PATH", default="/healthz", help="liveness; '' for none (default: /healthz)")
    add("--readyz", metavar="PATH", default="/readyz", help="readiness; '' for none (default: /readyz)")
    add("--http", choices=("auto", "h11", "httptools"), default="auto", help="how requests are parsed (default: auto)")


def run(options: argparse.Namespace) -> int:
    policy = options.policy or (DEFAULT_POLICY if Path(DEFAULT_POLICY).exists() else "observe")
    if options.workers != 1:
        return _several(options, policy)
    _not_itself(options.upstream, options.host, options.port)
    headers, credential = upstream_headers(options.upstream_header, os.environ)
    try:
        import uvicorn  # noqa: PLC0415 - a server and a client, only when they are needed

        from guard.gateway import Probes, gateway  # noqa: PLC0415
        from guard.upstream import Timeouts  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise InstallError(
            f"{error.name} is missing; install it with: pip install 'extraction-guard[gateway]'"
        ) from None
    _log()
    _many_files()
    if os.getcwd() not in sys.path:  # for [identity] describe, as servers do it
        sys.path.insert(0, os.getcwd())
    gc.disable()  # all that is read now stays: looking for garbage in it as it grows finds none
    try:
        app = gateway(
            options.upstream,
            policy,
            headers=headers,
            credential=credential,
            anyone=options.anyone,
            timeouts=Timeouts(options.connect_timeout, options.read_timeout, options.pool_timeout),
            probes=Probes(options.healthz, options.readyz),
            most_connections=options.connections,
        )
    finally:
        gc.enable()
    app.guard.installation.collecting.spare()

    class Server(uvicorn.Server):
        """uvicorn, which after its first signal listens for a while, saying that it isn't ready, before it ends."""

        async def startup(self, sockets: Any = None) -> None:
            self._loop = asyncio.get_running_loop()
            await super().startup(sockets)

        def handle_exit(self, sig: int, frame: Any) -> None:
            first, app.draining = not app.draining, True
            if first and options.drain and self.started:
                finish = super().handle_exit
                self._loop.call_soon_threadsafe(self._loop.call_later, options.drain, finish, sig, None)
            else:
                super().handle_exit(sig, frame)

    server = Server(configured(app, options, math.ceil(options.shutdown_timeout)))
    inherited = options.inherit
    server.run([socket.socket(fileno=inherited)] if inherited >= 0 else None)
    return 0 if server.started else 1


def _several(options: argparse.Namespace, policy: str) -> int:
    if options.workers < 1 or not load(policy, now=SystemClock().now()).state.store:
        raise InstallError(_WORKERS)
    _not_itself(options.upstream, options.host, options.port)
    upstream_headers(options.upstream_header, os.environ)
    _log()
    words = sys.argv[1:]
    at = next((place for place, word in enumerate(words) if word.split("=")[0] == "--workers"), 0)
    command = words[:at] + words[at + (1 if "=" in words[at] else 2) :]
    try:
        bound = listening(options.host, options.port)
    except OSError as error:
        raise InstallError(f"{options.host}:{options.port} can't be listened on: {error.strerror}") from error
    say = logging.getLogger("guard").info
    say(f"listening on {bound.getsockname()[0]}:{bound.getsockname()[1]} with {options.workers} workers")
    with bound:
        return supervise(options.workers, command, bound, say)


def upstream_headers(given: list[str], environ: Mapping[str, str]) -> tuple[Headers, Headers]:
    """``NAME=VALUE`` as headers: plain ones, and those that hold a secret of the environment. Raises ``InstallError``.

    No message quotes a value.
    """
    plain: list[tuple[bytes, bytes]] = []
    secret: list[tuple[bytes, bytes]] = []
    for number, text in enumerate(given, 1):
        name, mark, value = text.partition("=")
        name = name.strip().lower()
        if not mark or not _NAME.fullmatch(name) or name in _NOT_TO_BE_SET:
            raise InstallError(
                f"--upstream-header number {number} is no header that can be set; write 'authorization=Bearer {{UPSTREAM_KEY}}'"
            )
        variables = _VARIABLE.findall(value)
        if name in _SECRET_NAMES and not variables:
            raise InstallError(
                f"--upstream-header {name} holds its secret, which the list of processes shows to everybody; put it into an "
                f"environment variable and write '{name}=… {{VARIABLE}}'"
            )
        for variable in variables:
            if not environ.get(variable, "").strip():
                raise InstallError(
                    f"--upstream-header {name} names the environment variable {variable}, which is not set"
                )
        filled = _VARIABLE.sub(lambda found: environ[found[1]].strip(), value)
        if not filled.isascii() or not filled.isprintable():
            raise InstallError(
                f"--upstream-header {name} has a value that no header can have (line breaks, other than ASCII)"
            )
        (secret if variables else plain).append((name.encode(), filled.strip().encode()))
    return tuple(plain), tuple(secret)


class OncePerSecond(logging.Filter):
    """Lets the same message of a server through at most once a second: clients decide how often it is written."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        message = str(record.msg)
        if record.created - self._last.get(message, -math.inf) < 1.0:
            return False
        if len(self._last) > 100:
            self._last.clear()
        self._last[message] = record.created
        return True


def _log() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("uvicorn.error").addFilter(OncePerSecond())
    for chatty in ("httpx", "aiohttp", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _many_files() -> None:
    """Each exchange needs two connections, and the usual bound of a login shell is 1,024."""
    try:
        import resource  # noqa: PLC0415 - not on every system
    except ModuleNotFoundError:
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _not_itself(upstream: str, host: str, port: int) -> None:
    """Raises ``InstallError`` for an upstream that is this gateway: a request would go round until nothing is left."""
    parts = urlsplit(upstream)
    named = parts.hostname or ""
    try:
        near = ipaddress.ip_address(named).is_loopback
    except ValueError:
        near = named == "localhost"
    if port and parts.port == port and (named == host or near):
        raise InstallError(f"the upstream is this gateway itself (port {port}); give it another --port")


def _time(text: str) -> float:
    try:
        return duration_s(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error.args[0]}; write 30s or 10min") from None
