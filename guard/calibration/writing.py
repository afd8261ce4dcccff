"""Writes a weights file: the one in force with other scales, its remarks kept, and where they come from on top."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from guard.errors import InstallError

_TABLE = re.compile(r"^\s*\[group_signals\.\"?(\w+)\"?\]")
_ANY_TABLE = re.compile(r"^\s*\[")
_SCALE = re.compile(r"^(\s*scale\s*=\s*)[-+0-9.eE_]+")


def rescaled(text: str, scale: Mapping[str, float], remarks: Sequence[str]) -> str:
    """The text of a weights file with these scales by signal. Raises ``InstallError`` where it states a scale in another way than
    a table ``[group_signals.NAME]`` with a line ``scale = …``."""
    left = dict(scale)
    lines = [f"# {remark}" for remark in remarks]
    signal = ""
    for line in text.splitlines():
        named = _TABLE.match(line)
        if named is not None or _ANY_TABLE.match(line):
            signal = named[1] if named is not None else ""
        if signal in left and _SCALE.match(line):
            lines.append(_SCALE.sub(rf"\g<1>{left.pop(signal)!r}", line))
        else:
            lines.append(line)
    if left:
        raise InstallError(
            f"the weights file in force states no line 'scale = …' below [group_signals.{next(iter(left))}]; add one"
        )
    return "\n".join(lines) + "\n"


def in_force(path: str) -> str:
    """The text of the weights in force (``""``: the shipped ones), which were read before."""
    return (Path(path) if path else files("guard") / "weights" / "v1.toml").read_text(encoding="utf-8")


def write(path: Path, text: str, *, overwrite: bool) -> None:
    """Creates the file in one step; over a file, it is swapped whole. Raises ``InstallError`` where it can't."""
    target = path.with_name(f"{path.name}.new") if overwrite else path
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if overwrite else os.O_EXCL)
    try:
        with os.fdopen(os.open(target, flags, 0o644), "w", encoding="utf-8") as file:
            file.write(text)
        if overwrite:
            target.replace(path)
    except FileExistsError:
        raise InstallError(f"{path} is there already; --force overwrites it") from None
    except OSError as error:
        raise InstallError(f"{path} can't be written: {error.strerror}; name another place") from error
