"""A model endpoint, forty ordinary accounts and a hydra of forty more on this machine, with guard between them. No network.

Watch a cluster being found, what convicts it, and what that costs anybody else. An hour passes in a second, for what is looked
for is spread over hours. It ends by itself; Ctrl-C ends it sooner.
"""

from __future__ import annotations

import argparse
import logging
import sys

from guard.errors import InstallError

SUMMARY = "watch guard at work on this machine"
_LONGEST_S = 3600.0


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seconds", metavar="N", type=_seconds, default=24.0, help="how long it runs (default: 24, a day)"
    )
    parser.add_argument("--plain", action="store_true", help="lines in the place of the live view")
    parser.add_argument("--seed", metavar="N", type=int, default=1, help="which questions in which order (default: 1)")


def run(options: argparse.Namespace) -> int:
    try:
        from guard.demo.show import show  # noqa: PLC0415 - a server and a client, only when they are needed
    except ModuleNotFoundError as error:
        if error.name != "uvicorn":
            raise
        raise InstallError(
            "the demo needs a server; install it with: pip install 'extraction-guard[gateway]'"
        ) from None
    # guard's own log lines would stand in the picture; the audit has what matters.
    logging.getLogger("guard").addHandler(logging.NullHandler())
    live = sys.stdout.isatty() and not options.plain
    result = show(options.seconds, sys.stdout, live=live, seed=options.seed)
    print("", *result.lines(), sep="\n")
    return 0


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds <= _LONGEST_S:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to {_LONGEST_S:.0f}")
    return seconds
