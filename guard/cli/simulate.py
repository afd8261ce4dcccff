"""Traffic for those who have no logs: ordinary people, apps, scripts and teams, and campaigns in the shapes that are known.

guard simulate > log.jsonl                          an exchange log with labels, which `guard replay` reads
guard simulate --campaign slow --policy guard.toml  straight through guard: what was caught, what leaked, who was harmed
guard simulate --closed-loop                        against an operator who reacts to what he is answered

Figures on simulated traffic are no promise: it is simpler than life, and whoever attacks you has not read it. They show what a
policy does, and whether a change makes it better or worse. The same seed gives the same log.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from guard.errors import InstallError

if TYPE_CHECKING:
    from guard.simulation.traffic import Population

SUMMARY = "traffic for those who have no logs"
_NO_PROMISE = (
    "Simulated traffic is simpler than life: these figures compare policies, and promise nothing about a real campaign."
)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--days", metavar="N", type=_between(0.1, 400.0), default=4.0, help="how long (default: 4)")
    parser.add_argument(
        "--accounts", metavar="N", type=_whole(10, 1_000_000), default=1000, help="ordinary accounts (default: 1000)"
    )
    parser.add_argument(
        "--seed", metavar="N", type=int, default=1, help="all that is drawn follows from it (default: 1)"
    )
    parser.add_argument(
        "--campaign",
        metavar="SHAPE[:N]",
        action="append",
        help="one campaign, of N accounts at once; several times: several (default: hydra; none; list shows all)",
    )
    parser.add_argument(
        "--prompts", metavar="DIR", type=Path, help="real prompts: .txt files (one a line), .md or .prompt (one each)"
    )
    parser.add_argument("--out", metavar="LOG", default="", help="where the log goes (default: standard output)")
    parser.add_argument("--policy", metavar="P", help="decide it by this policy file or preset, and show the figures")
    parser.add_argument(
        "--closed-loop", action="store_true", help="the campaign's operator reacts to what he is answered"
    )
    parser.add_argument(
        "--strategy", metavar="NAME", action="append", help="with --closed-loop: only this one; several times: these"
    )


def run(options: argparse.Namespace) -> int:
    from guard.simulation.campaigns import SHAPES  # noqa: PLC0415 - what is heavy loads when it runs

    if options.campaign == ["list"]:
        for shape in SHAPES.values():
            print(f"{shape.name:<13}{shape.accounts:>4} accounts beside a thousand: {shape.says}")
        return 0
    population = _population(options)
    if options.closed_loop:
        return _closed_loop(options, population)
    if options.strategy:
        raise InstallError("--strategy is for --closed-loop")
    if options.policy:
        return _judged(options, population)
    with contextlib.ExitStack() as opened:
        out = _opened(options.out, opened) if options.out not in {"", "-"} else sys.stdout.buffer
        for line in population.lines():
            out.write(line + b"\n")
        out.flush()
    return 0


def _population(options: argparse.Namespace) -> Population:
    from guard.simulation.campaigns import SHAPES  # noqa: PLC0415
    from guard.simulation.prompts import OWN, read  # noqa: PLC0415
    from guard.simulation.traffic import Chosen, Population  # noqa: PLC0415

    chosen = []
    for named in options.campaign or ["hydra"]:
        name, _, count = named.partition(":")
        if name == "none":
            continue
        if name not in SHAPES:
            raise InstallError(f"there is no campaign {name[:40]!r}; there are {', '.join(SHAPES)}, and none")
        if count and not (count.isascii() and count.isdigit() and 0 < int(count[:9]) <= 1_000_000):
            raise InstallError(f"{named[:40]!r}: the number of accounts is a whole number from 1 to 1000000")
        shape = SHAPES[name]
        chosen.append(Chosen(shape, int(count) if count else max(2, round(shape.accounts * options.accounts / 1000))))
    prompts = OWN if options.prompts is None else read(options.prompts)
    return Population(options.days, options.accounts, options.seed, tuple(chosen), prompts)


def _judged(options: argparse.Namespace, population: Population) -> int:
    """The table of one policy. The log is written beside it, if it has a place."""
    from guard.config import load  # noqa: PLC0415
    from guard.simulation.deciding import judged  # noqa: PLC0415

    if options.out == "-":
        raise InstallError("with --policy the table goes to standard output: name a file for the log")
    policy = load(options.policy)
    with contextlib.ExitStack() as opened:
        exchanges: Iterable[Any] = population.exchanges()
        if options.out:
            exchanges = _written(exchanges, _opened(options.out, opened))
        figures, failed = judged(policy, exchanges)
    print(*figures.report(), "", _NO_PROMISE, sep="\n")
    if failed:
        print(f"guard simulate: guard itself failed, figures can't be relied on: {failed}", file=sys.stderr)
    return 1 if failed else 0


def _closed_loop(options: argparse.Namespace, population: Population) -> int:
    """The table over strategies."""
    from guard.config import load  # noqa: PLC0415
    from guard.simulation.loop import BARS, play, report  # noqa: PLC0415
    from guard.simulation.operators import STRATEGIES  # noqa: PLC0415

    if options.out:
        raise InstallError("what a reacting operator sends depends on the answers: --closed-loop writes no log")
    if len(population.campaigns) != 1 or population.campaigns[0].shape.live:
        raise InstallError("--closed-loop plays one campaign with a queue: name one (relay has none)")
    names = options.strategy or list(STRATEGIES)
    if unknown := [name for name in names if name not in STRATEGIES]:
        raise InstallError(f"there is no strategy {unknown[0][:40]!r}; there are {', '.join(STRATEGIES)}")
    policy = load(options.policy or "standard")
    (shape, accounts), results = population.campaigns[0], []
    for name in names:
        strategy = STRATEGIES[name]
        operator = strategy.begins(population.stage("operator"), shape, shape.name, accounts)
        results.append(play(policy, population.ordinary(), operator, strategy))
        print(f"guard simulate: {strategy.name}: done", file=sys.stderr)
    print(*report(results), "", BARS, _NO_PROMISE, sep="\n")
    failed = [result.faults for result in results if result.faults]
    if failed:
        print(f"guard simulate: guard itself failed, figures can't be relied on: {failed[0]}", file=sys.stderr)
    return 1 if failed else 0


def _written(exchanges: Iterable[Any], out: BinaryIO) -> Iterator[Any]:
    """The same exchanges; each is written as it goes by."""
    import orjson  # noqa: PLC0415

    for exchange in exchanges:
        out.write(orjson.dumps(exchange) + b"\n")
        yield exchange


def _opened(name: str, opened: contextlib.ExitStack) -> BinaryIO:
    try:
        return opened.enter_context(Path(name).open("wb"))
    except OSError as error:
        raise InstallError(f"{name}: {error.strerror}") from None


def _between(least: float, most: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            found = float(text)
        except ValueError:
            found = -1.0
        if not least <= found <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least:g} to {most:g}")
        return found

    return number


def _whole(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not (text.isascii() and text.isdigit() and least <= int(text[:9]) <= most):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")
        return int(text)

    return number
