"""The closed loop: an operator that reacts plays against guard, beside ordinary traffic from which guard has learned.

All is decided by the synchronous core, by the traffic's clock, as in a replay. What the operator is told is what a client would
see of the decision, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import Any, NamedTuple

import orjson

from guard.replay.log import ExchangeLog
from guard.replay.run import Replay
from guard.replay.tally import table
from guard.settings import Policy
from guard.simulation.deciding import faults, prepared
from guard.simulation.figures import Figures, contained, percent
from guard.simulation.operators import Heard, Operator, Strategy
from guard.types import Decision

MOST_YIELD, FEWEST_BURNT, MOST_TOUCHED, MOST_CONTAINED = 0.05, 50.0, 0.005, 0.002
BARS = (
    f"yield: exchanges got in full, of all it would have got unopposed (✓ up to {100 * MOST_YIELD:.0f} %); burnt/1,000: accounts burnt "
    f"for each thousand of them (✓ from {FEWEST_BURNT:.0f});\ntouched, contained: ordinary accounts and exchanges "
    f"(✓ up to {100 * MOST_TOUCHED:.1f} % and {100 * MOST_CONTAINED:.1f} %)"
)


class Result(NamedTuple):
    """What a game came to. ``unopposed``: exchanges that the operator would have got; ``got``: what it got in full."""

    strategy: str
    judged: bool
    unopposed: int
    sent: int
    got: int
    used: int
    burnt: int
    contained: float
    touched: float
    faults: str

    @property
    def part(self) -> float:
        """The yield: what it got as a share of what it would have got."""
        return self.got / max(1, self.unopposed)

    @property
    def price(self) -> float:
        """Accounts burnt for each thousand exchanges got."""
        return 1000.0 * self.burnt / max(1, self.got)

    def shortfalls(self) -> Iterator[str]:
        """Every bar that is missed, in words."""
        if self.faults:
            yield f"{self.strategy}: guard itself failed: {self.faults}"
        if self.part > MOST_YIELD:
            yield f"{self.strategy}: the yield is {percent(self.part)}; at most {percent(MOST_YIELD)}"
        if self.price < FEWEST_BURNT:
            yield f"{self.strategy}: {self.price:.0f} accounts burnt a thousand; at least {FEWEST_BURNT:.0f}"
        if self.touched > MOST_TOUCHED:
            yield f"{self.strategy}: {percent(self.touched)} of ordinary accounts touched; at most {percent(MOST_TOUCHED)}"
        if self.contained > MOST_CONTAINED:
            yield f"{self.strategy}: {percent(self.contained)} of ordinary exchanges contained; at most {percent(MOST_CONTAINED)}"


def play(policy: Policy, ordinary: Iterable[Mapping[str, Any]], operator: Operator, strategy: Strategy) -> Result:
    """One game. ``ordinary``: labelled exchanges in order of time. Raises ``InstallError`` where one can't be replayed."""
    replay, figures, log = Replay(policy), Figures(), ExchangeLog()
    got = 0
    for record, logged, met in prepared(ordinary, replay):
        while operator.due_at <= logged.at:
            got += _asked(operator, replay, log, figures)
        figures.add(record["label"], replay.decide_met(logged, met))
    while operator.due_at < inf:
        got += _asked(operator, replay, log, figures)
    _, _, accounts, touched = counts = figures.ordinary
    return Result(
        strategy.name,
        strategy.judged,
        operator.unopposed,
        operator.sent,
        got,
        operator.used,
        operator.burnt,
        counts[1] / max(1, counts[0]),
        touched / max(1, accounts),
        faults(replay),
    )


def heard(decision: Decision) -> Heard:
    """What a client sees of it."""
    told = decision.notice != "none" and decision.action == "degrade"
    return Heard(decision.status, told, decision.delay_s)


def _asked(operator: Operator, replay: Replay, log: ExchangeLog, figures: Figures) -> bool:
    """One exchange of the operator's; whether it got it in full."""
    record = operator.ask()
    outcome = replay.decide(log.read(orjson.dumps(record)))
    figures.add(record["label"], outcome)
    operator.told(heard(outcome.decision))
    return not contained(outcome.decision)


def report(results: Sequence[Result]) -> Iterator[str]:
    """The table: a mark stands where there is a bar."""
    head = ("strategy", "unopposed", "sent", "got", "yield", "accounts", "burnt", "burnt/1,000", "touched", "contained")
    yield from table(
        head,
        [
            (
                result.strategy,
                f"{result.unopposed:,}",
                f"{result.sent:,}",
                f"{result.got:,}",
                percent(result.part) + _mark(result, result.part <= MOST_YIELD),
                f"{result.used:,}",
                f"{result.burnt:,}",
                f"{result.price:,.0f}" + _mark(result, result.price >= FEWEST_BURNT),
                percent(result.touched) + _mark(result, result.touched <= MOST_TOUCHED),
                percent(result.contained) + _mark(result, result.contained <= MOST_CONTAINED),
            )
            for result in results
        ],
    )


def _mark(result: Result, held: bool) -> str:
    return "" if not result.judged else " ✓" if held else " ✗"
