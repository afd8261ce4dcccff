"""Collects what is wrong with a policy file: every mistake once, with its place, its line and the nearest valid name.

A value is shown shortened and with control characters escaped; what may be a secret (the value of an unknown key, a
credential written where a header's name belongs) is never shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, get_args, get_type_hints

from pydantic import BaseModel, ValidationError

from guard.errors import Problem
from guard.places import Path, locate, nearest_line
from guard.registry import nearest

_BARE = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_SHOWN_CHARACTERS = 40
_HIDDEN = (("identity", "credential"), ("identity", "query"), ("identity", "cookie"), ("admin", "token_file"))
_NOTHING = object()
_MESSAGES = MappingProxyType(
    {
        "string_type": "must be text",
        "bool_type": "must be true or false",
        "int_type": "must be a whole number",
        "float_type": "must be a number",
        "list_type": "must be a list",
        "dict_type": "must be a table",
        "model_type": "must be a table",
        "missing": "is missing",
        "too_short": "must not be empty",
        "finite_number": "must be a finite number",
        "greater_than": "must be more than {gt}",
        "greater_than_equal": "must be at least {ge}",
        "less_than_equal": "must be at most {le}",
        "literal_error": "isn't one of the valid values",
        "extra_forbidden": "unknown key",
    }
)


class _Found(NamedTuple):
    path: Path
    message: str
    value: str
    hint: str


class Mistakes:
    """Mistakes and warnings of one file, by path (``("limit", 0, "requests")``)."""

    def __init__(self) -> None:
        self._mistakes: list[_Found] = []
        self._warnings: list[_Found] = []
        self._concerned: set[Path] = set()

    def __bool__(self) -> bool:
        return bool(self._mistakes)

    def add(self, path: Path, message: str, hint: str = "", value: object = _NOTHING) -> None:
        """A mistake: the policy can't be used."""
        self._mistakes.append(_Found(path, message, _shown(path, value), hint))
        self._concerned.update(path[:end] for end in range(len(path) + 1))

    def warn(self, path: Path, message: str, hint: str = "", value: object = _NOTHING) -> None:
        """A warning: the policy can be used, and part of it will not do what it seems to."""
        self._warnings.append(_Found(path, message, _shown(path, value), hint))

    def within(self, path: Path) -> bool:
        """Whether there is a mistake in the table at that path."""
        return path in self._concerned

    def take(self, error: ValidationError, model: type[BaseModel]) -> list[Path]:
        """Takes over all that pydantic found; the paths of it."""
        paths: list[Path] = []
        for detail in error.errors(include_url=False):
            path = tuple(part for part in detail["loc"] if part != "[key]")
            kind, context = detail["type"], detail.get("ctx", {})
            message, hint, value = _MESSAGES.get(kind, detail["msg"]), "", detail["input"]
            if kind == "value_error":
                message, hint = context["error"].args
            elif kind == "missing":
                value = _NOTHING
            elif kind == "extra_forbidden":
                hint, value = nearest(str(path[-1]), _keys_at(model, path[:-1])), _NOTHING
            elif kind == "literal_error":
                hint = nearest(str(value), re.findall(r"'([^']*)'", context["expected"]) or [context["expected"]])
            elif kind.startswith("model"):
                message, value = "must be a table", _NOTHING
            self.add(path, message.format_map(context), hint, value)
            paths.append(path)
        return paths

    def problems(self, text: str, raw: Mapping[str, Any]) -> tuple[Problem, ...]:
        """The mistakes in the order of the file."""
        return _placed(self._mistakes, text, raw)

    def warnings(self, text: str, raw: Mapping[str, Any]) -> tuple[Problem, ...]:
        """The warnings in the order of the file."""
        return _placed(self._warnings, text, raw)


def _placed(found: list[_Found], text: str, raw: Mapping[str, Any]) -> tuple[Problem, ...]:
    if not found:
        return ()
    lines = locate(text)
    problems = [
        Problem(_place(entry.path, raw), entry.message, entry.value, entry.hint, nearest_line(lines, entry.path))
        for entry in dict.fromkeys(found)
    ]
    return tuple(sorted(problems, key=lambda problem: problem.line))


def _place(path: Path, raw: Any) -> str:
    """``limit[1] "free".requests``: counted from 0, with the id where there is one."""
    place = ""
    for part in path:
        raw = _step(raw, part)
        if isinstance(part, int):
            place += f"[{part}]"
            name = raw.get("id") if isinstance(raw, dict) else None
            if isinstance(name, str) and _BARE.fullmatch(name):
                place += f' "{name}"'
        else:
            key = part if _BARE.fullmatch(part) else json.dumps(part[:_SHOWN_CHARACTERS])
            place += f".{key}" if place else key
    return place or "the file"


def _step(raw: Any, part: str | int) -> Any:
    try:
        return raw[part]
    except (KeyError, IndexError, TypeError):
        return None


def _shown(path: Path, value: object) -> str:
    if value is _NOTHING or path[:2] in _HIDDEN or isinstance(value, (dict, list)):
        return ""
    text = json.dumps(value, default=str)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _keys_at(model: type[BaseModel], path: Path) -> list[str]:
    """The keys that are valid in the table at that path."""
    current = model
    for part in path:
        if not isinstance(part, str):
            continue
        if part in current.model_fields:
            current = next(_models_in(current.model_fields[part].annotation), current)
        else:
            current = next(_models_in(get_type_hints(current).get("__pydantic_extra__")), current)
    return list(current.model_fields)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
