"""What a load test shows: before it, while it runs, and at its end. Milliseconds since the intended arrival."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf, isinf

from guard.bench.figures import Cell, Tally, quantile

NAMES = "AB"
_QS = (0.5, 0.9, 0.99)
_LATE_S = 0.02
_HEAD = f"{'':<13}{'offered':>8}{'answered':>9}{'lost':>6}" + "".join(
    f"{name:>9}" for name in ("p50", "p90", "p99", "max", "1st p50", "1st p90", "1st p99", "1st max")
)


def table(tally: Tally, urls: Sequence[str]) -> Iterator[str]:
    """The table at the end, with the statuses, what was lost and why, and how late the client itself was."""
    yield from (f"{NAMES[place]} is {url}" for place, url in enumerate(urls))
    yield _HEAD
    asked = {place: cell for place, cell in tally.cells.items() if cell.offered}
    for (endpoint, kind), cell in asked.items():
        lost = cell.failed.total() + cell.dropped
        counts = f"{cell.offered:>8}{cell.answered:>9}{cell.lost:>6}"
        yield f"{f'{NAMES[endpoint]} {kind}':<13}{counts}{_times(cell.took_s, lost)}{_times(cell.first_s, 0)}"
    yield "(ms since the intended arrival, of answers with 2xx; the lost count as never answered. 1st: a stream's first byte.)"
    for (endpoint, kind), cell in asked.items():
        yield f"{NAMES[endpoint]} {kind}: {', '.join(_happened(cell))}"
    yield from _compared(tally)
    late = sorted(tally.late_s)
    yield f"The client sent a request {_ms(quantile(late, 0.99))} ms after it was due at p99, {_ms(quantile(late, 1.0))} at most."
    if quantile(late, 0.99) > _LATE_S:
        yield "That is late: this machine is too busy for the rate, and the figures hold its delay too. Try a lower --rate."


def frame(tally: Tally, title: str, urls: Sequence[str], width: int, height: int) -> list[str]:
    """The live view: what was counted up to now, and the median of the last answers."""
    lines = [
        title,
        "",
        f"{'':<13}{'offered':>8}{'answered':>9}{'lost':>6}{'in flight':>10}{'recent p50':>12}  statuses",
    ]
    for (endpoint, kind), cell in tally.cells.items():
        counts = f"{cell.offered:>8}{cell.answered:>9}{cell.lost:>6}{cell.open:>10}"
        recent = f"{_ms(quantile(sorted(cell.recent_s), 0.5)):>9} ms" if cell.recent_s else f"{'-':>12}"
        lines.append(f"{f'{NAMES[endpoint]} {kind}':<13}{counts}{recent}  {_statuses(cell)}")
    lines += ["", *(f"{NAMES[place]} is {url}" for place, url in enumerate(urls)), "", "Ctrl-C ends it with the table."]
    return [line[:width] for line in (lines + [""] * height)[:height]]


def progress(tally: Tally, at_s: float) -> str:
    """The live view in one line."""
    told = []
    for endpoint in range(tally.endpoints):
        cells = [cell for (place, _), cell in tally.cells.items() if place == endpoint]
        recent = sorted(took for cell in cells for took in cell.recent_s)
        told.append(
            f"{NAMES[endpoint]}: {sum(cell.answered for cell in cells)} of {sum(cell.offered for cell in cells)} answered, "
            f"{sum(cell.lost for cell in cells)} lost, recent p50 {_ms(quantile(recent, 0.5))} ms"
        )
    return f"{at_s:6.1f} s  " + "; ".join(told)


def _times(took_s: Sequence[float], lost: int) -> str:
    if not took_s and not lost:
        return f"{'-':>9}" * (len(_QS) + 1)
    ordered = sorted(took_s)
    most = ordered[-1] if ordered and not lost else inf
    return "".join(f"{_ms(value):>9}" for value in (*(quantile(ordered, q, lost) for q in _QS), most))


def _happened(cell: Cell) -> Iterator[str]:
    yield _statuses(cell) or "no answer"
    if cell.refused_s:
        refused = sorted(cell.refused_s)
        yield f"not 2xx after p50 {_ms(quantile(refused, 0.5))} ms and p99 {_ms(quantile(refused, 0.99))} ms"
    if cell.dropped:
        yield f"lost: {cell.dropped} not sent, too many were in flight"
    yield from (f"lost: {count} × {name}" for name, count in sorted(cell.failed.items()))
    if cell.open:
        yield f"{cell.open} open when it was broken off"


def _compared(tally: Tally) -> Iterator[str]:
    """B against A, where both have figures."""
    kinds = dict.fromkeys(kind for _, kind in tally.cells) if tally.endpoints == 2 else {}
    for kind in kinds:
        first, second = tally.cells[0, kind], tally.cells[1, kind]
        if first.took_s and second.took_s:
            more = [
                quantile(sorted(second.took_s), q, second.lost) - quantile(sorted(first.took_s), q, first.lost)
                for q in (0.5, 0.99)
            ]
            if all(abs(value) < inf for value in more):
                yield f"B − A, {kind}: {1000 * more[0]:+.2f} ms at p50, {1000 * more[1]:+.2f} ms at p99"


def _statuses(cell: Cell) -> str:
    return ", ".join(f"{count} × {status}" for status, count in sorted(cell.statuses.items()))


def _ms(value_s: float) -> str:
    if isinf(value_s):
        return "lost"
    return f"{1000 * value_s:.2f}" if value_s < 0.1 else f"{1000 * value_s:.0f}"
