"""What decisions are worth, judged by the labels of the traffic they were made on.

An exchange is *answered in full* by allow, tag, a delay of up to two seconds, and by a reduction that hardly hurts a student
model: all but another model, or a budget of at most 512 tokens without reasoning. All else is *contained*, on both sides of the
ledger. Memory grows with the accounts, not with the exchanges.

leak        share of a campaign's extraction that was answered in full; ``leak_after``: of what came after ``until``
until       how many were answered in full when half of the last 200 were contained; None: that never came
precision, recall   of the clusters over all accounts that extracted or were held to be in one (B-cubed: Bagga and Baldwin 1998).
            An ordinary account is a class of its own, so that to name it costs precision; an account's last cluster counts.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from typing import Any

from guard.replay.run import Outcome
from guard.replay.tally import share, table
from guard.types import Decision

LONGEST_DELAY_S = 2.0
SMALL_BUDGET_TOKENS = 512
_LATELY = 200
_CONTAINED = frozenset({"limit", "challenge", "refuse"})


def contained(decision: Decision) -> bool:
    """Whether an exchange was kept from being answered in full."""
    if decision.action == "degrade":
        reductions = dict(decision.reductions)
        budget = reductions.get("budget")
        small = isinstance(budget, int) and budget <= SMALL_BUDGET_TOKENS
        return "model" in reductions or (small and "reasoning" in reductions)
    return decision.action in _CONTAINED or (decision.action == "delay" and decision.delay_s > LONGEST_DELAY_S)


class Taken:
    """How much one campaign got."""

    __slots__ = ("_lately", "_leaked_after", "_total_after", "caught", "leaked", "senders", "total", "until")

    def __init__(self) -> None:
        self.total = self.leaked = self._total_after = self._leaked_after = 0
        self.until: int | None = None
        self.senders: dict[str, None] = {}
        self.caught: dict[str, None] = {}
        self._lately: deque[bool] = deque(maxlen=_LATELY)

    def add(self, account: str, kept: bool) -> None:
        self.total += 1
        self.leaked += not kept
        self.senders[account] = None
        if kept:
            self.caught[account] = None
        if self.until is not None:
            self._total_after += 1
            self._leaked_after += not kept
            return
        self._lately.append(kept)
        if len(self._lately) == _LATELY and 2 * sum(self._lately) >= _LATELY:
            self.until = self.leaked

    @property
    def leak(self) -> float:
        return self.leaked / self.total if self.total else 0.0

    @property
    def leak_after(self) -> float | None:
        return self._leaked_after / self._total_after if self._total_after else None


class Figures:
    """Takes in outcomes with their labels, one after another."""

    def __init__(self) -> None:
        self.campaigns: dict[str, Taken] = {}
        self._exchanges: Counter[str] = Counter()
        self._contained: Counter[str] = Counter()
        self._seen: dict[str, dict[str, None]] = {}
        self._touched: dict[str, dict[str, None]] = {}
        self._cover = self._cover_contained = 0
        self._truth: dict[str, str | None] = {}
        self._found: dict[str, str] = {}
        self._merged: dict[str, str] = {}

    def add(self, label: Mapping[str, Any], outcome: Outcome) -> None:
        """``label``: the exchange's own, as the log's format has it."""
        account, decision, campaign = outcome.account_id, outcome.decision, label["campaign"]
        kept = contained(decision)
        if campaign is not None or account not in self._truth:
            self._truth[account] = campaign
        if decision.cluster is not None:
            self._found[account] = decision.cluster
            for older in decision.merged:
                self._merged[older] = decision.cluster
        if label["extraction"]:
            self.campaigns.setdefault(campaign, Taken()).add(account, kept)
        elif campaign is not None:
            self._cover += 1
            self._cover_contained += kept
        else:
            segment = label["segment"]
            self._exchanges[segment] += 1
            self._seen.setdefault(segment, {})[account] = None
            if kept:
                self._contained[segment] += 1
                self._touched.setdefault(segment, {})[account] = None

    @property
    def ordinary(self) -> tuple[int, int, int, int]:
        """Ordinary exchanges, those of them that were contained, ordinary accounts, those that ever met it."""
        return (
            self._exchanges.total(),
            self._contained.total(),
            sum(map(len, self._seen.values())),
            sum(map(len, self._touched.values())),
        )

    def clusters(self) -> tuple[float, float]:
        """(precision, recall); 1 where there is nothing to find and nothing was found."""
        senders = {account for taken in self.campaigns.values() for account in taken.senders}
        items = [
            a for a, campaign in self._truth.items() if a in self._found or (campaign is not None and a in senders)
        ]
        if not items:
            return 1.0, 1.0
        truth = {a: (self._truth[a] is not None, self._truth[a] or a) for a in items}
        found = {a: (a in self._found, self._final(self._found[a]) if a in self._found else a) for a in items}
        of_class, of_cluster = Counter(truth.values()), Counter(found.values())
        both = Counter((truth[a], found[a]) for a in items)
        precision = sum(both[truth[a], found[a]] / of_cluster[found[a]] for a in items) / len(items)
        asked = [a for a in items if a in senders]
        recall = sum(both[truth[a], found[a]] / of_class[truth[a]] for a in asked) / len(asked) if asked else 1.0
        return precision, recall

    def _final(self, name: str) -> str:
        """The cluster that has taken over that one in the end."""
        passed = {name}
        while (name := self._merged.get(name, name)) not in passed:
            passed.add(name)
        return name

    def report(self) -> Iterator[str]:
        """The lines of the table."""
        if self.campaigns:
            yield from table(
                ("campaign", "accounts", "exchanges", "until", "leak", "leak after", "accounts caught"),
                [
                    (
                        name,
                        f"{len(taken.senders):,}",
                        f"{taken.total:,}",
                        "never" if taken.until is None else f"{taken.until:,}",
                        percent(taken.leak),
                        percent(taken.leak_after),
                        f"{len(taken.caught):,} ({share(len(taken.caught), len(taken.senders))})",
                    )
                    for name, taken in sorted(self.campaigns.items())
                ],
            )
            if self._cover:
                yield f"cover: {self._cover_contained:,} of {self._cover:,} exchanges contained"
            precision, recall = self.clusters()
            yield f"clusters: precision {precision:.3f}, recall {recall:.3f}"
        exchanges, kept, accounts, touched = self.ordinary
        rows = [
            (
                segment,
                f"{len(self._seen[segment]):,}",
                f"{len(self._touched.get(segment, ())):,}",
                f"{count:,}",
                f"{self._contained[segment]:,} ({share(self._contained[segment], count)})",
            )
            for segment, count in sorted(self._exchanges.items())
        ]
        yield from table(("ordinary", "accounts", "touched", "exchanges", "contained"), rows)
        yield (
            f"ordinary: {kept:,} of {exchanges:,} exchanges contained ({percent(kept / max(1, exchanges))}), {touched:,} of "
            f"{accounts:,} accounts touched ({percent(touched / max(1, accounts))})"
        )


def percent(part: float | None) -> str:
    return "-" if part is None else f"{100 * part:.2f} %"
