"""Why was this exchange treated so? REFERENCE stands in the answer's X-Guard-Reference header and in its error.

Asks the running guard; where none answers, or with --audit, the audit file itself is read. Exit 1: nothing is known of it.
"""

from __future__ import annotations

import argparse
import sys

from guard.cli._operator import add_channel, ask, beside, plain, policy_table, show
from guard.errors import AdminError
from guard.explanation import explain
from guard.types import JSONObject

SUMMARY = "why was this exchange limited?"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reference", metavar="REFERENCE")
    parser.add_argument(
        "--audit", metavar="FILE", default="", help="read this audit file (and its older ones) directly"
    )
    add_channel(parser)


def run(options: argparse.Namespace) -> int:
    answer = _answer(options)
    show(options, answer, str(answer.get("sentence", "")))
    return 0 if answer.get("record") else 1


def _answer(options: argparse.Namespace) -> JSONObject:
    if options.audit:
        return _from_file(options.audit, options.reference)
    try:
        return ask(options, "explain", reference=options.reference)
    except AdminError as error:
        if options.tcp or not (path := _audit_file(options)):
            raise
        print(plain(f"guard: {error}; reading {path}"), file=sys.stderr)
        return _from_file(path, options.reference)


def _audit_file(options: argparse.Namespace) -> str:
    """The audit file that the policy file names, where it is there; ``""``: there is none."""
    from guard.recorder import audit_files, audit_path  # noqa: PLC0415
    from guard.settings import Audit  # noqa: PLC0415

    try:
        table = policy_table(options)
    except AdminError:
        return ""
    file, folder = (_text(table, part, key) for part, key in (("audit", "file"), ("state", "dir")))
    path = audit_path(Audit(file=file), folder)
    return beside(path, options) if path and audit_files(beside(path, options)) else ""


def _text(table: JSONObject, part: str, key: str) -> str:
    inner = table.get(part)
    value = inner.get(key, "") if isinstance(inner, dict) else ""
    return value if isinstance(value, str) else ""


def _from_file(path: str, reference: str) -> JSONObject:
    from guard.recorder import audit_files, find  # noqa: PLC0415

    files = audit_files(path, keep=1000)
    if not files:
        raise AdminError(f"there is no audit file {path}")
    steps = find(reference, files)
    try:
        while True:
            next(steps)
    except StopIteration as end:
        record: JSONObject = end.value
    except OSError as error:
        raise AdminError(f"{path} can't be read: {error.strerror}") from None
    if record:
        return {"record": record, "sentence": explain(record)}
    return {"record": {}, "sentence": f"No line of {path} has the reference {reference}."}
