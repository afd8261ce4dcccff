"""Teaches a fresh deployment from past traffic, before its first request.

Reads an exchange log into the policy's state directory: who has standing, which traits many accounts share, what is usual. The
learning time, in which no ceiling is enforced, is shorter by it. Nobody is contained or convicted by what stands in the log,
unless --verdicts says so. No guard may run on that state directory meanwhile.

The ids in the log must be those by which [identity] describe names accounts. A log that guard itself has recorded
([record]) holds keyed hashes already: --recorded. Exit 2: a line can't be read (nothing is written), or the state can't be used.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path

from guard.cli._operator import DEFAULT_POLICY

SUMMARY = "learn from past traffic before the first request"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("log", metavar="LOG", help="an exchange log, or - for standard input")
    parser.add_argument(
        "--policy", metavar="FILE", default=DEFAULT_POLICY, help="the policy of the guard to be (default: guard.toml)"
    )
    parser.add_argument(
        "--verdicts", action="store_true", help="weigh the log too: what is found holds from the first request on"
    )
    parser.add_argument(
        "--recorded", action="store_true", help="guard has recorded the log: its ids are keyed hashes already"
    )
    parser.add_argument("--skip-broken", action="store_true", help="go on after a line that can't be read")
    parser.add_argument("--quiet", action="store_true", help="no summary")


def run(options: argparse.Namespace) -> int:
    from guard.clock import SystemClock  # noqa: PLC0415 - what is heavy loads when it runs
    from guard.config import load  # noqa: PLC0415
    from guard.errors import ExchangeLogError, InstallError  # noqa: PLC0415
    from guard.replay.warm import Warming  # noqa: PLC0415

    warming = Warming(load(options.policy), SystemClock().now(), verdicts=options.verdicts, recorded=options.recorded)
    with contextlib.ExitStack() as opened:
        opened.callback(warming.close)
        try:
            source = sys.stdin.buffer if options.log == "-" else opened.enter_context(Path(options.log).open("rb"))
            warmed = warming.run(source, skip_broken=options.skip_broken)
        except ExchangeLogError as error:
            raise InstallError(
                f"line {error.n} of the log (the first is 0): {error.message}; nothing was written"
            ) from None
        except OSError as error:
            raise InstallError(f"{options.log}: {error.strerror}; nothing was written") from None
    for warning in warmed.warnings:
        print(f"guard warm: {warning}", file=sys.stderr)
    if not options.quiet:
        found = warmed.numbers
        clusters = sum(found["clusters"].values())
        print(
            f"{warmed.exchanges:,} exchanges learnt{f', {warmed.broken:,} broken lines skipped' if warmed.broken else ''}: "
            f"{found['accounts']:,} accounts, {found['families']:,} families, {clusters} clusters"
            f"{', still learning' if found['learning'] else ''}"
        )
    return 0
