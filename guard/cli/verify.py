"""Whether lines of the audit were taken out or changed. Exit 1: they were; the places are named."""

from __future__ import annotations

import argparse

from guard.cli._operator import add_channel, ask, show

SUMMARY = "check that the audit is whole"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_channel(parser)


def run(options: argparse.Namespace) -> int:
    answer = ask(options, "verify")
    breaks = answer.get("breaks") or []
    places = "".join(f"\n  {path}, line {line}: the line before is not the one that was there" for path, line in breaks)
    torn = f", {answer['torn']} cut off by a process that died" if answer.get("torn") else ""
    show(options, answer, f"{answer.get('lines', 0)} lines: {'NOT whole' if breaks else 'whole'}{torn}{places}")
    return 1 if breaks else 0
