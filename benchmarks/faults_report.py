"""What the runs of ``faults.py`` came to: figures, the table, and the bars that guard is held to."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import Any

from faults_load import LOST, Answer, over_admitted
from faults_scenes import Scene

GUARD = "guard"
MOST_OVER = {1: 0.05, 4: 0.10}
MOST_RECOVERY_S = 1.0
MOST_ADDED_P99_S = {True: 0.050, False: 0.100}
"""Measured alone; beside others, whose servers are on the same cores."""
MOST_ADDED_HEALTH_S = 0.005
FEWEST_CALLS = 0.3


@dataclass
class Outcome:
    """What one run came to."""

    asked: int
    """In the fault."""
    lost: int
    errors: int
    over: float
    over_at_s: float
    """When it was most, in seconds from the fault's beginning."""
    refused_others: int
    """Refusals of accounts that asked less than they may."""
    p50_s: float
    p99_s: float
    before_p99_s: float
    health_p99_s: float
    before_health_p99_s: float
    recovered_s: float | None
    tracebacks: int
    first: str
    """The last line of the first of them."""
    store_calls: float
    """Commands that the store was asked for each request before the fault: without any, nothing of this is measured."""


@dataclass
class Case:
    """A limiter with so many replicas under one fault."""

    limiter: str
    label: str
    replicas: int
    scene: Scene
    outcomes: list[Outcome] = field(default_factory=list)
    skipped: str = ""

    @property
    def name(self) -> str:
        return f"{self.label} × {self.replicas}, {self.scene.name}"

    def worst(self, figure: str) -> Any:
        """The greatest of the runs; None where one of them has none."""
        found = [getattr(outcome, figure) for outcome in self.outcomes]
        return None if not found or None in found else max(found)


def percentile(figures: list[float], share: float) -> float:
    """Of a sorted copy; 0.0: there are none."""
    return sorted(figures)[min(len(figures) - 1, int(len(figures) * share))] if figures else 0.0


def first_traceback(said: str) -> str:
    """What the first traceback came to; ``""``: there is none."""
    lines = said.partition("Traceback (most recent call last)")[2].splitlines()
    return next((line for line in lines[1:] if line and not line.startswith((" ", "\t"))), "")


def judge(
    answers: list[Answer], moments: tuple[float, float, float], recovered_s: float | None, refills: bool
) -> Outcome:
    """``moments``: from when on all was steady, when the fault began, when it was over. Tracebacks and calls are for the caller
    to count."""
    steady, begun, healed = moments

    def took(kinds: set[str], since: float, until: float) -> list[float]:
        return [each.took_s for each in answers if each.kind in kinds and since <= each.due < until]

    model = {"hot", "light"}
    over, at = over_admitted([each.done for each in answers if each.kind == "hot" and each.status == 200], refills)
    return Outcome(
        asked=sum(begun <= each.due < healed for each in answers),
        lost=sum(each.status == LOST for each in answers),
        errors=sum(each.status >= 500 for each in answers),
        over=over,
        over_at_s=at - begun if over else 0.0,
        refused_others=sum(each.kind == "light" and each.status == 429 for each in answers),
        p50_s=percentile(took(model, begun, healed), 0.5),
        p99_s=percentile(took(model, begun, healed), 0.99),
        before_p99_s=percentile(took(model, steady, begun), 0.99),
        health_p99_s=percentile(took({"health"}, begun, healed), 0.99),
        before_health_p99_s=percentile(took({"health"}, steady, begun), 0.99),
        recovered_s=recovered_s,
        tracebacks=0,
        first="",
        store_calls=0.0,
    )


def shortfalls(cases: list[Case]) -> list[str]:
    """Every bar of guard's that is missed or could not be judged, in words."""
    missed = []
    for case in cases:
        if case.limiter != GUARD:
            continue
        if case.skipped or not case.outcomes:
            missed.append(f"{case.name}: could not be judged: {case.skipped or 'it was not run'}")
        if not case.outcomes:
            continue
        counts = {what: case.worst(what) for what in ("lost", "errors", "tracebacks", "refused_others")}
        missed += [
            f"{case.name}: {count} {what.replace('_', ' ')}; none is allowed" for what, count in counts.items() if count
        ]
        missed += [f"{case.name}: {outcome.first}" for outcome in case.outcomes if outcome.first]
        if min(outcome.store_calls for outcome in case.outcomes) < FEWEST_CALLS:
            missed.append(f"{case.name}: could not be judged: before the fault the store was hardly asked")
        if case.worst("over") > MOST_OVER[case.replicas]:
            missed.append(
                f"{case.name}: {case.worst('over'):.1%} over-admitted; at most {MOST_OVER[case.replicas]:.0%}"
            )
        recovered = case.worst("recovered_s")
        if recovered is None or recovered > MOST_RECOVERY_S:
            took = "never" if recovered is None else f"after {recovered:.2f} s"
            missed.append(f"{case.name}: recovered {took}; within {MOST_RECOVERY_S:.0f} s is wanted")
        missed += [f"{case.name}: {words}" for words in _too_slow(case.outcomes, case.scene)]
    return missed


def _too_slow(outcomes: list[Outcome], scene: Scene) -> list[str]:
    """By the median run: whatever else the machine does adds to some of them. The health route's times are a few dozen a run,
    their p99 nearly the longest of them: they are judged of a hang, where they used to stand still."""
    alone = scene.alone
    words = []
    if (added_s := median(each.p99_s - each.before_p99_s for each in outcomes)) > MOST_ADDED_P99_S[alone]:
        words.append(f"p99 {added_s * 1000:.0f} ms more; at most {MOST_ADDED_P99_S[alone] * 1000:.0f} ms")
    if (
        scene.name == "hang"
        and median(each.health_p99_s - 2 * each.before_health_p99_s for each in outcomes) > MOST_ADDED_HEALTH_S
    ):
        now_s, was_s = (
            median(getattr(each, name) for each in outcomes) for name in ("health_p99_s", "before_health_p99_s")
        )
        words.append(f"health p99 {now_s * 1000:.1f} ms, was {was_s * 1000:.1f} ms; at most twice as long and 5 ms")
    return words


_COLUMNS = ("runs", "errors", "lost", "over", "p50", "p99 (was)", "health p99 (was)", "recovered", "others refused")


def table(cases: list[Case]) -> str:
    """The worst of the runs, one line a case."""
    lines = [f"{'':<46}" + "".join(f"{name:>18}" for name in _COLUMNS)]
    for case in cases:
        if not case.outcomes:
            lines.append(f"{case.name:<46}  skipped: {case.skipped}")
            continue
        asked, recovered = case.worst("asked"), case.worst("recovered_s")
        cells = [
            f"{len(case.outcomes)} {'alone' if case.scene.alone and case.limiter == GUARD else 'beside others'}",
            f"{case.worst('errors')} of {asked}",
            str(case.worst("lost")),
            f"{case.worst('over'):+.1%}",
            _ms(case.worst("p50_s")),
            f"{_ms(case.worst('p99_s'))} ({_ms(case.worst('before_p99_s'))})",
            f"{_ms(case.worst('health_p99_s'))} ({_ms(case.worst('before_health_p99_s'))})",
            "not seen" if recovered is None else f"{recovered:.2f} s",
            str(case.worst("refused_others")),
        ]
        lines.append(f"{case.name:<46}" + "".join(f"{cell:>18}" for cell in cells))
    return "\n".join(lines)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"
