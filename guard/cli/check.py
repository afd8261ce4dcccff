"""Checks policy files with the server's own loader: every mistake at once, with its file and line.

    guard check                         guard.toml here
    guard check a.toml b.toml           files, or presets by name
    guard check --app module:app        also what becomes of each endpoint of an app
    guard check --schema                the JSON schema of a policy file, for editors

The files that say where requests come from are opened, and their age is shown. Exit code 1 for mistakes; warnings leave
it 0.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.errors import Problem
    from guard.settings import Policy

_WIDEST = 60
SUMMARY = "check a policy file: every mistake with its line"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="*", metavar="POLICY", help="files or presets (default: guard.toml)")
    parser.add_argument("--app", metavar="MODULE:APP", default="", help="list the endpoints of this app")
    parser.add_argument("--schema", action="store_true", help="print the JSON schema and end")
    parser.add_argument(
        "--no-import", action="store_true", help="leave alone what the file refers to: the callable, the weights"
    )


def run(options: argparse.Namespace) -> int:
    from guard.config import json_schema, load_with_warnings  # noqa: PLC0415 - pydantic, only when it is needed
    from guard.errors import PolicyError  # noqa: PLC0415

    if options.schema:
        print(json.dumps(json_schema(), indent=2))
        return 0
    # As servers do it: modules are looked for where the command is started.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    code = 0
    policy: Policy | None = None
    for path in options.paths or ["guard.toml"]:
        try:
            policy, warnings = load_with_warnings(path, now=time.time(), resolve=not options.no_import)
        except PolicyError as error:
            for problem in error.problems:
                print(_line(path, problem))
            print(f"{path}: {_count(len(error.problems), 'mistake')}")
            code, policy = 1, None
            continue
        for problem in warnings:
            print(_line(path, problem, "warning: "))
        told = f", {_count(len(warnings), 'warning')}" if warnings else ""
        parts = f"{_count(len(policy.limits), 'limit')}, {_count(len(policy.rules), 'rule')}"
        for text in _files(policy) if not options.no_import else ():
            print(f"{path}: {text}")
        print(f"{path}: ok (mode {policy.mode}, {parts}, digest {policy.digest}{told})")
    if options.app and policy is not None:
        return max(code, _show_endpoints(options.app, policy))
    return code


def _files(policy: Policy) -> Iterator[str]:
    """The state of each file that says where requests come from, as a server that started now would find it."""
    if not (policy.region.country or policy.region.asn or policy.region.kinds):
        return
    from guard.region import Regions  # noqa: PLC0415

    now = time.time()
    regions = Regions(policy, now)
    troubles, warnings = regions.troubles(now), regions.warnings(now)
    yield from (f"warning: {sentence}" for sentence in (*troubles, *warnings))
    yield from (
        f"region: {file['file']}: {' and '.join(file['for'])}, {file['age_days']:.0f} days old"
        for file in regions.status(now)
        if file["state"] == "ok"
    )


def _line(path: str, problem: Problem, kind: str = "") -> str:
    where = f"{path}:{problem.line}" if problem.line else path
    found = f" (found {problem.value})" if problem.value else ""
    hint = f"; {problem.hint}" if problem.hint else ""
    return f"{where}: {kind}{problem.place}: {problem.message}{found}{hint}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _show_endpoints(name: str, policy: Policy) -> int:
    from guard.endpoints import endpoints  # noqa: PLC0415

    app = _imported(name)
    if app is None:
        return 1
    rows = [(",".join(found.methods), found.path, found.protection) for found in endpoints(app, policy)]
    widths = [min(_WIDEST, max((len(row[column]) for row in rows), default=0)) for column in (0, 1)]
    for methods, path, protection in rows:
        print(f"  {methods:{widths[0]}}  {path:{widths[1]}}  {protection}")
    return 0


def _imported(name: str) -> Any:
    """The app; None, and a sentence on stderr, where it can't be had. Its own import errors are shown as they are."""
    module, _, attributes = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for attribute in (attributes or "app").split("."):
            found = getattr(found, attribute)
    except (ImportError, AttributeError, ValueError) as error:
        print(f"guard check: {name}: {type(error).__name__}: {error}", file=sys.stderr)
        return None
    return found
