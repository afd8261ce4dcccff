"""Drives a replay from one stream of lines to another: a decision line out for each line in.

Where each decision has to be out before the next line is read, it is; else some lines are read ahead, because what they ask is
made out in less time together. The decisions are the same.
"""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import BinaryIO, TextIO

import orjson

from guard.errors import ExchangeLogError
from guard.replay.comparison import Comparison
from guard.replay.log import ExchangeLog, Logged
from guard.replay.run import Outcome, Replay
from guard.replay.tally import Tally

_COLLECT_AT = 50_000
# Lines that are read before the first of them is decided.
_AHEAD = 128
_LOOK_EVERY = 256
_DRAW_EVERY_S = 0.2
_BAR = 28


class Job:
    """One pass over one log. ``other``: a second policy on the same lines, compared and not written."""

    def __init__(self, replay: Replay, other: Replay | None = None, *, skip_broken: bool = False) -> None:
        self.tally = Tally()
        self.comparison = Comparison()
        self._log = ExchangeLog()
        self._replay, self._other, self._skip_broken = replay, other, skip_broken

    @property
    def faults(self) -> str:
        """What of guard itself failed, by stage and class of error; ``""``: nothing did, and the decisions can be trusted."""
        counts: Counter[str] = Counter(self._replay.faults)
        if self._other is not None:
            counts.update(self._other.faults)
        return ", ".join(f"{what}: {count:,}" for what, count in sorted(counts.items()))

    def run(self, lines: Iterable[bytes], out: BinaryIO, *, flush: bool) -> None:
        """Decides every line. ``flush``: each decision is out before the next line is read.

        Raises ``ExchangeLogError`` at the first broken line unless they are skipped; what was decided before is written.
        """
        with _collecting_seldom():
            self._run(lines, out, flush=flush)

    def _run(self, lines: Iterable[bytes], out: BinaryIO, *, flush: bool) -> None:
        source = iter(lines)
        try:
            # Each is read as it comes: it is then still in the processor's cache.
            while read := [self._read(line) for line in islice(source, 1 if flush else _AHEAD)]:
                for decided in self._decided(read):
                    if isinstance(decided, ExchangeLogError):
                        if not self._skip_broken:
                            raise decided
                        self.tally.broken += 1
                        out.write(orjson.dumps({"n": decided.n, "error": decided.message}) + b"\n")
                    else:
                        self.tally.add(decided)
                        out.write(decided.line() + b"\n")
                if flush:
                    out.flush()
        finally:
            out.flush()

    def _decided(self, read: Sequence[Logged | ExchangeLogError]) -> Iterator[Outcome | ExchangeLogError]:
        """What each line comes to, in their order. All were read before the first is decided, and none is decided for nothing."""
        good = [logged for logged in read if isinstance(logged, Logged)]
        met = iter(self._replay.meet_all(good))
        others = iter(self._other.meet_all(good) if self._other is not None else ())
        for logged in read:
            if isinstance(logged, ExchangeLogError):
                yield logged
                continue
            found = next(met)
            other = next(others, None)
            if isinstance(found, ExchangeLogError):
                yield found
                continue
            outcome = self._replay.decide_met(logged, found)
            if isinstance(other, ExchangeLogError):
                yield other
                continue
            if self._other is not None and other is not None:
                self.comparison.add(outcome, self._other.decide_met(logged, other), logged.request.get("body"))
            yield outcome

    def _read(self, line: bytes) -> Logged | ExchangeLogError:
        try:
            return self._log.read(line)
        except ExchangeLogError as error:
            return error


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    """What a line leaves is kept or dies by its reference count: looking for cycles every few lines costs 2 % of a replay."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(_COLLECT_AT, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


class Progress:
    """A line at the bottom of a terminal, which alone looks at the wall clock. ``size_bytes`` 0: nobody knows the end."""

    def __init__(self, screen: TextIO, size_bytes: int) -> None:
        self._screen = screen
        self._size_bytes = size_bytes
        self._shown = False
        self._began_s = self._drawn_s = time.monotonic()

    def follow(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """The same lines, drawn as they go by."""
        done_bytes = 0
        for count, line in enumerate(lines, 1):
            yield line
            done_bytes += len(line)
            if count % _LOOK_EVERY == 0 and time.monotonic() - self._drawn_s >= _DRAW_EVERY_S:
                self._drawn_s = time.monotonic()
                self._screen.write(f"\r\x1b[K{self.line(count, done_bytes, self._drawn_s - self._began_s)}")
                self._screen.flush()
                self._shown = True

    def line(self, count: int, done_bytes: int, elapsed_s: float) -> str:
        """What stands there after ``count`` lines."""
        text = f"{count:,} exchanges, {count / elapsed_s:,.0f} a second"
        if not self._size_bytes:
            return text
        part = min(done_bytes / self._size_bytes, 1.0)
        filled = round(part * _BAR)
        left_s = round(elapsed_s * (1 - part) / part)
        return f"[{'#' * filled}{'.' * (_BAR - filled)}] {part:4.0%}  {text}, {left_s // 60}:{left_s % 60:02} left"

    def clear(self) -> None:
        """Takes the line away again."""
        if self._shown:
            self._screen.write("\r\x1b[K")
            self._screen.flush()
            self._shown = False
