"""The operator's word that an account or organisation may do what would otherwise look like extraction."""

from __future__ import annotations

import argparse

from guard.cli._operator import add_channel, add_for, add_subject, add_why, ask, show
from guard.explanation import when

SUMMARY = "let an account do what looks like extraction"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_subject(parser)
    add_why(parser, required=True)
    add_for(parser)
    parser.add_argument("--untold", action="store_true", help="don't tell the client of it")
    add_channel(parser)


def run(options: argparse.Namespace) -> int:
    told = False if options.untold else None
    answer = ask(options, "grant", subject=options.subject, why=options.why, for_s=options.for_s, told=told)
    until = float(answer.get("until") or 0)
    show(
        options,
        answer,
        f"{answer.get('subject')}: granted {f'until {when(until)}' if until else 'until it is revoked'}",
    )
    return 0
