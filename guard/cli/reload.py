"""Makes a running guard read its policy file now. With mistakes in it the last good policy stays in force (exit 1)."""

from __future__ import annotations

import argparse

from guard.cli._operator import add_channel, add_why, ask, show

SUMMARY = "read the policy file now"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_why(parser)
    add_channel(parser)


def run(options: argparse.Namespace) -> int:
    answer = ask(options, "reload", why=options.why)
    if answer.get("mistakes"):
        show(options, answer, f"the last good policy stays in force ({answer.get('digest')}). {answer['mistakes']}")
        return 1
    changed = "in force" if answer.get("changed") else "unchanged"
    weaker = "".join(f"\n  weaker: {sentence}" for sentence in answer.get("loosened", ()))
    show(options, answer, f"{answer.get('policy')} {answer.get('digest')}: {changed}{weaker}")
    return 0
