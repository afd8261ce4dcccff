"""The operator's channel: a Unix socket, and TCP with a token where there must be, that speak JSON lines.

    → {"verb": "mode", "mode": "observe", "for_s": 7200, "why": "false positives since 02:40"}
    ← {"ok": true, "mode": "observe", "was": "enforce", "until": 1700007200.0}
    ← {"ok": false, "error": "no mode 'obsreve'; did you mean 'observe'?"}

The verbs are ``control.py``'s. The socket is 0600 in a folder that only its owner may enter: whoever may open it is the
operator, and the audit names the user id. Over TCP each line carries ``"token"``, compared in constant time; a wrong one
ends the connection, and an address that keeps guessing is no longer listened to for a minute. TCP is not encrypted: keep it
on loopback or inside a tunnel.

Whatever comes in, the server lives: lines of at most 64 KiB, 16 connections, 30 s for a line, 10 s to take an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import struct
from ipaddress import ip_address
from logging import WARNING
from typing import Any

import orjson

from guard.admin_token import AdminToken
from guard.channel import host_and_port
from guard.clock import Clock
from guard.control import Control
from guard.errors import GuardError, InstallError
from guard.logs import Log
from guard.settings import Admin
from guard.types import JSONObject

MAX_LINE_BYTES = 64 * 1024
MAX_CONNECTIONS = 16
IDLE_S = 30.0
WRITE_S = 10.0
_UNAUTHORIZED: JSONObject = {"ok": False, "status": 401, "error": "unauthorized"}


class AdminServer:
    """Serves ``control`` where ``admin`` says. ``warnings`` are sentences about its set-up for ``guard status``.

    Raises ``InstallError``, when it is made for a token that won't do, when it starts for a socket that can't be opened.
    """

    def __init__(
        self,
        control: Control,
        admin: Admin,
        clock: Clock,
        *,
        log: Log | None = None,
        idle_s: float = IDLE_S,
        write_s: float = WRITE_S,
    ) -> None:
        self.warnings: tuple[str, ...] = ()
        self.refused = 0
        """Connections turned away because there were too many."""
        self._control = control
        self._admin = admin
        self._clock = clock
        self._log = log or Log()
        self._idle_s = idle_s
        self._write_s = write_s
        self._token: AdminToken | None = None
        self._servers: list[asyncio.Server] = []
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._closing = False
        self._inode: tuple[int, int] | None = None
        if admin.tcp:
            self._token = AdminToken(admin.token_file)
            host, _ = host_and_port(admin.tcp)
            if not _is_loopback(host):
                self.warnings = (f"the operator's channel listens on {host} without encryption: put it into a tunnel",)

    async def start(self) -> None:
        """Listens. A second call while it does changes nothing."""
        if self._servers:
            return
        self._closing = False
        try:
            if self._admin.socket:
                bound = open_socket(self._admin.socket)
                self._inode = _inode(self._admin.socket)
                self._servers.append(
                    await asyncio.start_unix_server(self._serve_local, sock=bound, limit=MAX_LINE_BYTES)
                )
            if self._admin.tcp:
                host, port = host_and_port(self._admin.tcp)
                self._servers.append(await asyncio.start_server(self._serve_tcp, host, port, limit=MAX_LINE_BYTES))
        except OSError as error:
            await self.close()
            where = self._admin.tcp if self._admin.socket == "" or self._servers else self._admin.socket
            raise InstallError(
                f"the operator's channel can't listen on {where}: {error.strerror}; choose another address in [admin]"
            ) from error
        for where in filter(None, (self._admin.socket, self._admin.tcp)):
            self._log.event("admin", self._clock.now(), what=f"listening on {where}")

    @property
    def port(self) -> int:
        """The TCP port in use (the system chose it where the policy says 0); 0: there is none."""
        for server in self._servers:
            for bound in server.sockets:
                if bound.family != socket.AF_UNIX:
                    return int(bound.getsockname()[1])
        return 0

    async def close(self) -> None:
        """Ends every connection and takes the socket away, if it is still this server's."""
        for server in self._servers:
            server.close()
        self._closing = True
        for writer in self._open.values():
            writer.transport.abort()
        if self._open:
            await asyncio.wait(tuple(self._open))
        self._servers.clear()
        if self._inode is not None and _inode(self._admin.socket) == self._inode:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._admin.socket)
        self._inode = None

    # -- connections -----------------------------------------------------------------------------------------------

    async def _serve_local(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._serve(reader, writer, _peer_name(writer), "")

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername") or ("",)
        await self._serve(reader, writer, "tcp token", str(peer[0]) or "unknown")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, by: str, address: str) -> None:
        task = asyncio.current_task()
        assert task is not None, "a connection is served in a task"
        try:
            if len(self._open) >= MAX_CONNECTIONS:
                self.refused += 1
                await self._write(writer, _error("too many connections; close one"))
                return
            self._open[task] = writer
            await self._converse(reader, writer, by, address)
        except (OSError, TimeoutError):
            # A client that vanished, stalled or never finished its line. Closing would wait until it takes what it is owed.
            writer.transport.abort()
        finally:
            self._open.pop(task, None)
            writer.close()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, by: str, address: str
    ) -> None:
        while True:
            try:
                async with asyncio.timeout(self._idle_s):
                    line = await reader.readuntil(b"\n")
            except asyncio.IncompleteReadError:
                return
            except asyncio.LimitOverrunError:
                await self._write(writer, _error(f"a line has at most {MAX_LINE_BYTES} bytes"))
                return
            asked = _parsed(line)
            if address and not self._is_known(asked, address):
                await self._write(writer, _UNAUTHORIZED)
                return
            await self._write(writer, await self._answer(asked, by))

    def _is_known(self, asked: JSONObject | None, address: str) -> bool:
        """Whether a line that came over TCP carries the token."""
        assert self._token is not None, "TCP is only served with a token"
        now = self._clock.now()
        accepted, first_wrong = self._token.accepts((asked or {}).get("token"), address, now)
        if first_wrong:
            self._control.denied(now)
        if not accepted:
            self._log.event("admin_denied", now, WARNING, times=self._token.wrong)
        return accepted

    async def _answer(self, asked: JSONObject | None, by: str) -> JSONObject:
        if asked is None or not isinstance(asked.get("verb"), str):
            return _error('one JSON object a line, with a "verb"')
        arguments = {name: value for name, value in asked.items() if name not in {"verb", "token"}}
        steps = self._control.steps(asked["verb"], arguments, by=by, now=self._clock.now())
        try:
            while not self._closing:
                next(steps)
                await asyncio.sleep(0)
            return _error("guard is ending")
        except StopIteration as end:
            return {"ok": True, **end.value}
        except GuardError as error:
            return _error(str(error))

    async def _write(self, writer: asyncio.StreamWriter, answer: JSONObject) -> None:
        writer.write(orjson.dumps(answer, default=str, option=orjson.OPT_NON_STR_KEYS) + b"\n")
        async with asyncio.timeout(self._write_s):
            await writer.drain()


def open_socket(path: str) -> socket.socket:
    """A bound Unix socket, 0600, in a folder of mode 0700. A socket that nobody answers at is removed first.

    Raises ``InstallError`` where another process answers, the folder is open to others, or something else stands there.
    """
    folder = os.path.dirname(os.path.abspath(path))
    try:
        with contextlib.suppress(FileExistsError):
            os.makedirs(folder, mode=0o700)
        about = os.stat(folder)
        if about.st_mode & 0o077 or about.st_uid not in {os.geteuid(), 0}:
            raise InstallError(
                f"others may enter {folder}, where the operator's socket is to be: chmod 700 it, or choose another"
            )
        _remove_stale(path)
        bound = socket.socket(socket.AF_UNIX)
        try:
            bound.bind(path)
            os.chmod(path, 0o600)
        except OSError:
            bound.close()
            raise
    except OSError as error:
        raise InstallError(
            f"the operator's socket {path} can't be made: {error.strerror or error}; choose another path"
        ) from error
    return bound


def _remove_stale(path: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise InstallError(f"{path} is there and is no socket: remove it, or choose another path in [admin] socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except (TimeoutError, BlockingIOError):
            pass  # somebody is there and busy
    raise InstallError(f"another guard answers at {path}: give each process a socket of its own ([admin] socket)")


def _inode(path: str) -> tuple[int, int] | None:
    try:
        about = os.lstat(path)
    except FileNotFoundError:
        return None
    return about.st_dev, about.st_ino


def _peer_name(writer: asyncio.StreamWriter) -> str:
    """``uid 1000 pid 4242`` of the process at the other end, as the kernel says; ``local`` where it doesn't."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return "local"
    pid, uid, _ = struct.unpack("3i", writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, option, 12))
    return f"uid {uid} pid {pid}"


def _parsed(line: bytes) -> JSONObject | None:
    try:
        asked: Any = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return asked if isinstance(asked, dict) else None


def _error(sentence: str) -> JSONObject:
    return {"ok": False, "error": sentence}


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
