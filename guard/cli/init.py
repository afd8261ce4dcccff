"""Writes a commented policy file to start from: it watches, and changes nothing.

guard init                  guard.toml here
guard init PATH --force     over a file that is there
guard init --preset small   another of the shipped policies
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

SUMMARY = "write a commented policy file in observe mode"
# A preset keeps no files anywhere; who writes a policy of his own wants its state and its socket.
_SWITCHED_OFF = "#: "


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", nargs="?", default="guard.toml", help="where to write it (default: %(default)s)")
    parser.add_argument("--force", action="store_true", help="overwrite a file that is there")
    parser.add_argument("--preset", default="observe", help="which shipped policy to start from (default: %(default)s)")


def run(options: argparse.Namespace) -> int:
    from guard.config import preset, presets  # noqa: PLC0415 - pydantic, only when it is needed
    from guard.registry import nearest  # noqa: PLC0415

    if options.preset not in presets():
        print(f"guard init: no preset {options.preset!r}; {nearest(options.preset, presets())}", file=sys.stderr)
        return 2
    text = "".join(line.removeprefix(_SWITCHED_OFF) for line in preset(options.preset).splitlines(keepends=True))
    path = Path(options.path)
    if path.is_dir():
        path /= "guard.toml"
    try:
        _write(path, text, overwrite=options.force)
    except FileExistsError:
        print(f"guard init: {path} is there already; --force overwrites it", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"guard init: {path} can't be written: {error.strerror}", file=sys.stderr)
        return 1
    print(f"wrote {path}\n\nnext:\n  guard check {path}\n  app = GuardMiddleware(app, policy={str(path)!r})")
    return 0


def _write(path: Path, text: str, *, overwrite: bool) -> None:
    """Creates the file in one step, so that it never overwrites what came up meanwhile; over a file, it is swapped whole."""
    target = path.with_name(f"{path.name}.new") if overwrite else path
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if overwrite else os.O_EXCL)
    with os.fdopen(os.open(target, flags, 0o644), "w", encoding="utf-8") as file:
        file.write(text)
    if overwrite:
        target.replace(path)
