"""Writes down what a guard must not lose over a restart, as often as is cheap, and takes it up again.

Two files: the state (limits, words, verdicts: small, every few seconds) and recognition's findings (large, as often as costs
no more than a fiftieth of a core and a megabyte a second). A guard without a state folder saves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from logging import WARNING
from pathlib import Path
from typing import Any

from guard.contracts import Keeper
from guard.errors import StateError
from guard.hashing import HashKey
from guard.logs import Log
from guard.pacing import Pace
from guard.pipeline import Guard
from guard.snapshot import StateDir

_KEEPING_SHARE = 0.02
_KEEPING_BYTES_PER_S = 1024 * 1024
_FINDINGS = "recognition"


class Saving:
    """The state folder of one guard. Raises ``StateError`` where the folder can't be used or is another guard's.

    ``trouble``: what could not be written lately, by file, in sentences. ``warnings``: what could not be read at the start.
    """

    def __init__(self, guard: Guard, state_dir: str, log: Log, now: float, former: HashKey | None = None) -> None:
        """``former``: the key before this one, under which the state may have been written."""
        self._guard = guard
        self._log = log
        marks = [key.identifier("reference", b"state") for key in (guard.key, former) if key is not None]
        self._state = StateDir(state_dir, *marks)
        self._findings = StateDir(Path(state_dir) / _FINDINGS, *marks)
        self._pace = Pace(guard.policy.state.snapshot_s, _KEEPING_SHARE)
        self._spoken = 0
        self._open = True
        self.written_at = now
        self.failures = 0
        self.trouble: dict[str, str] = {}
        self.warnings: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[StateDir, StateDir]:
        """The state's and the findings'."""
        return self._state, self._findings

    def due(self, now: float) -> Iterator[None]:
        """Writes what is due, in slices."""
        if not self._open or now - self.written_at < self._guard.policy.state.snapshot_s:
            return
        yield from self._write(now)
        # An account that was erased must not come back from what was written before.
        if self._guard.recognition.pardons.spoken != self._spoken or self._pace.due(now):
            yield from self._write_findings(now)

    def flush(self, now: float, *, whole: bool = False) -> None:
        """Writes everything at once; ``whole``: also what only a planned restart is worth."""
        if self._open:
            for _ in (*self._write(now), *self._write_findings(now, whole=whole)):
                pass

    def close(self, now: float) -> None:
        """Writes everything and lets go of the folder."""
        self.flush(now, whole=True)
        self._let_go()

    def _let_go(self) -> None:
        self._open = False
        self._state.close()
        self._findings.close()

    def restore(self, now: float) -> None:
        """Takes up what was written before. Raises ``StateError`` for what is another guard's or a newer one's."""
        try:
            self._restore(now)
        except StateError:
            self._let_go()  # whoever starts again in this process must find the folder free
            raise

    def _restore(self, now: float) -> None:
        guard = self._guard
        kept, found = self._state.read(), self._findings.read()
        self.warnings = tuple(filter(None, (kept.trouble, found.trouble)))
        guard.resume(found.pieces.get("findings", ()), kept.pieces.get("verdicts", ()), now)
        for piece in kept.pieces.get("guard", ()):
            guard.restore(piece, now)
        for piece in kept.pieces.get("unions", ()):
            guard.unions.restore(piece, now)
        for piece in kept.pieces.get("travel", ()):
            guard.region.travel.restore(piece, now)
        for piece in kept.pieces.get("conversations", ()):
            guard.conversations.restore(piece)
        if isinstance(guard.store, Keeper):
            for piece in kept.pieces.get("limits", ()):
                guard.store.restore(piece, now)

    def _write(self, now: float) -> Iterator[None]:
        self.written_at = now
        try:
            yield from self._state.writing(self._pieces(), now)
            self.trouble.pop("snapshot", None)
        except StateError as error:
            self._failed("snapshot", f"state can't be saved: {error}", error, now)

    def _write_findings(self, now: float, *, whole: bool = False) -> Iterator[None]:
        self._spoken = self._guard.recognition.pardons.spoken
        pieces = (("findings", piece) for piece in self._guard.findings(whole=whole))
        try:
            yield from self._pace.round(self._findings.writing(pieces, now), now)
            self._pace.no_sooner(now + self._findings.size_bytes / _KEEPING_BYTES_PER_S)
            self.trouble.pop("findings", None)
        except StateError as error:
            self._failed("findings", f"what recognition found can't be saved: {error}", error, now)

    def _failed(self, file: str, sentence: str, error: StateError, now: float) -> None:
        self.failures += 1
        self.trouble[file] = sentence
        self._log.event("snapshot_failed", now, WARNING, why=str(error))

    def _pieces(self) -> Iterator[tuple[str, Any]]:
        guard = self._guard
        yield "guard", guard.snapshot()
        for piece in guard.verdicts():
            yield "verdicts", piece
        for piece in guard.unions.pieces():
            yield "unions", piece
        for piece in guard.conversations.pieces():
            yield "conversations", piece
        for piece in guard.region.travel.pieces():
            yield "travel", piece
        if isinstance(guard.store, Keeper):
            for piece in guard.store.pieces():
                yield "limits", piece
