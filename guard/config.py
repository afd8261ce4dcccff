"""Reads a policy file: TOML → tables (pydantic) → ``settings.Policy``, with every mistake at once.

    load("guard.toml")      a file
    load("standard")        a preset: observe, standard, small, large ("./standard" is a file of that name)
    load("version = 1\\n…")  the text itself: anything with a line break in it

A policy with a mistake is never used, in part or whole: ``PolicyError`` names each mistake with its place, its line, the
value found and the nearest valid name. Warnings are told apart: the policy can be used, and part of it will not do what it
seems to. What tables may say stands in ``schema.py``, what conditions may say in ``conditions.py``.
"""

from __future__ import annotations

import json
import re
import stat
import tomllib
from hashlib import sha256
from importlib import resources
from pathlib import Path as File
from typing import Any, NamedTuple

from pydantic import ValidationError

from guard.checks import check, warn_of_expired
from guard.compiling import Origin, compile_policy
from guard.errors import PolicyError, Problem
from guard.mending import LISTS, mended
from guard.mistakes import Mistakes
from guard.registry import nearest
from guard.schema import PolicyTable
from guard.settings import Policy
from guard.when import condition_schema

MOST_BYTES = 1024 * 1024
_LINE = re.compile(r"\(at line (\d+), column \d+\)|\(at end of document\)")
# A key of far more parts than any policy has: tomllib takes memory in the square of them.
_KEY = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""
_DEEP_KEY = re.compile(rf"(?<![\w-]){_KEY}(?:[ \t]*\.[ \t]*{_KEY}){{32}}")


class Loaded(NamedTuple):
    """A policy that can be used, and what the operator should know about it."""

    policy: Policy
    warnings: tuple[Problem, ...]


def load(source: str | File, *, now: float = 0.0, resolve: bool = True) -> Policy:
    """The policy of a file, preset or text. Raises ``PolicyError``; ``load_with_warnings`` says what the arguments mean."""
    return load_with_warnings(source, now=now, resolve=resolve).policy


def load_with_warnings(source: str | File, *, now: float = 0.0, resolve: bool = True) -> Loaded:
    """The policy and its warnings. Raises ``PolicyError`` with every mistake.

    ``now`` (seconds since 1970) is for warnings of grants that have ended; 0: none. ``resolve`` False leaves alone what the
    file refers to: ``[identity] describe`` isn't imported, and is None in the policy.
    """
    name, data = _read(source)
    return parse(data, name, now=now, resolve=resolve)


def parse(data: bytes, name: str, *, now: float = 0.0, resolve: bool = True) -> Loaded:
    """The same for the content of a file that has been read already."""
    text, raw = _toml(data, name)
    mistakes = Mistakes()
    table, places = _tables(raw, mistakes)
    policy = compile_policy(table, places, Origin(name, sha256(data).hexdigest()[:16], resolve), mistakes)
    check(policy, raw, places, mistakes)
    if mistakes:
        raise PolicyError(name, mistakes.problems(text, raw))
    if now:
        warn_of_expired(policy, now, mistakes)
    return Loaded(policy, mistakes.warnings(text, raw))


def presets() -> tuple[str, ...]:
    """The names of the policies that guard ships."""
    folder = resources.files("guard") / "policies"
    return tuple(sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml")))


def preset(name: str) -> str:
    """The text of a shipped policy."""
    return (resources.files("guard") / "policies" / f"{name}.toml").read_text(encoding="utf-8")


def read_file(path: File) -> bytes:
    """The content of a policy file, at most ``MOST_BYTES``. Raises ``PolicyError``."""
    try:
        # A device or pipe would never end, and a folder has no text.
        if not stat.S_ISREG(path.stat().st_mode):
            raise _unusable(str(path), "isn't a regular file")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise _unusable(str(path), f"can't be read: {error.strerror or type(error).__name__}") from None
    except ValueError:
        raise _unusable("the path", "holds a NUL character") from None
    if len(data) > MOST_BYTES:
        raise _unusable(str(path), f"is larger than {MOST_BYTES} bytes")
    return data


def json_schema() -> dict[str, Any]:
    """The JSON schema of a policy file, for editors (``guard check --schema``)."""
    text = json.dumps(PolicyTable.model_json_schema())
    schema: dict[str, Any] = json.loads(text, object_hook=_with_condition)
    schema["$defs"]["Condition"] = condition_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema


def _with_condition(part: dict[str, Any]) -> dict[str, Any]:
    if isinstance(part.get("default"), dict):
        del part["default"]  # a whole table's; its keys have their own
    return {"$ref": "#/$defs/Condition"} if part.get("title") == "Condition" else part


def _read(source: str | File) -> tuple[str, bytes]:
    if isinstance(source, str):
        if "\n" in source or not source:
            return "the text", source.encode("utf-8", "surrogatepass")
        if source in presets():
            return source, preset(source).encode()
        if "/" not in source and not source.endswith(".toml") and not File(source).exists():
            raise _unusable(source, "no such preset or file", nearest(source, presets()))
    return str(source), read_file(File(source))


def _toml(data: bytes, name: str) -> tuple[str, dict[str, Any]]:
    if not data.strip():
        raise _unusable(name, "is empty", "`guard init` writes one to start from")
    if len(data) > MOST_BYTES:
        raise _unusable(name, f"is larger than {MOST_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig")
        if _DEEP_KEY.search(text):
            raise _unusable(name, "is nested too deep")
        return text, tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PolicyError(name, (Problem("the file", "isn't UTF-8", line=line),)) from None
    except RecursionError:
        raise _unusable(name, "is nested too deep") from None
    except ValueError as error:
        found = _LINE.search(str(error))
        line = int(found.group(1) or 0) if found else 0
        message = _LINE.sub("", str(error)).strip()
        if found and not found.group(1):
            line = text.rstrip().count("\n") + 1
            message += "" if message.startswith("Cannot") else ": the file ends too early"
        raise PolicyError(name, (Problem("the file", f"isn't TOML: {message}", line=line),)) from None


def _unusable(name: str, message: str, hint: str = "") -> PolicyError:
    return PolicyError(name, (Problem("the file", message, hint=hint),))


def _tables(raw: dict[str, Any], mistakes: Mistakes) -> tuple[PolicyTable, dict[str, list[int]]]:
    """The tables. What has a mistake is left out, so that everything else is still checked, each against the others."""
    places = {kind: list(range(len(_entries(raw, kind)))) for kind in LISTS}
    try:
        return PolicyTable.model_validate(raw), places
    except ValidationError as error:
        paths = mistakes.take(error, PolicyTable)
    sound = mended(raw, paths)
    for kind, entries in places.items():
        entries[:] = [at for at in entries if (*LISTS[kind], at) not in sound.dropped]
    return PolicyTable.model_validate(sound.tables), places


def _entries(raw: dict[str, Any], kind: str) -> list[Any]:
    found: Any = raw
    for part in LISTS[kind]:
        found = found.get(part) if isinstance(found, dict) else None
    return found if isinstance(found, list) else []
