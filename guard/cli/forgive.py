"""Drops the evidence against an account and gives it its full allowance back. Exit 1: nothing was held against it.

`cluster:NAME` takes back the verdict on a whole cluster: all its accounts are let go and its traits tell nobody any more. The
verdict stays taken back, over restarts too; the same kinds of evidence do not convict these accounts again, only new kinds do.
"""

from __future__ import annotations

import argparse

from guard.cli._operator import add_channel, add_subject, add_why, ask, show

SUMMARY = "drop the evidence against an account, or the verdict on a cluster"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_subject(parser, "cluster:<name>, ")
    add_why(parser)
    add_channel(parser)


def run(options: argparse.Namespace) -> int:
    answer = ask(options, "forgive", subject=options.subject, why=options.why)
    subject, forgiven = str(answer.get("subject")), int(answer.get("forgiven") or 0)
    cluster = subject.startswith("cluster:")
    done = cluster or forgiven > 0
    word = (
        f"taken back, {forgiven} accounts let go" if cluster else "forgiven" if done else "nothing was held against it"
    )
    show(options, answer, f"{subject}: {word}")
    return 0 if done else 1
