"""Reads past traffic into a state directory, so that a fresh deployment knows who has standing, and what is usual, before its
first request.

What is learnt: accounts with their age and history, which traits are shared and by how many, what is usual. Nobody is convicted
by it, and what was asked is not weighed again later: only what comes in from now on speaks for or against anybody. With
``verdicts`` the log is weighed like live traffic, and what is found holds from the first request on. Limits are not touched.

The log's own ids are hashed under the installation's key, so they must be the ids by which ``[identity] describe`` names
accounts; of a log that guard itself has recorded (``recorded``) they are keyed hashes already.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from guard.errors import ExchangeLogError, InstallError
from guard.keys import find_key
from guard.pipeline import Guard
from guard.recognition.dossier import counts
from guard.recognition.recognition import Recognition
from guard.replay.log import ExchangeLog
from guard.replay.run import Replay
from guard.settings import Policy
from guard.snapshot import StateDir
from guard.types import JSONObject

FINDINGS = "recognition"
_NO_IDS = (
    "the policy has no [identity] describe, so accounts are told apart by credentials, which no log holds: what is shared and usual "
    "is learnt, the accounts of this log will not be recognised"
)


class Warmed(NamedTuple):
    """What came of it: lines learnt, broken ones that were skipped, recognition in numbers, and what the operator should know."""

    exchanges: int
    broken: int
    numbers: JSONObject
    warnings: tuple[str, ...]


class Warming:
    """A hold on the state directory of ``policy``, from ``begin`` to ``end``.

    Raises ``InstallError`` where the policy names none, ``StateError`` where a guard runs on it or it can't be read.
    """

    def __init__(self, policy: Policy, now: float, *, verdicts: bool = False, recorded: bool = False) -> None:
        if not policy.state.dir:
            raise InstallError(
                "what is learnt is kept in the state directory, and the policy names none: set [state] dir"
            )
        self._now = now
        self._verdicts = verdicts
        self._warnings = [] if policy.identity.describe is not None or recorded else [_NO_IDS]
        key = find_key(policy.state.dir).key
        mark = key.identifier("reference", b"state")
        self._guard = Guard(policy, key=key, start=now)
        with ExitStack() as held:
            self._state = held.enter_context(StateDir(policy.state.dir, mark))
            self._findings = held.enter_context(StateDir(Path(policy.state.dir) / FINDINGS, mark))
            self._kept, found = self._state.read(), self._findings.read()
            for piece in self._kept.pieces.get("guard", ()):
                self._guard.restore(piece, now)
            self._guard.resume(found.pieces.get("findings", ()), self._kept.pieces.get("verdicts", ()), now)
            self._held = held.pop_all()
        self._replay = Replay(policy, guard=self._guard, recorded=recorded)
        self._newest = max((known.last_at for known in self._guard.recognition.accounts), default=0.0)
        if not verdicts:
            self._guard.recognition.only_learn()

    def run(self, lines: Iterable[bytes], *, skip_broken: bool = False) -> Warmed:
        """Learns from every line and writes the state. Raises ``ExchangeLogError`` at a broken line unless they are skipped; then,
        and where anything else goes wrong, the state is as it was."""
        guard, reader = self._guard, ExchangeLog()
        learnt = broken = 0
        at = 0.0
        for line in lines:
            try:
                logged = reader.read(line)
                exchange = self._replay.exchange(logged)
            except ExchangeLogError:
                if not skip_broken:
                    raise
                broken += 1
                continue
            if not at and logged.at < self._newest:
                raise InstallError("the state directory knows later traffic than this log: warm an empty one")
            if logged.at > self._now:
                raise InstallError(f"line {logged.n} lies in the future: is this machine's clock right?")
            at = logged.at
            if exchange is None or exchange.fault is not None:
                continue
            guard.due(at)
            guard.recognition.look(exchange, at, granted=guard.words.grant(exchange.account, at) is not None)
            # What was answered is what ceilings are measured by.
            guard.recognition.over(exchange, at, enforced=False)
            learnt += 1
        guard.due(at + 1.0)
        if guard.faults:
            raise InstallError(
                f"recognition itself failed ({dict(guard.faults)}): nothing was written; please report it"
            )
        if not self._verdicts:
            _disband(guard.recognition)
        self._findings.write((("findings", piece) for piece in guard.findings(whole=True)), self._now)
        self._state.write(self._pieces(), self._now)
        return Warmed(learnt, broken, counts(guard.recognition), tuple(self._warnings))

    def close(self) -> None:
        """Lets go of the state directory."""
        self._held.close()

    def _pieces(self) -> Iterator[tuple[str, Any]]:
        """What stood in the state, with other verdicts."""
        for name, pieces in self._kept.pieces.items():
            if name != "verdicts":
                yield from ((name, piece) for piece in pieces)
        yield from (("verdicts", piece) for piece in self._guard.verdicts())


def _disband(recognition: Recognition) -> None:
    """Forgets the groups, and who was first in each family: what is weighed next comes in from now on. Traits stay."""
    parts = recognition.parts()
    for family in parts.families:
        if family.value not in recognition.clusters.traits:
            family.group = None
            family.begin_anew()
            for waiting in (parts.groups, parts.to_weigh, parts.to_judge):
                waiting.pop(family.value, None)
