"""How a running guard is: its health in plain words, mode, policy and counts. Exit 1: it is not healthy."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from guard.cli._operator import add_channel, ask, paint, plain, show
from guard.explanation import duration, when
from guard.types import JSONObject

SUMMARY = "how a running guard is"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_channel(parser)


def run(options: argparse.Namespace) -> int:
    answer = ask(options, "status")
    healthy = answer.get("health") == "ok"
    if options.json:
        show(options, answer, "")
    else:
        print(paint(f"guard is {plain(str(answer.get('health')))}", "green" if healthy else "red"))
        for line in _lines(answer):
            print(plain(line))
    return 0 if healthy else 1


def _lines(answer: JSONObject) -> Iterator[str]:
    yield from (f"  because {sentence}" for sentence in answer.get("because", ()))
    yield from (f"  warning: {sentence}" for sentence in answer.get("warnings", ()))
    until = float(answer.get("mode_until") or 0)
    override = f", until {when(until)}" if until else ""
    own = answer.get("policy_mode")
    differs = f" (the policy says {own}{override})" if own and own != answer.get("mode") else ""
    yield f"mode      {answer.get('mode')}{differs}"
    stale = ", stale" if answer.get("stale_policy") else ""
    yield f"policy    {answer.get('policy')} {answer.get('digest', '')}{stale}"
    yield f"up        {duration(float(answer.get('uptime_s') or 0))}"
    yield f"exchanges {_counts(answer.get('exchanges'))}"
    yield f"accounts  {answer.get('accounts', 0)} ({_counts(answer.get('bands'))})"
    yield f"words     {answer.get('grants', 0)} grants, {answer.get('blocks', 0)} blocks"
    audit = answer.get("audit") or {}
    yield f"audit     {audit.get('file') or 'none'}: {audit.get('written', 0)} lines, {audit.get('left_out', 0)} left out"


def _counts(counts: Any) -> str:
    told = ", ".join(f"{count} {name}" for name, count in (counts or {}).items() if count)
    return told or "none"
