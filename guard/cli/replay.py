"""``guard replay``: what would these rules have done to past traffic?

Decisions go to standard output or ``--out``, everything else to standard error, so that a program can drive a replay line by
line through pipes: the decision on a line is written and flushed before the next line is read. Between two plain files output
is buffered unless ``--unbuffered`` is given.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO

if TYPE_CHECKING:
    from guard.replay import Comparison, ExchangeLog, Replay, Tally

SUMMARY = "decide past traffic by a policy; compare two"
_EPILOG = """\
The log is one JSON object a line, ordered by "at", as [record] writes it. Its clock is the replay's clock.
A policy in mode "observe" is replayed as if it were enforced; --as-it-stands keeps its mode. Limits on concurrency never
refuse here: a log does not say when an answer ended.

Exit code 2: a line can't be replayed (nothing after it is decided), or the policy or a file can't be used."""
_LOOK_EVERY = 256
_DRAW_EVERY_S = 0.2
_BAR = 28


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("log", metavar="LOG", help="an exchange log, or - for standard input")
    parser.add_argument("--policy", metavar="P", default="standard", help="a policy file or preset (default: standard)")
    parser.add_argument("--against", metavar="Q", help="a second policy: show what it would change")
    parser.add_argument("--out", metavar="D", default="-", help="where decisions go (default: standard output)")
    parser.add_argument("--skip-broken", action="store_true", help="go on after a line that can't be replayed")
    parser.add_argument("--as-it-stands", action="store_true", help="keep the policy's mode, also where it is observe")
    parser.add_argument("--unbuffered", action="store_true", help="write each decision before the next line is read")
    parser.add_argument("--quiet", action="store_true", help="no summary")


def run(options: argparse.Namespace) -> int:
    from guard.config import load
    from guard.errors import ExchangeLogError, InstallError, PolicyError
    from guard.replay import Comparison, Replay

    try:
        replay = Replay(load(options.policy), enforce=not options.as_it_stands)
        other = Replay(load(options.against), enforce=not options.as_it_stands) if options.against else None
    except (PolicyError, InstallError) as error:
        return _fail(str(error))
    compared = Comparison() if other else None
    with contextlib.ExitStack() as opened:
        try:
            source = sys.stdin.buffer if options.log == "-" else opened.enter_context(Path(options.log).open("rb"))
            if options.out == "-":
                out: BinaryIO = sys.stdout.buffer
            else:
                out = opened.enter_context(Path(options.out).open("wb"))
        except OSError as error:
            return _fail(f"{error.filename}: {error.strerror}")
        progress = Progress(source, sys.stderr)
        job = _Job(replay, other, compared, out, skip=options.skip_broken)
        job.flush = options.unbuffered or not (_is_file(source) and _is_file(out))
        code = 0
        try:
            for line in progress.follow(source):
                job.line(line)
            out.flush()
        except ExchangeLogError as error:
            out.flush()
            code = _fail(f"{_named(options.log)}: line {error.n} (counted from 0): {error.message}", progress)
        except KeyboardInterrupt:
            out.flush()
            code = 130
        except BrokenPipeError:
            # Whoever read the decisions has read enough. What is left in the buffer must not fail again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except OSError as error:
            return _fail(f"{error.filename or _named(options.log)}: {error.strerror}", progress)
    progress.clear()
    if not options.quiet:
        _summary(options, job.tally, compared)
    return code


class _Job:
    """Decides line by line, writes decisions and counts."""

    def __init__(
        self, replay: Replay, other: Replay | None, compared: Comparison | None, out: BinaryIO, *, skip: bool
    ) -> None:
        from guard.replay import ExchangeLog, Tally

        self.flush = True
        self.tally: Tally = Tally()
        self._log: ExchangeLog = ExchangeLog()
        self._replay, self._other, self._compared, self._out, self._skip = replay, other, compared, out, skip

    def line(self, line: bytes) -> None:
        """One line in, one line out. Raises ``ExchangeLogError`` unless broken lines are skipped."""
        from guard.errors import ExchangeLogError

        try:
            logged = self._log.read(line)
            outcome = self._replay.decide(logged)
        except ExchangeLogError as error:
            if not self._skip:
                raise
            self.tally.broken += 1
            written = broken(error)
        else:
            self.tally.add(outcome)
            if self._other is not None and self._compared is not None:
                self._compared.add(outcome, self._other.decide(logged))
            written = outcome.line()
        self._out.write(written + b"\n")
        if self.flush:
            self._out.flush()


def broken(error: object) -> bytes:
    """The line that stands in a decision log for one that can't be replayed."""
    import orjson

    return orjson.dumps({"n": getattr(error, "n", -1), "error": getattr(error, "message", str(error))})


class Progress:
    """A line at the bottom of a terminal; nothing where standard error is none. It alone looks at the wall clock."""

    def __init__(self, source: BinaryIO, screen: TextIO) -> None:
        self._screen = screen
        self._shown = False
        self._live = screen.isatty()
        self._size = _size(source) if self._live else 0
        self._began = self._drawn = time.monotonic()

    def follow(self, source: BinaryIO) -> Iterator[bytes]:
        """The lines of ``source``, drawn as they go by."""
        if not self._live:
            yield from source
            return
        done = 0
        for count, line in enumerate(source, 1):
            yield line
            done += len(line)
            if count % _LOOK_EVERY == 0 and time.monotonic() - self._drawn >= _DRAW_EVERY_S:
                self._draw(count, done)

    def clear(self) -> None:
        """Takes the line away again."""
        if self._shown:
            self._screen.write("\r\x1b[K")
            self._screen.flush()
            self._shown = False

    def _draw(self, count: int, done: int) -> None:
        self._drawn = time.monotonic()
        elapsed_s = self._drawn - self._began
        text = f"{count:,} exchanges, {count / elapsed_s:,.0f} a second"
        if self._size:
            part = min(done / self._size, 1.0)
            filled = round(part * _BAR)
            left_s = round(elapsed_s * (1 - part) / part)
            text = f"[{'#' * filled}{'.' * (_BAR - filled)}] {part:4.0%}  {text}, {left_s // 60}:{left_s % 60:02} left"
        self._screen.write(f"\r\x1b[K{text}")
        self._screen.flush()
        self._shown = True


def _summary(options: argparse.Namespace, tally: Tally, compared: Comparison | None) -> None:
    for line in tally.report():
        print(line, file=sys.stderr)
    if compared is not None:
        print(file=sys.stderr)
        for line in compared.report(_named(options.policy), _named(options.against)):
            print(line, file=sys.stderr)


def _fail(message: str, progress: Progress | None = None) -> int:
    if progress is not None:
        progress.clear()
    print(f"guard replay: {message}", file=sys.stderr)
    return 2


def _named(source: str) -> str:
    return "standard input" if source == "-" else Path(source).name


def _is_file(stream: BinaryIO) -> bool:
    """Whether it is a plain file: nobody waits at the other end."""
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except OSError:
        return False


def _size(source: BinaryIO) -> int:
    """The size of a plain file in bytes, 0: it has none that is known."""
    return os.fstat(source.fileno()).st_size if _is_file(source) else 0
