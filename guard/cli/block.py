"""Refuses an account or organisation from the next exchange on, whatever its score; streams that run are cut."""

from __future__ import annotations

import argparse

from guard.cli._operator import add_channel, add_for, add_subject, add_why, ask, show
from guard.explanation import when

SUMMARY = "refuse an account or organisation"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_subject(parser)
    add_why(parser, required=True)
    add_for(parser)
    add_channel(parser)


def run(options: argparse.Namespace) -> int:
    answer = ask(options, "block", subject=options.subject, why=options.why, for_s=options.for_s)
    until = float(answer.get("until") or 0)
    show(
        options,
        answer,
        f"{answer.get('subject')}: blocked {f'until {when(until)}' if until else 'until it is revoked'}",
    )
    return 0
