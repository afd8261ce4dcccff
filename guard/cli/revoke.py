"""Takes back an operator's grant and block of a subject. Grants of the policy file stay. Exit 1: there was neither."""

from __future__ import annotations

import argparse

from guard.cli._operator import add_channel, add_subject, add_why, ask, show

SUMMARY = "take back a grant or a block"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_subject(parser)
    add_why(parser)
    add_channel(parser)


def run(options: argparse.Namespace) -> int:
    answer = ask(options, "revoke", subject=options.subject, why=options.why)
    done = bool(answer.get("revoked"))
    show(
        options, answer, f"{answer.get('subject')}: {'revoked' if done else 'there was no grant and no block of yours'}"
    )
    return 0 if done else 1
