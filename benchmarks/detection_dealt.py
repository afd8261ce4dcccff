"""What replicas must come to: what one process comes to on the same log."""

from __future__ import annotations

from collections.abc import Iterable

from detection_bars import GUARD, Row
from detection_jobs import ONE_PROCESS

TIMES, POINTS = 1.2, 0.005
"""The most that may leak more: so many times, or so much of all, whichever is more."""


def shortfalls(rows: Iterable[Row]) -> list[str]:
    """Every log on which replicas leak more than that, or harm more, in words; nothing to compare is one too."""
    found: dict[tuple[str, int], dict[str, Row]] = {}
    for row in rows:
        found.setdefault((row.scenario, row.seed), {})[row.who] = row
    missed = []
    compared = 0
    for kinds in found.values():
        dealt, one = kinds.get(GUARD), kinds.get(ONE_PROCESS)
        if dealt is None or one is None or dealt.failed or one.failed:
            continue
        compared += 1
        leak, whole = dealt.report.get("leak") or 0.0, one.report.get("leak") or 0.0
        most = max(TIMES * whole, whole + POINTS)
        if leak > most:
            missed.append(
                f"{dealt.name}: {leak:.2%} leak through replicas, {whole:.2%} through one process; at most {most:.2%}"
            )
        for what, theirs, ours in (
            ("ordinary accounts touched", dealt.touched(), one.touched()),
            ("ordinary exchanges contained", dealt.contained(), one.contained()),
        ):
            if theirs > ours:
                missed.append(f"{dealt.name}: {theirs} {what} by replicas, {ours} by one process")
    return missed or ([] if compared else ["nothing was compared with one process"])
