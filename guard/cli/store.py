"""Whether a Redis or Valkey is fit to be the store that all replicas share: what is wrong, and the remedy.

    guard store check redis://10.0.0.5:6379/0
    guard store check env:STORE             the URL stands in a variable, which the list of processes does not show
    guard store check                       [state] store of guard.toml here, or of --policy FILE

Looked at: whether it can be reached and what it is, how fast it answers, whether guard's scripts may run, its clock, what it
does when it is full, memory, persistence, connections, the slots of a cluster, and what else is kept under guard's names.
Exit code 1: something must be mended before it can be used. Warnings leave it 0. Nothing is left behind in the store.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import TYPE_CHECKING

from guard.cli._operator import DEFAULT_POLICY, paint, plain

if TYPE_CHECKING:
    from guard.remote.facts import Finding

SUMMARY = "check the store that replicas share: what is wrong, and the remedy"
_COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}
_INDENT = " " * 23


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("verb", choices=["check"], help="what is to be done")
    parser.add_argument(
        "url", nargs="?", default="", metavar="URL", help="redis://…, or env:NAME of a variable with it"
    )
    parser.add_argument(
        "--policy", metavar="FILE", default="", help="the policy that names the store (default: guard.toml here)"
    )
    parser.add_argument("--json", action="store_true", help="the findings as JSON")


def run(options: argparse.Namespace) -> int:
    from guard.remote.inspect import inspect  # noqa: PLC0415 - a client library, only where it is needed
    from guard.storing import url_of  # noqa: PLC0415 - finds all plug-ins

    url, deadline_s = _meant(options)
    found = asyncio.run(inspect(url_of(url), deadline_s))
    wrong = [each for each in found if each.state == "error"]
    if options.json:
        print(json.dumps([each._asdict() for each in found], indent=2))
    else:
        print(_told(found))
    return 1 if wrong else 0


def _meant(options: argparse.Namespace) -> tuple[str, float]:
    """The store's URL and the deadline of its requests. Raises ``InstallError`` where none is named."""
    from guard.config import load  # noqa: PLC0415 - pydantic, only when it is needed
    from guard.errors import InstallError  # noqa: PLC0415
    from guard.settings import State  # noqa: PLC0415

    if options.url and not options.policy:
        return options.url, State().deadline_s
    path = options.policy or DEFAULT_POLICY
    state = load(path).state
    if not (options.url or state.store):
        raise InstallError(
            f"{path} names no store: each process keeps its own limits; set [state] store, or name a URL here"
        )
    return options.url or state.store, state.deadline_s


def _told(found: list[Finding]) -> str:
    counts = {state: sum(each.state == state for each in found) for state in ("error", "warning")}
    if counts["error"]:
        verdict = paint("can't be used as it is", "red")
    elif counts["warning"]:
        verdict = paint(f"can be used; {counts['warning']} warning{'s' * (counts['warning'] > 1)}", "yellow")
    else:
        verdict = paint("can be used", "green")
    lines = []
    for each in found:
        lines.append(f"  {paint(f'{each.state:8}', _COLOURS[each.state])} {each.what:12}{plain(each.told)}")
        if each.remedy:
            lines.append(f"{_INDENT}{plain(each.remedy)}")
    return "\n".join([f"the store {verdict}", *lines])
