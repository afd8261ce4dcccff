"""How much does an operator get who reacts to what he is answered? ``detection.py --closed-loop``.

One campaign with a template plays against the shipped policy ``standard``, once for each strategy of
``guard/simulation/operators.py``, beside ordinary traffic from which guard has learned for a day. Where the shared evaluation
is there, that traffic is its scenario ``clean`` and what is asked are its prompts; else, and with ``--quick``, both are
simulated.

yield        exchanges got in full, of those the operator would have got unopposed       at most 5 %
burnt/1,000  accounts given up, or contained when last heard of, for each thousand got   at least 50
touched, contained   ordinary accounts and exchanges                                     at most 0.5 % and 0.2 %

"all at once" is shown for information: nobody has said yet what it may get.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from detection_log import make
from detection_variants import SHARED, spec_of

from guard.config import load
from guard.simulation.campaigns import SHAPES
from guard.simulation.loop import BARS, Result, play, report
from guard.simulation.operators import STRATEGIES
from guard.simulation.ordinary import Stage
from guard.simulation.owners import DAY_S, Look
from guard.simulation.prompts import OWN, Prompts
from guard.simulation.traffic import Population

SHAPE = SHAPES["hydra"]
SCENARIO = "clean"
SOURCES = ("openthoughts_r1_reasoning_calls", "gpteacher_codegen")
ACCOUNTS, QUICK_ACCOUNTS = 240, 60
QUICK_POPULATION, QUICK_DAYS = 500, 2.5
_LOOKED_AT = 3000


class Game(NamedTuple):
    """One strategy on one population. ``log`` None: it is simulated."""

    strategy: str
    seed: int
    days: float
    people: int
    accounts: int
    log: Path | None


def games(*, quick: bool, seeds: int, cache: Path) -> list[Game]:
    """All that is played. Raises ``detection_log.NotMade``."""
    found = []
    shared = not quick and (SHARED / "eval" / "population.py").is_file()
    for turn in range(seeds):
        log, days, people, accounts = None, QUICK_DAYS, QUICK_POPULATION, QUICK_ACCOUNTS
        seed = 1 + turn
        if shared:
            spec = spec_of(SCENARIO)
            seed = spec["seed"] + 100 * turn
            log, days, accounts = make(SCENARIO, seed, spec, cache), float(spec["days"]), ACCOUNTS
        elif not quick:
            days, people, accounts = 6.0, 2000, ACCOUNTS
        found += [Game(name, seed, days, people, accounts, log) for name in STRATEGIES]
    return found


def played(game: Game) -> Result:
    """What one comes to."""
    strategy = STRATEGIES[game.strategy]
    if game.log is None:
        population = Population(game.days, game.people, game.seed)
        stage, ordinary = population.stage("operator"), population.ordinary()
    else:
        stage, ordinary = beside(game.log, game.days, game.seed), records(game.log)
    operator = strategy.begins(stage, SHAPE, SHAPE.name, game.accounts)
    return play(load("standard"), ordinary, operator, strategy)


def records(log: Path) -> Iterator[Mapping[str, Any]]:
    """The exchanges of a log."""
    with log.open("rb") as lines:
        yield from map(orjson.loads, lines)


def beside(log: Path, days: float, seed: int) -> Stage:
    """A campaign's stage beside a log: it has the clients and models of those who ask there, and asks with real prompts."""
    start, looks = 0.0, []
    for n, record in enumerate(records(log)):
        start = start or record["at"]
        request = record["request"]
        if request["path"].endswith("/chat/completions"):
            looks.append(Look(request["headers"], request["body"]["model"]))
        if n >= _LOOKED_AT:
            break
    return Stage(start, start + days * DAY_S, real(seed), random.Random(f"{seed} operator"), looks)


def real(seed: int, data: Path = SHARED / "data") -> Prompts:
    """What the shared corpora of extraction ask."""
    corpora = [(data / "extraction" / f"{name}.jsonl").read_bytes() for name in SOURCES]
    asked = [orjson.loads(line)["user"] for corpus in corpora for line in corpus.splitlines()]
    random.Random(seed).shuffle(asked)
    return Prompts(OWN.ordinary, {"problems": asked}) if asked else OWN


def run(*, quick: bool, seeds: int, cache: Path, jobs: int) -> list[Result]:
    """Plays all games, at most ``jobs`` at a time, and prints the table of each seed."""
    todo = games(quick=quick, seeds=seeds, cache=cache)
    first = todo[0]
    beside_whom = (
        f"{SCENARIO}, {first.days:g} days" if first.log else f"{first.people} simulated accounts, {first.days:g} days"
    )
    print(
        f"{SHAPE.name}: {first.accounts} accounts, {SHAPE.per_day:g} exchanges a day each, beside {beside_whom}",
        flush=True,
    )
    results: list[Result] = []
    with ProcessPoolExecutor(max_workers=jobs) as workers:
        for number, result in enumerate(workers.map(played, todo), 1):
            results.append(result)
            print(
                f"  {todo[number - 1].seed} {result.strategy}: {result.got:,} of {result.unopposed:,} got", flush=True
            )
            if number % len(STRATEGIES) == 0:
                print(f"\nseed {todo[number - 1].seed}", *report(results[-len(STRATEGIES) :]), sep="\n", flush=True)
    print(f"\n{BARS}")
    return results


def shortfalls(results: Iterable[Result]) -> list[str]:
    """Every bar that a judged strategy misses, in words; nothing judged is a miss too."""
    judged: Sequence[Result] = [result for result in results if result.judged]
    return [each for result in judged for each in result.shortfalls()] or ([] if judged else ["nothing was judged"])
