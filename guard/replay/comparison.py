"""What a second policy would do otherwise, and to whom: by tier, country and language, with examples.

An example names a line of the log and an account under the replay's key: never what was asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from guard.replay.language import UNKNOWN, spoken
from guard.replay.run import Outcome
from guard.replay.tally import CONTAINED, UNSTATED, ranked, share, table
from guard.types import ACTIONS

MOST_EXAMPLES = 10
_EACH = 3
_DIMENSIONS = ("tier", "country", "language")


class Segment(NamedTuple):
    """Who asks: tier and country of the account as the log states them (``""``: it doesn't), language as far as one can tell."""

    tier: str
    country: str
    language: str

    def shown(self) -> tuple[str, str, str]:
        return self.tier or UNSTATED, self.country or UNSTATED, self.language


@dataclass(slots=True)
class Changes:
    """What changes for one segment. ``accounts``: those that would be answered otherwise at least once."""

    exchanges: int = 0
    stricter: int = 0
    milder: int = 0
    accounts: dict[str, None] = field(default_factory=dict)

    def row(self) -> tuple[str, ...]:
        return (
            f"{self.exchanges:,}",
            f"{self.stricter:,} ({share(self.stricter, self.exchanges)})",
            f"{self.milder:,} ({share(self.milder, self.exchanges)})",
            f"{len(self.accounts):,}",
        )


class Comparison:
    """Adds up the outcomes of both policies on the same lines. Memory grows with the segments and the accounts that change."""

    def __init__(self) -> None:
        self._moves: Counter[tuple[str, str]] = Counter()
        self._segments: dict[Segment, Changes] = {}
        self._contained: dict[str, int] = {}
        """Account → which of the two policies (bits) keeps an exchange of its from being served."""
        self._examples: dict[tuple[str, str, Segment], list[tuple[str, ...]]] = {}

    def add(self, first: Outcome, second: Outcome, body: object = None) -> None:
        """Both outcomes of one line: under the policy in force, and under the one it is compared with. ``body``: the request's,
        looked at for its language alone."""
        before, after = first.decision.action, second.decision.action
        account = first.account
        segment = Segment(account.tier or "", account.country or "", spoken(body) if body is not None else UNKNOWN)
        changes = self._segments.get(segment)
        if changes is None:
            changes = self._segments[segment] = Changes()
        changes.exchanges += 1
        self._moves[before, after] += 1
        kept = (before in CONTAINED) | (after in CONTAINED) << 1
        if kept:
            self._contained[account.key] = self._contained.get(account.key, 0) | kept
        if before == after:
            return
        if ACTIONS.index(after) > ACTIONS.index(before):
            changes.stricter += 1
        else:
            changes.milder += 1
        changes.accounts[account.key] = None
        examples = self._examples.setdefault((before, after, segment), [])
        if len(examples) < _EACH:
            reasons = (second if after != "allow" else first).decision.reasons
            examples.append((str(first.n), account.key, before, after, *segment.shown(), ", ".join(reasons)))

    @property
    def changed(self) -> int:
        """How many exchanges would be answered otherwise."""
        return sum(count for (before, after), count in self._moves.items() if before != after)

    def report(self, first: str, second: str) -> Iterator[str]:
        """The lines of the comparison; ``first`` and ``second`` name the policies."""
        total = self._moves.total()
        accounts = {key for changes in self._segments.values() for key in changes.accounts}
        yield f"from {first} to {second}: {self.changed:,} of {total:,} exchanges and {len(accounts):,} accounts change"
        if not self.changed:
            return
        met = [action for action in ACTIONS if any(action in move for move in self._moves)]
        yield from table(
            (f"{first} ↓ {second} →", *met),
            [(before, *(f"{self._moves[before, after]:,}" for after in met)) for before in met],
        )
        kept = Counter(self._contained.values())
        yield (
            f"accounts touched (limited, degraded, challenged or refused) by {second} alone: {kept[2]:,}; by {first} alone: "
            f"{kept[1]:,}; by both: {kept[3]:,}"
        )
        for place, dimension in enumerate(_DIMENSIONS):
            yield from self._by_one(place, dimension)
        yield from self._by_all()
        yield from table(("line", "account", "from", "to", *_DIMENSIONS, "reasons"), self._shown())

    def _by_one(self, place: int, dimension: str) -> Iterator[str]:
        """What changes by tier, by country or by language alone; nothing where all are one."""
        found: dict[str, Changes] = {}
        for segment, changes in self._segments.items():
            whole = found.setdefault(segment.shown()[place], Changes())
            whole.exchanges += changes.exchanges
            whole.stricter += changes.stricter
            whole.milder += changes.milder
            whole.accounts |= changes.accounts
        if len(found) < 2 and place:
            return
        yield from _ranked_table((dimension,), {(name,): changes for name, changes in found.items()})

    def _by_all(self) -> Iterator[str]:
        """The segments for which most changes."""
        if len(self._segments) > 1:
            yield from _ranked_table(
                _DIMENSIONS, {segment.shown(): changes for segment, changes in self._segments.items()}
            )

    def _shown(self) -> list[tuple[str, ...]]:
        """Examples of every kind of change and segment, in turn, so that the common kind doesn't push the rare one out."""
        queues = list(self._examples.values())
        shown: list[tuple[str, ...]] = []
        for place in range(_EACH):
            shown += [queue[place] for queue in queues if place < len(queue)]
        return sorted(shown[:MOST_EXAMPLES], key=lambda row: int(row[0]))


def _ranked_table(head: tuple[str, ...], found: Mapping[tuple[str, ...], Changes]) -> Iterator[str]:
    most = ranked(Counter({name: changes.stricter + changes.milder for name, changes in found.items()}))
    yield from table(
        (*head, "exchanges", "stricter", "milder", "accounts"),
        [(*name, *found[name].row()) for name, count in most if count],
    )
