"""Forgets an account altogether: evidence, limits, acceptance. Exit 1: nothing was known of it."""

from __future__ import annotations

import argparse

from guard.cli._operator import add_channel, add_subject, add_why, ask, show

SUMMARY = "forget everything about an account"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_subject(parser)
    add_why(parser)
    add_channel(parser)


def run(options: argparse.Namespace) -> int:
    answer = ask(options, "erase", subject=options.subject, why=options.why)
    erased = int(answer.get("erased") or 0)
    note = f"; {answer['note']}" if answer.get("note") else ""
    show(
        options,
        answer,
        f"{answer.get('subject')}: {f'{erased} things forgotten' if erased else 'nothing was known'}{note}",
    )
    return 0 if erased else 1
