"""The metrics of a running guard in the Prometheus text format."""

from __future__ import annotations

import argparse

from guard.cli._operator import add_channel, ask, show

SUMMARY = "the metrics as Prometheus text"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_channel(parser)


def run(options: argparse.Namespace) -> int:
    answer = ask(options, "metrics")
    show(options, answer, str(answer.get("text", "")).rstrip("\n"))
    return 0
