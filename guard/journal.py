"""A file of lines that only grows: private, bounded in size, and linked so that a missing line shows.

The lines go to ``path``; when it is full it becomes ``path.1``, the older ones move up, and the oldest goes. With a
``link`` each line ends with ``"chain"``: the keyed hash of the line before it, so that whoever takes a line out or
changes one has to know the key to hide it (taking away the newest lines is the one thing a chain can't show).

A request is never broken by a full disk: what can't be written waits, a bounded number of lines; beyond that lines are
lost, counted, and ``trouble`` says why. Nothing here is synced to the platter; after a power cut the last seconds
may be missing, after a killed process at most what waited.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from itertools import islice
from typing import NamedTuple

FLUSH_S = 1.0
FLUSH_LINES = 256
MAX_WAITING = 4096
MAX_WAITING_BYTES = 8 * 1024 * 1024
BLOCK_BYTES = 1024 * 1024
MAX_BREAKS = 20

Link = Callable[[bytes], str]


class Journal:
    """Appends lines to one file. Not shared: a second process that opens the same file gets ``trouble``, not a mess.

    ``max_bytes`` is the size at which the file is turned, ``keep`` how many files there are at most, the current one
    included: the disk used never exceeds ``keep × max_bytes`` and one batch.
    """

    __slots__ = ("_bytes", "_chain", "_fd", "_flushed_at", "_keep", "_link", "_max_bytes", "_size", "_torn", "_waiting",
                 "failures", "lost", "path", "trouble", "written")  # fmt: skip

    def __init__(self, path: str, *, max_bytes: int, keep: int, link: Link | None = None) -> None:
        self.path = path
        self.trouble = ""
        """Why the last write failed, in words; ``""``: it didn't."""
        self.failures = 0
        self.lost = 0
        """Lines that nobody will ever read."""
        self.written = 0
        self._max_bytes = max(max_bytes, 4096)
        self._keep = max(keep, 1)
        self._link = link
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._flushed_at = 0.0
        self._fd = -1
        self._size = 0
        self._chain = ""
        self._torn = False

    def append(self, line: bytes) -> None:
        """Takes one JSON object, without its newline. Writes nothing yet; when too many wait the new one is lost."""
        waiting = self._waiting
        if len(waiting) >= MAX_WAITING or (waiting and self._bytes + len(line) > MAX_WAITING_BYTES):
            self.lost += 1
            return
        self._waiting.append(line)
        self._bytes += len(line)

    @property
    def full(self) -> bool:
        """Whether enough waits to be worth a write at once, and the last one went well."""
        return not self.trouble and (len(self._waiting) >= FLUSH_LINES or self._bytes >= BLOCK_BYTES)

    def flush(self, now: float, *, force: bool = False) -> None:
        """Writes what waits if a second has passed or many wait; ``force``: in any case. Never raises for the disk."""
        if not self._waiting:
            return
        if not force and len(self._waiting) < FLUSH_LINES and 0.0 <= now - self._flushed_at < FLUSH_S:
            return
        if not force and self.trouble and 0.0 <= now - self._flushed_at < FLUSH_S:
            return
        self._flushed_at = now
        try:
            if self._fd >= 0 and self._moved():
                self._close()
            if self._fd < 0:
                self._open()
            while self._waiting:
                self._write(min(len(self._waiting), FLUSH_LINES))
                if self._size >= self._max_bytes:
                    self._turn()
        except OSError as error:
            self.failures += 1
            self.trouble = _words(error)
            self._close()
        else:
            self.trouble = ""

    def close(self, now: float) -> None:
        """Writes what waits and gives the file up."""
        self.flush(now, force=True)
        self._close()

    def paths(self) -> list[str]:
        """The files there are, newest first."""
        return existing(self.path, self._keep)

    # -- the file --------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        folder = os.path.dirname(self.path) or "."
        os.makedirs(folder, mode=0o700, exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(self.path, flags, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.fchmod(fd, 0o600)
            size = os.fstat(fd).st_size
            last, torn = _last_line(fd, size)
        except OSError:
            os.close(fd)
            raise
        self._fd, self._size, self._torn = fd, size, torn
        if self._link is None or self._chain:
            return
        if not last:  # turned just before the end: the line before this file's first stands in the one before it
            for older in existing(self.path, self._keep)[1:2]:
                with open(older, "rb") as file:
                    last, _ = _last_line(file.fileno(), os.fstat(file.fileno()).st_size)
        self._chain = self._link(last) if last else "start"

    def _write(self, count: int) -> None:
        """Writes the first ``count`` waiting lines whole, or none of them."""
        chain = self._chain
        parts = []
        for line in islice(self._waiting, count):
            if self._link is not None:
                line = line[:-1] + b',"chain":"' + chain.encode() + b'"}'
                chain = self._link(line)
            parts.append(line)
        text = b"\n".join(parts) + b"\n"
        if self._torn:  # a write was cut off when the process died: its rest must not swallow our first line
            text = b"\n" + text
        done = 0
        try:
            while done < len(text):
                done += os.write(self._fd, text[done:])
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._size)
            raise
        self._torn = False
        self._size += len(text)
        self._chain = chain
        self.written += count
        for _ in range(count):
            self._bytes -= len(self._waiting.popleft())

    def _moved(self) -> bool:
        """Whether somebody removed or renamed the file under us: lines would go where nobody looks."""
        try:
            there, ours = os.stat(self.path), os.fstat(self._fd)
        except FileNotFoundError:
            return True
        return (there.st_ino, there.st_dev) != (ours.st_ino, ours.st_dev)

    def _turn(self) -> None:
        self._close()
        for number in range(self._keep - 1, 0, -1):
            older = self.path if number == 1 else f"{self.path}.{number - 1}"
            with contextlib.suppress(FileNotFoundError):
                os.replace(older, f"{self.path}.{number}")
        if self._keep == 1:
            os.unlink(self.path)
        self._open()

    def _close(self) -> None:
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self._fd)
        self._fd = -1


class Verdict(NamedTuple):
    """What ``verify`` found: lines read, and the places (file, line from 1) where the line before is not the one that
    was there; ``torn`` counts lines that a dying process left half written."""

    lines: int
    breaks: tuple[tuple[str, int], ...]
    torn: int


def existing(path: str, keep: int) -> list[str]:
    """The journal's files that are there, newest first."""
    names = [path, *(f"{path}.{number}" for number in range(1, keep))]
    return [name for name in names if os.path.isfile(name)]


def search(needle: bytes, paths: Sequence[str]) -> Generator[None, None, bytes]:
    """The newest line that holds ``needle``, ``b""`` where there is none. Yields after each block of a mebibyte, so that
    an event loop can breathe; memory is two blocks. ``paths``: newest first. A file that can't be read raises OSError."""
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(open(path, "rb")) for path in paths]
        for file in files:
            position = file.seek(0, os.SEEK_END)
            rest = b""
            while position > 0:
                start = max(0, position - BLOCK_BYTES)
                file.seek(start)
                block = file.read(position - start) + rest
                at = block.rfind(needle)
                if at >= 0:
                    left = block.rfind(b"\n", 0, at) + 1
                    if left > 0 or start == 0:
                        right = block.find(b"\n", at)
                        return block[left : right if right >= 0 else len(block)]
                first = block.find(b"\n")
                rest = block[: first + 1] if 0 <= first < BLOCK_BYTES else block[:BLOCK_BYTES]
                position = start
                yield
    return b""


def verify(paths: Iterable[str], link: Link) -> Generator[None, None, Verdict]:
    """Follows the chain through ``paths`` (newest first). Yields now and then. The oldest line is taken on trust."""
    lines = torn = 0
    breaks: list[tuple[str, int]] = []
    before = ""
    for path in reversed(list(paths)):
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                line = line.rstrip(b"\n")
                if not line:
                    continue
                lines += 1
                start = line.rfind(b',"chain":"')
                if start < 0 or not line.endswith(b'"}'):
                    torn += 1
                elif before and line[start + 10 : -2].decode("ascii", "replace") != before and len(breaks) < MAX_BREAKS:
                    breaks.append((path, number))
                before = link(line)
                if lines % 512 == 0:
                    yield
    return Verdict(lines, tuple(breaks), torn)


def _last_line(fd: int, size: int) -> tuple[bytes, bool]:
    """The last line of an open file without its newline, and whether the newline is missing."""
    if size == 0:
        return b"", False
    tail = os.pread(fd, BLOCK_BYTES, max(0, size - BLOCK_BYTES))
    whole = tail.rstrip(b"\n")
    return whole[whole.rfind(b"\n") + 1 :], not tail.endswith(b"\n")


def _words(error: OSError) -> str:
    """What is wrong and what to do, without the file's name (the caller's sentence has it)."""
    remedies = {
        errno.ENOSPC: "the disk is full; free some space",
        errno.EDQUOT: "the quota is used up; free some space",
        errno.EACCES: "permission denied; the process must own the file and its folder",
        errno.EPERM: "permission denied; the process must own the file and its folder",
        errno.EROFS: "the file system is read-only",
        errno.EWOULDBLOCK: "another process writes this file; give each one its own",
        errno.ELOOP: "it is a symbolic link; name the real file",
        errno.EISDIR: "it is a folder; name a file",
    }
    return remedies.get(error.errno or 0, os.strerror(error.errno) if error.errno else str(error))
