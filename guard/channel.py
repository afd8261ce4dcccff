"""The operator's end of the channel: one question, one answer. ``admin.py`` is the other end."""

from __future__ import annotations

import json
import socket
from typing import Any

from guard.errors import AdminError, InstallError
from guard.types import JSONObject

TIMEOUT_S = 30.0
MAX_ANSWER_BYTES = 64 * 1024 * 1024


def call(address: str, verb: str, *, token: str = "", timeout_s: float = TIMEOUT_S, **arguments: Any) -> JSONObject:
    """Asks a running guard. ``address`` is the path of its socket, or ``host:port`` with a ``token``.

    Returns the answer without ``ok``. Raises ``AdminError`` where nobody listens, with what to do, or with what guard said.
    """
    question: JSONObject = {"verb": verb, **arguments}
    if token:
        question["token"] = token
    try:
        with _connected(address, timeout_s) as connection:
            connection.sendall(json.dumps(question).encode() + b"\n")
            line = _line(connection)
    except TimeoutError as error:
        raise AdminError(
            f"guard at {address} did not answer within {timeout_s:g} s: is its event loop blocked?"
        ) from error
    except OSError as error:
        raise AdminError(_remedy(address, error)) from error
    if not line:
        raise AdminError(f"guard at {address} hung up without an answer: its log says why, or it is just ending")
    try:
        answer: Any = json.loads(line)
    except ValueError as error:
        raise AdminError(f"what listens at {address} is no guard") from error
    if not isinstance(answer, dict) or not isinstance(answer.pop("ok", None), bool):
        raise AdminError(f"what listens at {address} is no guard")
    if "error" in answer:
        said = str(answer["error"])
        raise AdminError("guard did not accept the token" if answer.get("status") == 401 else said)
    return answer


def host_and_port(address: str) -> tuple[str, int]:
    """``host:port`` or ``[v6]:port`` → its parts. Raises ``InstallError`` for anything else."""
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise InstallError(f"[admin] tcp is host:port, such as 127.0.0.1:9464 (found {address[:80]!r})")
    return host, int(port)


def _connected(address: str, timeout_s: float) -> socket.socket:
    if "/" in address or ":" not in address:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(timeout_s)
            connection.connect(address)
        except OSError:
            connection.close()
            raise
        return connection
    return socket.create_connection(host_and_port(address), timeout_s)


def _line(connection: socket.socket) -> bytes:
    parts: list[bytes] = []
    size = 0
    while not parts or not parts[-1].endswith(b"\n"):
        part = connection.recv(256 * 1024)
        size += len(part)
        if not part or size > MAX_ANSWER_BYTES:
            break
        parts.append(part)
    return b"".join(parts)


def _remedy(address: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return (
            f"no guard listens at {address}: is the app running, and is this the socket of its policy ([admin] socket)?"
        )
    if isinstance(error, ConnectionRefusedError):
        return f"nobody answers at {address}: the app has ended; start it again"
    if isinstance(error, PermissionError):
        return f"you may not open {address}: run this as the user that runs the app"
    return f"guard at {address} can't be reached: {error.strerror or error}"
