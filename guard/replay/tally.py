"""Counts what a replay came to. Plain text for a terminal or a mail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from typing import TypeVar

from guard.replay.run import Outcome
from guard.types import ACTIONS

K = TypeVar("K", bound=Hashable)
MOST_ROWS = 12
CONTAINED = frozenset({"limit", "degrade", "challenge", "refuse"})
_NOTABLE = frozenset(ACTIONS[1:])
UNSTATED = "(not stated)"


class Tally:
    """Adds up the outcomes of one policy. Memory grows with the accounts (one entry of 32 characters each)."""

    def __init__(self) -> None:
        self.exchanges = 0
        self.broken = 0
        self.unprotected = 0
        self.unanswered = 0
        self._groups: Counter[tuple[str | None, str | None, str]] = Counter()
        self._accounts: dict[str, tuple[str | None, str | None]] = {}
        self._touched: dict[str, tuple[str | None, str | None]] = {}
        self._reasons: Counter[tuple[str, str]] = Counter()
        self._shadow: Counter[tuple[str, str]] = Counter()

    def add(self, outcome: Outcome) -> None:
        decision, account = outcome.decision, outcome.account
        action = decision.action
        self.exchanges += 1
        group = account.tier, account.country
        self._groups[(*group, action)] += 1
        self._accounts.setdefault(account.key, group)
        if not outcome.protected:
            self.unprotected += 1
        elif not outcome.answered and not decision.contained:
            self.unanswered += 1
        if action in _NOTABLE:
            for reason in decision.reasons:
                self._reasons[reason, action] += 1
            if action in CONTAINED:
                self._touched[account.key] = group
        for hit in decision.shadow:
            self._shadow[hit] += 1

    def actions(self) -> Counter[str]:
        """How many exchanges met each action."""
        counts: Counter[str] = Counter()
        for (_, _, action), count in self._groups.items():
            counts[action] += count
        return counts

    def touched(self) -> int:
        """How many accounts had an exchange limited, degraded, challenged or refused."""
        return len(self._touched)

    def report(self) -> Iterator[str]:
        """The lines of the summary."""
        total, accounts = self.exchanges, len(self._accounts)
        yield f"{total:,} exchanges of {accounts:,} accounts" + (
            f", {self.broken:,} broken lines" if self.broken else ""
        )
        if not total:
            return
        counts = self.actions()
        yield from table(
            ("action", "exchanges", "share"),
            [(action, f"{counts[action]:,}", share(counts[action], total)) for action in ACTIONS if counts[action]],
        )
        yield f"accounts touched (limited, degraded, challenged or refused): {self.touched():,} ({share(self.touched(), accounts)})"
        if self._touched:
            yield from self._by_group()
        if self._reasons:
            yield from table(
                ("reason", "action", "exchanges"),
                [(reason, action, f"{count:,}") for (reason, action), count in ranked(self._reasons)],
            )
        if self._shadow:
            yield from table(
                ("in shadow", "would", "exchanges"),
                [(rule, action, f"{count:,}") for (rule, action), count in ranked(self._shadow)],
            )
        if self.unprotected:
            yield f"{self.unprotected:,} exchanges on paths that the policy does not protect: passed unjudged"
        if self.unanswered:
            yield (
                f"{self.unanswered:,} exchanges without a response: what their answers would have cost is taken to be all "
                "that was reserved for them, so limits on tokens and cost are judged too strictly"
            )

    def _by_group(self) -> Iterator[str]:
        """The tiers and countries with the most accounts touched."""
        accounts, touched = Counter(self._accounts.values()), Counter(self._touched.values())
        exchanges: Counter[tuple[str | None, str | None]] = Counter()
        contained: Counter[tuple[str | None, str | None]] = Counter()
        for (tier, country, action), count in self._groups.items():
            exchanges[tier, country] += count
            if action in CONTAINED:
                contained[tier, country] += count
        yield from table(
            ("tier", "country", "accounts", "touched", "exchanges", "contained"),
            [
                (
                    group[0] or UNSTATED,
                    group[1] or UNSTATED,
                    f"{accounts[group]:,}",
                    f"{count:,}",
                    f"{exchanges[group]:,}",
                    f"{contained[group]:,} ({share(contained[group], exchanges[group])})",
                )
                for group, count in ranked(touched)
            ],
        )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table: words left, numbers right, two blanks between; an empty line before."""
    widths = [max(len(row[place]) for row in (head, *rows)) for place in range(len(head))]
    right = [all(row[place][:1].isdigit() for row in rows) for place in range(len(head))]
    lines = [""]
    for row in (head, *rows):
        cells = [
            cell.rjust(width) if numeric else cell.ljust(width)
            for cell, width, numeric in zip(row, widths, right, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def ranked(counts: Counter[K]) -> list[tuple[K, int]]:
    """The most frequent first, ties by name, at most ``MOST_ROWS``."""
    return sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))[:MOST_ROWS]


def share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "0 %"
