"""Shows or sets the one switch over everything: off (judge nothing), observe (judge and record), enforce (act).

guard mode                                  what is in force
guard mode observe --for 2h --why "…"       the kill switch: nothing is refused for two hours, then as before
guard mode policy                           back to what the policy file says
"""

from __future__ import annotations

import argparse

from guard.cli._operator import add_channel, add_for, add_why, ask, show
from guard.explanation import when

SUMMARY = "show or set the mode: off, observe, enforce, policy"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("mode", nargs="?", choices=("off", "observe", "enforce", "policy"), help="nothing: show it")
    add_for(parser)
    add_why(parser)
    add_channel(parser)


def run(options: argparse.Namespace) -> int:
    if options.mode is None:
        answer = ask(options, "status")
        show(options, {"mode": answer.get("mode")}, f"mode is {answer.get('mode')}")
        return 0
    answer = ask(options, "mode", mode=options.mode, for_s=options.for_s, why=options.why)
    until = float(answer.get("until") or 0)
    ends = f" until {when(until)}" if until else ""
    show(options, answer, f"mode is {answer.get('mode')}{ends} (it was {answer.get('was')})")
    return 0
