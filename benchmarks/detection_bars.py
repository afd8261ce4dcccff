"""The table: its columns, the bars of each scenario, and what falls short of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from detection_ledger import Speakers
from detection_replay import Cost

from guard.replay.language import UNKNOWN

GUARD = "guard"
TOGETHER_SEEDS = 3
MOST_CLEAN_CONTAINED, MOST_CLEAN_REFUSED, MOST_CLEAN_ACCOUNTS = 30, 0, 3
LANGUAGE_FACTOR = 2.0
# Fewer speakers or prompts, or fewer accounts of them touched, are somebody's bad luck and no rate.
FEWEST_SPEAKERS, FEWEST_PROMPTS, FEWEST_TOUCHED = 50, 1000, 3


class Bars(NamedTuple):
    """The most (of precision and recall: the least) that a run may show; None: not judged."""

    until: float | None = None
    leak_after: float | None = None
    leak: float | None = None
    contained: float | None = None
    touched: float | None = None
    precision: float | None = None
    recall: float | None = None
    accounts: float | None = None
    worst: float | None = 0.02
    ratio: float | None = 25.0
    growth: float | None = 1.3


JUDGED: Mapping[str, Bars] = {
    "bulk": Bars(300, 0.005, 0.04, 0.001, 0.003),
    "hydra": Bars(300, 0.005, 0.02, 0.001, 0.003, 0.99, 0.95),
    "injected": Bars(400, 0.005, 0.03, 0.001, 0.003, 0.99, 0.95),
    "camouflaged": Bars(800, 0.02, 0.08, 0.002, 0.005, 0.97, 0.85),
    "relay": Bars(1000, 0.03, None, 0.002, 0.005, 0.97, 0.80),
    "needle": Bars(600, 0.02, None, 0.0005, None, 0.95, 0.85, accounts=5),
    "blind": Bars(3000, 0.10, None, 0.002, 0.005, 0.95, 0.70),
    "clean": Bars(),  # further judged by its seeds together
}
"""The scenarios that are judged."""
QUICK = Bars(300, 0.005, None, 0.001, 0.003, 0.99, 0.95, ratio=None, growth=None)
"""For the small scenario of ``--quick``: too short for a share of its whole, and for the cost."""
INFORMATION = Bars(None, None, None, 0.002, 0.005)
"""For all others: only harm and cost are marked, and nothing is counted against the check."""


@dataclass(frozen=True, slots=True)
class Row:
    """One way of deciding one log. ``report`` is the judge's; ``failed`` says why there is none."""

    scenario: str
    seed: int
    who: str
    report: Mapping[str, Any] = field(default_factory=dict)
    cost: Cost | None = None
    languages: Mapping[str, Speakers] = field(default_factory=dict)
    curve: Sequence[tuple[float, float]] = ()
    failed: str = ""

    @property
    def name(self) -> str:
        return f"{self.scenario} {self.seed}"

    def touched(self) -> int:
        return sum(segment["accounts_touched"] for segment in self.report["segments"].values())

    def refused(self) -> int:
        return sum(segment.get("refuse", 0) for segment in self.report["segments"].values())

    def contained(self) -> int:
        exchanges = sum(segment["exchanges"] for segment in self.report["segments"].values())
        return round(self.report["harm"]["exchanges"] * exchanges)


class Column(NamedTuple):
    """``bar`` names the field of ``Bars``; ``least``: more is better."""

    title: str
    bar: str | None
    value: Callable[[Row], float | None]
    text: Callable[[float], str]
    least: bool = False

    @property
    def width(self) -> int:
        return max(len(self.title), 10) + 2


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _number(value: float) -> str:
    return f"{value:,.0f}"


def _campaign(key: str) -> Callable[[Row], float | None]:
    return lambda row: row.report.get(key) if row.report["extraction_exchanges"] else None


COLUMNS = (
    Column("until", "until", _campaign("until"), _number),
    Column("leak after", "leak_after", _campaign("leak_after"), _percent),
    Column("leak", "leak", _campaign("leak"), _percent),
    Column("contained", "contained", lambda row: row.report["harm"]["exchanges"], _percent),
    Column("refused", None, lambda row: row.report["harm"]["refused"], _percent),
    Column("touched", "touched", lambda row: row.report["harm"]["accounts"], _percent),
    Column("accounts", "accounts", lambda row: row.touched(), _number),
    Column("worst seg.", "worst", lambda row: row.report["harm"]["worst_segment"], _percent),
    Column("precision", "precision", _campaign("cluster_precision"), "{:.3f}".format, least=True),
    Column("recall", "recall", _campaign("cluster_recall"), "{:.3f}".format, least=True),
    Column("CPU ÷ parse", "ratio", lambda row: row.cost.ratio if row.cost else None, "{:.1f}".format),
    Column("last ÷ first", "growth", lambda row: row.cost.growth if row.cost else None, "{:.2f}".format),
    Column("MiB", None, lambda row: row.cost.peak_mib if row.cost else None, _number),
)


def holds(column: Column, row: Row, bars: Bars) -> bool | None:
    """Whether the figure holds its bar; None: there is none to hold."""
    bar = getattr(bars, column.bar) if column.bar else None
    if bar is None:
        return None
    value = column.value(row)
    if value is None:
        return None if column.bar in ("ratio", "growth") and row.cost is None else False
    return value >= bar if column.least else value <= bar


def head() -> str:
    return f"{'scenario':<21}{'decided by':<25}" + "".join(f"{column.title:>{column.width}}" for column in COLUMNS)


def line(row: Row, bars: Bars) -> str:
    """One row of the table: ✓ and ✗ stand where there is a bar."""
    label = f"{row.name:<21}{row.who:<25}"
    if row.failed:
        return f"{label} could not be judged: {row.failed}"
    cells = []
    for column in COLUMNS:
        value = column.value(row)
        held = holds(column, row, bars)
        mark = " " if held is None else "✓" if held else "✗"
        missing = "never" if column.bar == "until" and row.report["extraction_exchanges"] else "-"
        cells.append(f"{missing if value is None else column.text(value)}{mark}")
    return label + "".join(f"{cell:>{column.width}}" for cell, column in zip(cells, COLUMNS, strict=True))


def shortfalls(rows: Sequence[Row], bars_of: Mapping[str, Bars]) -> list[str]:
    """Every bar that guard misses in the judged scenarios, in words; nothing judged is a miss too."""
    judged = [row for row in rows if row.who == GUARD and row.scenario in bars_of]
    missed = [f"{row.name}: could not be judged: {row.failed}" for row in judged if row.failed]
    judged = [row for row in judged if not row.failed]
    for row in judged:
        bars = bars_of[row.scenario]
        for column in COLUMNS:
            if holds(column, row, bars) is False:
                value = column.value(row)
                shown = "not reached" if value is None else column.text(value)
                limit = column.text(getattr(bars, column.bar or ""))
                missed.append(
                    f"{row.name}: {column.title} is {shown}; at {'least' if column.least else 'most'} {limit}"
                )
    clean = [row for row in judged if row.scenario == "clean"]
    if clean:
        missed += clean_shortfalls(clean)
    if judged:
        missed += language_shortfalls(languages(judged))
    return missed or ([] if judged else ["nothing was judged"])


def clean_counts(clean: Sequence[Row]) -> tuple[tuple[str, int, int], ...]:
    """What happened on all seeds of ``clean`` together: (what, how often, how often at most)."""
    return (
        ("ordinary exchanges contained", sum(row.contained() for row in clean), MOST_CLEAN_CONTAINED),
        ("ordinary exchanges refused", sum(row.refused() for row in clean), MOST_CLEAN_REFUSED),
        ("ordinary accounts touched", sum(row.touched() for row in clean), MOST_CLEAN_ACCOUNTS),
    )


def clean_line(clean: Sequence[Row]) -> str:
    """The same as a line below the table."""
    counts = (f"{count} {what}{'✓' if count <= most else '✗'}" for what, count, most in clean_counts(clean))
    return f"clean, {len(clean)} seeds together: {', '.join(counts)}"


def clean_shortfalls(clean: Sequence[Row]) -> list[str]:
    """The bars on all seeds of ``clean`` together."""
    missed = [
        f"clean, {len(clean)} seeds: {count} {what}; at most {most}"
        for what, count, most in clean_counts(clean)
        if count > most
    ]
    if len(clean) < TOGETHER_SEEDS:
        missed.append(f"clean: judged on {len(clean)} of {TOGETHER_SEEDS} seeds")
    return missed


def languages(rows: Sequence[Row]) -> dict[str, Speakers]:
    """Harm by language over all rows, the commonest first."""
    total: dict[str, Speakers] = {}
    for row in rows:
        for name, speakers in row.languages.items():
            before = total.get(name, Speakers())
            total[name] = Speakers(*(a + b for a, b in zip(before, speakers, strict=True)))
    return dict(sorted(total.items(), key=lambda item: -item[1].exchanges))


def language_shortfalls(found: Mapping[str, Speakers]) -> list[str]:
    """Languages whose speakers or prompts are touched more than twice as often as all are on the whole."""
    whole = _sum(found, list(found))
    mean, mean_contained = _share(whole.touched, whole.accounts), _share(whole.contained, whole.exchanges)
    missed = []
    for name, (exchanges, contained, senders, accounts, touched) in found.items():
        if name == UNKNOWN:
            continue
        rate, share = _share(touched, accounts), _share(contained, exchanges)
        if accounts >= FEWEST_SPEAKERS and touched >= FEWEST_TOUCHED and rate > LANGUAGE_FACTOR * mean:
            missed.append(
                f"language {name}: {_percent(rate)} of {accounts} accounts touched; the mean is {_percent(mean)}"
            )
        if exchanges >= FEWEST_PROMPTS and senders >= FEWEST_TOUCHED and share > LANGUAGE_FACTOR * mean_contained:
            missed.append(
                f"language {name}: {_percent(share)} of {exchanges} exchanges contained; the mean is {_percent(mean_contained)}"
            )
    return missed


def language_table(kinds: Mapping[str, Mapping[str, Speakers]]) -> list[str]:
    """Exchanges contained and accounts touched by language, a column for each way of deciding; ✗ where a language bears more than
    twice the mean. Languages that hardly anybody writes stand together; "?" is what can't be told (code, single words)."""
    first = next(iter(kinds.values()))
    common = [name for name, speakers in first.items() if speakers.exchanges >= FEWEST_PROMPTS or name == UNKNOWN]
    rare = [name for name in first if name not in common]
    lines = [f"  {'':<8}{'exchanges':>10}{'accounts':>10}" + "".join(f"{who:>26}" for who in kinds)]
    for label, names in [*((name, [name]) for name in common), ("others", rare)]:
        cells = []
        for found in kinds.values():
            wrong = any(each.startswith(f"language {label}:") for each in language_shortfalls(found))
            exchanges, contained, _, accounts, touched = _sum(found, names)
            cells.append(
                f"{_percent(_share(contained, exchanges))} {_percent(_share(touched, accounts))}{'✗' if wrong else ' '}"
            )
        whole = _sum(first, names)
        lines.append(
            f"  {label:<8}{whole.exchanges:>10,}{whole.accounts:>10,}" + "".join(f"{cell:>26}" for cell in cells)
        )
    return lines


def _sum(found: Mapping[str, Speakers], names: Sequence[str]) -> Speakers:
    chosen = [found.get(name, Speakers()) for name in names]
    return Speakers(*map(sum, zip(*chosen, strict=True))) if chosen else Speakers()


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def segment_table(rows: Sequence[Row]) -> list[str]:
    """Harm by kind of ordinary account over all rows."""
    total: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        for name, counts in row.report["segments"].items():
            total[name].update(counts)
    return [
        f"  {name:<12}{counts['accounts_touched']:>6} of {counts['accounts']:>7,} accounts touched, "
        + (", ".join(f"{counts[action]:,} × {action}" for action in _ACTIONS if counts[action]) or "nothing done")
        + f" in {counts['exchanges']:,} exchanges"
        for name, counts in sorted(total.items())
    ]


_ACTIONS = ("tag", "delay", "limit", "degrade", "challenge", "refuse")
