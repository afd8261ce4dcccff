"""The snapshot stage: what guard knows, kept in ``state_dir`` over a restart, a crash and a full disk.

    state         the newest whole one          one JSON document a line:
    state.prev    the one before it               {"guard_state": 1, "written": 1795000000.0, "key": "…"}
    state.1.new   one being written               ["limits", {…}]     any number of pieces, each under its name
    state.lock    held while a process runs       {"pieces": 1, "digest": "…"}

A file is written whole under another name, flushed to the disk, and renamed: a reader finds the old one or the new one. The
last line holds a digest (BLAKE2b) of all before it, so that a torn or altered file is never taken for a state. It is then
put aside in favour of the one before, and that is said aloud; where neither can be read guard does not start: to go on
with empty limits would hand everybody a fresh budget, and that is the operator's decision.

Keyed hashes and numbers only, mode 0600, in a directory of mode 0700.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson

from guard.errors import StateError

VERSION = 1
_LOG = logging.getLogger("guard.snapshot")
_FRESH = "to start with empty limits, move it away"


@dataclass(frozen=True, slots=True)
class Kept:
    """What a state directory held: pieces by name, when they were written (seconds since 1970; 0: there was nothing), and
    what was wrong with the newest file (``""``: nothing)."""

    pieces: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    written: float = 0.0
    trouble: str = ""


class StateDir:
    """One process's hold on a state directory. Close it, or leave its ``with`` block, to let the next process in.

    Raises ``StateError`` where the directory can't be made or another process holds it. ``mark`` is any short text that
    stands for the hashing key: a state written under another key names nobody under this one. ``former``: of a key whose state is
    taken up as well.
    """

    def __init__(self, path: str | Path, mark: str = "", former: str = "") -> None:
        self.path = Path(path)
        self._mark = mark
        self._former = former or mark
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self.path / "state.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateError(
                f"{self.path}: can't be used ({_why(error)}); name a directory that guard may write"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise StateError(
                f"{self.path}: another process holds it. One worker a state directory: start the server with one worker, "
                "give each guard its own [state] dir, or use the redis store for replicas"
            ) from error
        self.size_bytes = 0
        """Size of the state written last."""
        self._begun = 0
        self._placed = 0
        for left in self.path.glob("state.*.new"):
            left.unlink(missing_ok=True)

    def __enter__(self) -> StateDir:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the directory. A second call does nothing."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def read(self) -> Kept:
        """The newest state that is whole. Raises ``StateError`` where files are there and none can be read, and for one
        that a newer guard or another key has written (an older state would then be the wrong one)."""
        newest = self.path / "state"
        try:
            return self._parse(newest)
        except FileNotFoundError:
            trouble = ""
        except _Broken as error:
            trouble = str(error)
        before = self.path / "state.prev"
        try:
            kept = self._parse(before)
        except FileNotFoundError:
            if not trouble:
                return Kept()
            raise StateError(f"{trouble}, and there is no earlier one; {_FRESH}") from None
        except _Broken as error:
            raise StateError(f"{trouble or f'{newest}: is missing'}; {error}; {_FRESH}, and {before} too") from None
        trouble = (
            f"{trouble or f'{newest}: is missing'}; went back to the state before it: up to two periods are forgotten"
        )
        _LOG.error("%s", trouble)
        return Kept(kept.pieces, kept.written, trouble)

    def write(self, pieces: Iterable[tuple[str, Any]], now: float) -> None:
        """Writes a whole state at once. Raises ``StateError``; the state before it then still stands."""
        for _ in self.writing(pieces, now):
            pass

    def writing(self, pieces: Iterable[tuple[str, Any]], now: float) -> Iterator[None]:
        """The same in slices: encodes one (name, plain data) piece a step. The last step waits for the disk.

        One that is given up leaves nothing behind; one that is overtaken by a later one does not replace it.
        """
        self._begun += 1
        number = self._begun
        new = self.path / f"state.{number}.new"
        digest = blake2b(digest_size=16)
        count = 0
        try:
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
                for line in self._lines(pieces, now):
                    digest.update(line)
                    file.write(line)
                    count += 1
                    yield
                file.write(orjson.dumps({"pieces": count - 1, "digest": digest.hexdigest()}) + b"\n")
                file.flush()
                size_bytes = file.tell()
                os.fsync(file.fileno())
            self.size_bytes = size_bytes
            if number > self._placed:
                self._step_up(new)
                self._placed = number
        except (OSError, TypeError) as error:
            raise StateError(
                f"{new}: could not be written ({_why(error)}); the state before it stands; make room"
            ) from error
        finally:
            new.unlink(missing_ok=True)

    def _lines(self, pieces: Iterable[tuple[str, Any]], now: float) -> Iterator[bytes]:
        yield orjson.dumps({"guard_state": VERSION, "written": now, "key": self._mark}) + b"\n"
        for name, piece in pieces:
            yield orjson.dumps([name, piece]) + b"\n"

    def _step_up(self, new: Path) -> None:
        """The new one → state → state.prev, with a whole ``state`` in place at every moment."""
        newest, before, spare = self.path / "state", self.path / "state.prev", self.path / "state.old"
        if newest.exists():
            spare.unlink(missing_ok=True)
            try:
                os.link(newest, spare)
            except OSError:
                spare = newest  # a file system without hard links: for a moment only state.prev stands
            spare.replace(before)
        new.replace(newest)
        directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _parse(self, path: Path) -> Kept:
        """One file, checked. Raises ``FileNotFoundError``, ``_Broken``, and ``StateError`` for what must not be passed over."""
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StateError(f"{path}: can't be read ({_why(error)}); let guard's user read it") from error
        lines = content.split(b"\n")
        if len(lines) < 3 or lines[-1]:
            raise _Broken(f"{path}: is empty, torn or no state of guard")
        try:
            head, tail = orjson.loads(lines[0]), orjson.loads(lines[-2])
            version, mark, written = int(head["guard_state"]), str(head["key"]), float(head["written"])
            count, digest = int(tail["pieces"]), str(tail["digest"])
        except (ValueError, TypeError, KeyError) as error:
            raise _Broken(f"{path}: is torn or no state of guard") from error
        body = content[: len(content) - len(lines[-2]) - 1]
        if count != len(lines) - 3 or digest != blake2b(body, digest_size=16).hexdigest():
            raise _Broken(f"{path}: has been altered or is torn")
        if version > VERSION:
            raise StateError(f"{path}: was written by a newer guard (format {version}); start that one, or {_FRESH}")
        if mark not in {self._mark, self._former}:
            raise StateError(f"{path}: was written under another key; put GUARD_KEY or the key file back, or {_FRESH}")
        pieces: dict[str, list[Any]] = {}
        for line in lines[1:-2]:
            name, piece = orjson.loads(line)
            pieces.setdefault(name, []).append(piece)
        return Kept({name: tuple(found) for name, found in pieces.items()}, written)


class _Broken(Exception):  # noqa: N818 - a finding, not an error: there may be another file
    """A file that is no whole state."""


def _why(error: Exception) -> str:
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else type(error).__name__
