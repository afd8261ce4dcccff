"""Watches a policy file and keeps the last good policy: parse, check, swap whole, or change nothing.

``poll`` looks at the file's time, size and inode (through a symlink, so that a swapped link is seen) and reads a changed file
once it has held still for one poll, so that a file still being written is not taken for a broken or, worse, a shorter one.
``reload`` reads it at once. Both only return what happened: counting, logging and swapping are the caller's.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path as File
from typing import Literal

from guard.config import load_with_warnings, parse, presets, read_file
from guard.errors import PolicyError, Problem
from guard.loosening import loosened
from guard.settings import Limit, Policy
from guard.workers import apart

POLL_S = 1.0
Signature = tuple[int, int, int, int, int]
_MISSING: Signature = (0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs between two policies, by id; ``loosens`` are sentences for a loud audit event."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    loosens: tuple[str, ...] = ()
    """Entries are ``limit free`` or ``rule known-cluster``."""


@dataclass(frozen=True, slots=True)
class ReloadOutcome:
    """What a look at the file came to. ``policy`` is always the one to use from now on.

    ``unchanged``: nothing to do. ``changed``: another policy; ``changes`` and ``warnings`` tell about it. ``failed``: the file
    can't be used and ``error`` says why; ``policy`` is the last good one.
    """

    kind: Literal["unchanged", "changed", "failed"]
    policy: Policy
    changes: Changes = Changes()
    warnings: tuple[Problem, ...] = ()
    error: PolicyError | None = None


class PolicyFile:
    """A policy file that may change under us. Raises ``PolicyError`` when the first look at it already fails.

    ``failures`` counts the looks that failed since the start, each state of the file once; ``stale`` tells whether the policy
    in use is older than what stands in the file.
    """

    def __init__(self, source: str | File, now: float = 0.0) -> None:
        """``source`` is a path, or the name of a preset, which never changes."""
        self._path = None if isinstance(source, str) and (source in presets() or "\n" in source) else File(source)
        self._seen = self._settled = self._signature()
        self.policy, self.warnings = load_with_warnings(source, now=now)
        self._polled_at = now
        self._worker = 1
        self.failures = 0
        self.stale = False

    def keep_apart(self, worker: int) -> Policy:
        """From now on every policy is as that worker keeps it (``workers.apart``); the one in use."""
        self._worker = worker
        self.policy = apart(self.policy, worker)
        return self.policy

    def poll(self, now: float) -> ReloadOutcome:
        """Looks at the file at most every ``POLL_S`` seconds. Never raises ``PolicyError``."""
        if self._path is None or now - self._polled_at < POLL_S:
            return ReloadOutcome("unchanged", self.policy)
        self._polled_at = now
        seen, self._seen = self._seen, self._signature()
        if self._seen == self._settled or self._seen != seen:
            return ReloadOutcome("unchanged", self.policy)
        return self.reload(now)

    def reload(self, now: float) -> ReloadOutcome:
        """Reads the file now, whether it changed or not. Never raises ``PolicyError``."""
        if self._path is None:
            return ReloadOutcome("unchanged", self.policy)
        self._seen = self._settled = self._signature()
        try:
            data = read_file(self._path)
            policy, warnings = parse(data, str(self._path), now=now)
            policy = apart(policy, self._worker)
        except PolicyError as error:
            self.failures += 1
            self.stale = True
            return ReloadOutcome("failed", self.policy, error=error)
        self.stale = False
        if policy.digest == self.policy.digest:
            return ReloadOutcome("unchanged", self.policy)
        before, self.policy = self.policy, policy
        self.warnings = (*warnings, *_renamed(before, policy))
        return ReloadOutcome("changed", policy, differences(before, policy), self.warnings)

    def _signature(self) -> Signature:
        """What changes with the file; a missing one has a signature of its own."""
        if self._path is None:
            return _MISSING
        try:
            found = os.stat(self._path)
        except (OSError, ValueError):
            return _MISSING
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def differences(before: Policy, after: Policy) -> Changes:
    """The limits and rules that came, went or changed, and in what the policy got weaker."""
    old = {f"limit {limit.id}": limit for limit in before.limits} | {f"rule {rule.id}": rule for rule in before.rules}
    new = {f"limit {limit.id}": limit for limit in after.limits} | {f"rule {rule.id}": rule for rule in after.rules}
    return Changes(
        tuple(name for name in new if name not in old),
        tuple(name for name in old if name not in new),
        tuple(name for name in new if name in old and new[name] != old[name]),
        loosened(before, after),
    )


def _renamed(before: Policy, after: Policy) -> tuple[Problem, ...]:
    """A limit that seems to go on under another id begins anew: what was used belongs to the id."""
    kept = {limit.id for limit in after.limits}
    known = {limit.id for limit in before.limits}
    gone = [limit for limit in before.limits if limit.id not in kept]
    return tuple(
        Problem(
            f'limit[{at}] "{limit.id}"',
            f'looks like "{old.id}" under another id: what was used under the old id is not carried',
            hint=f'keep id = "{old.id}"',
        )
        for at, limit in enumerate(after.limits)
        if limit.id not in known
        for old in gone
        if _shape(old) == _shape(limit)
    )


def _shape(limit: Limit) -> tuple[object, ...]:
    """Whom a limit counts for and in which units, whatever the amounts."""
    return (limit.per, bool(limit.requests), bool(limit.tokens), bool(limit.cost), bool(limit.concurrent))
