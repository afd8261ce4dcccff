"""Where the hashing key comes from: ``GUARD_KEY``, a file of the state folder, or chance.

With a key that stays, an account is the same one after a restart and on every replica; with one made by chance every restart
forgets who everybody is, which is said once.

A key is changed by giving the new one and, as the one before it, the old one: each account is carried over at its first
request, with what it has used, and the old key can be taken away once everybody has come by.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from guard.errors import InstallError, StateError
from guard.hashing import HashKey

VARIABLE = "GUARD_KEY"
FILE = "hash.key"
FORMER_VARIABLE = "GUARD_KEY_BEFORE"
FORMER_FILE = "hash.key.before"
LEAST_BYTES = 16
_NEW_BYTES = 32
_MOST_BYTES = 4096
_REMEDY = f"set {VARIABLE} (at least {LEAST_BYTES} bytes), or"


class FoundKey(NamedTuple):
    """The key, where it came from, and what the operator should be told (``""``: nothing).

    ``former``: the key that was in use before, while accounts are carried over from it.
    """

    key: HashKey
    origin: Literal["environment", "file", "random"]
    warning: str = ""
    former: HashKey | None = None


def find_key(state_dir: str, environ: Mapping[str, str] | None = None) -> FoundKey:
    """The key of this installation. ``state_dir`` ``""``: there is none; ``environ``: the process's own by default.

    The first start with a state folder writes the file, readable by its owner alone. Raises ``InstallError`` for a
    ``GUARD_KEY`` that is too short and ``StateError`` for a file that others may read or that can't be used.
    """
    surroundings = os.environ if environ is None else environ
    former = _former(state_dir, surroundings)
    key = _given(VARIABLE, surroundings)
    if key is not None:
        return FoundKey(key, "environment", former=former)
    if state_dir:
        return FoundKey(HashKey(_from_file(Path(state_dir) / FILE)), "file", former=former)
    return FoundKey(
        HashKey(secrets.token_bytes(_NEW_BYTES)),
        "random",
        f"neither {VARIABLE} nor a state folder is set: the hashing key is random, and a restart forgets every account; "
        f"{_REMEDY} give [state] dir",
    )


def _given(variable: str, environ: Mapping[str, str]) -> HashKey | None:
    given = environ.get(variable)
    if given is None:
        return None
    secret = os.fsencode(given.strip())
    if len(secret) < LEAST_BYTES:
        raise InstallError(
            f"{variable} has {len(secret)} bytes and needs at least {LEAST_BYTES}; make one with "
            "`python -c 'import secrets; print(secrets.token_hex(32))'`, or unset it"
        )
    return HashKey(secret)


def _former(state_dir: str, environ: Mapping[str, str]) -> HashKey | None:
    """The key before this one: ``GUARD_KEY_BEFORE``, or the file that the operator has moved aside."""
    former = _given(FORMER_VARIABLE, environ)
    path = Path(state_dir) / FORMER_FILE
    if former is None and state_dir and path.exists():
        try:
            return HashKey(_read(path))
        except OSError as error:
            raise StateError(f"{path}: {error.strerror}; {_REMEDY} make it readable for this process") from error
    return former


def _from_file(path: Path) -> bytes:
    try:
        try:
            return _read(path)
        except FileNotFoundError:
            _write(path)
            return _read(path)
    except OSError as error:
        raise StateError(f"{path}: {error.strerror}; {_REMEDY} make the folder usable for this process") from error


def _read(path: Path) -> bytes:
    # A link could point to a file that an attacker knows.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise StateError(f"{path}: is no ordinary file; {_REMEDY} remove it")
        if about.st_mode & 0o077:
            raise StateError(
                f"{path}: others may read or change it (mode {stat.S_IMODE(about.st_mode):04o}); "
                f"`chmod 600 {path}` if nobody has, else {_REMEDY} remove it, which makes every account a new one"
            )
        if about.st_uid not in {os.geteuid(), 0}:
            raise StateError(f"{path}: belongs to another user; {_REMEDY} `chown` it to the user that runs guard")
        secret = os.read(descriptor, _MOST_BYTES)
    finally:
        os.close(descriptor)
    if len(secret) < LEAST_BYTES:
        raise StateError(f"{path}: is cut short ({len(secret)} bytes); {_REMEDY} remove it")
    return secret


def _write(path: Path) -> None:
    """Writes a new key whole or not at all; of several processes that start together the first one's key is everybody's."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_NEW_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
