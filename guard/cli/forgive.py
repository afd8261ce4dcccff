"""Drops the evidence against an account and gives it its full allowance back. Exit 1: nothing was held against it."""

from __future__ import annotations

import argparse

from guard.cli._operator import add_channel, add_subject, add_why, ask, show

SUMMARY = "drop the evidence against an account"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_subject(parser)
    add_why(parser)
    add_channel(parser)


def run(options: argparse.Namespace) -> int:
    answer = ask(options, "forgive", subject=options.subject, why=options.why)
    done = bool(answer.get("forgiven"))
    show(options, answer, f"{answer.get('subject')}: {'forgiven' if done else 'nothing was held against it'}")
    return 0 if done else 1
