"""Asks a model endpoint at a constant rate and tells how long it took, with guard in front of it and without.

guard bench http://127.0.0.1:8000                                    ten seconds, 20 requests a second
guard bench http://127.0.0.1:8000 --against http://127.0.0.1:9000    two endpoints dealt alternately: behind guard, and bare
KEYS='sk-mine-{n}' guard bench http://127.0.0.1:8000 --key KEYS      the accounts' keys, from the environment

Latency is counted from the moment a request was due, so that a stall counts for all who would have met it. Questions are made
up; an extractor's queue is dealt out among them. It asks this machine only, unless you name a host as your own. Exit code 1
where an endpoint gave no answer at all.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

from guard.cli._operator import seconds
from guard.errors import InstallError

SUMMARY = "load-test your endpoint, with guard and without"
_APIS = ("openai_chat", "anthropic_messages", "both")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", help="the endpoint, up to where /v1 begins")
    parser.add_argument("--against", metavar="URL", help="another one, asked the same in turns: the bare endpoint")
    parser.add_argument(
        "--rate",
        metavar="N",
        type=_number(1000.0),
        default=20.0,
        help="requests a second in all, to 1000 (default: 20)",
    )
    parser.add_argument(
        "--for", dest="for_s", metavar="TIME", type=seconds, default=10.0, help="how long, to 10m (default: 10s)"
    )
    parser.add_argument(
        "--timeout",
        metavar="TIME",
        type=seconds,
        default=30.0,
        help="an answer later than that is lost, to 2m (default: 30s)",
    )
    parser.add_argument(
        "--in-flight", metavar="N", type=_count(1000), default=100, help="open at each endpoint at most (default: 100)"
    )
    parser.add_argument("--extractor", metavar="PERCENT", type=_percent, default=0.3, help="its share (default: 30)")
    parser.add_argument(
        "--stream", metavar="PERCENT", type=_percent, default=0.3, help="answers as a stream (default: 30)"
    )
    parser.add_argument("--api", choices=_APIS, default="both", help="what is asked (default: both)")
    parser.add_argument("--model", metavar="NAME", default="demo-1", help="the model asked for (default: demo-1)")
    parser.add_argument(
        "--max-tokens", metavar="N", type=_count(100_000), default=64, help="of one answer (default: 64)"
    )
    parser.add_argument(
        "--accounts", metavar="N", type=_count(10_000), default=20, help="so many accounts ask (default: 20)"
    )
    parser.add_argument(
        "--key",
        metavar="VARIABLE",
        help="environment variable with the keys: one with {n} in it, or several with blanks between",
    )
    parser.add_argument("--seed", metavar="N", type=int, default=1, help="which questions in which order (default: 1)")
    parser.add_argument("--plain", action="store_true", help="lines in the place of the live view")
    parser.add_argument("--png", metavar="FILE", type=Path, help="a picture of the latencies (needs the bench extra)")
    parser.add_argument(
        "--i-own-this-host",
        metavar="HOST",
        action="append",
        default=[],
        help="a host that is not this machine; exactly",
    )


def run(options: argparse.Namespace) -> int:
    from guard.bench import picture  # noqa: PLC0415 - a client, only when it is needed
    from guard.bench.asking import Wish, keys  # noqa: PLC0415
    from guard.bench.bench import MOST_S, MOST_TIMEOUT_S, Bench  # noqa: PLC0415
    from guard.bench.table import table  # noqa: PLC0415
    from guard.bench.target import target  # noqa: PLC0415

    if options.for_s > MOST_S or options.timeout > MOST_TIMEOUT_S:
        raise InstallError("a load test is bounded: --for is 10m at most, --timeout 2m")
    urls = [options.url, *([options.against] if options.against is not None else [])]
    bench = Bench(
        targets=[target(url, options.i_own_this_host) for url in urls],
        rate=options.rate,
        for_s=options.for_s,
        extractor=options.extractor,
        keys=keys(_template(options.key), options.accounts),
        made_up=options.key is None,
        wish=Wish(options.api, options.model, options.max_tokens, options.stream, options.seed),
        most_in_flight=options.in_flight,
        timeout_s=options.timeout,
    )
    if options.png is not None:
        picture.check(options.png)
    print(*bench.announcement(), sep="\n", flush=True)
    tally = asyncio.run(bench.run(sys.stdout, live=sys.stdout.isatty() and not options.plain))
    print("", *table(tally, [one.url for one in bench.targets]), sep="\n", flush=True)
    if options.png is not None:
        picture.draw(tally, options.png)
        print(f"picture: {options.png}")
    silent = [one.url for place, one in enumerate(bench.targets) if not tally.answered(place)]
    if silent:
        print(f"guard: no answer at all from {' and '.join(silent)}", file=sys.stderr)
    return 1 if silent else 0


def _template(variable: str | None) -> str:
    """What the variable holds; ``""``: keys are to be made up. Its name is not quoted: somebody may have given a key there."""
    if variable is None:
        return ""
    found = os.environ.get(variable, "").strip()
    if not found:
        raise InstallError("--key names an environment variable, and there is none of that name, or it is empty")
    return found


def _number(most: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            found = float(text)
        except ValueError:
            found = 0.0
        if not 0.0 < found <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0 and up to {most:g}")
        return found

    return number


def _count(most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= most):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {most}")
        return int(text)

    return number


def _percent(text: str) -> float:
    try:
        share = float(text.removesuffix("%")) / 100.0
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a percentage from 0 to 100")
    return share
