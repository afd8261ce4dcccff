"""Any JSON body: the route says where things stand in it.

A route's options are paths of names joined by dots: ``prompt``, ``messages``, ``system``, ``model``, ``max_tokens``, ``stream``,
``user``. A path that the route leaves out is the option's own name (``prompt`` also tries ``inputs`` and ``input``).
Every text that none of the paths reaches counts as text beside the conversation.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

from guard.counting import count_strings, report_input, report_output
from guard.problem import problem
from guard.reading import (
    MOST_CHOICES,
    MOST_TOKENS,
    canonical,
    collect,
    flag,
    invalid,
    items,
    missing,
    model_name,
    text,
    whole_number,
)
from guard.types import Ask, Decision, JSONObject, Route, Tally, Turn

_MOST_MESSAGES = 10_000
_OPTIONS = ("prompt", "messages", "system", "model", "max_tokens", "stream", "user")
_PROMPTS = (("prompt",), ("inputs",), ("input",))
_BUDGETS = ("max_tokens", "max_new_tokens", "max_completion_tokens", "max_output_tokens", "num_predict")
_CHOICES = ("n", "best_of", "num_return_sequences")
_SYSTEM = frozenset({"system", "developer"})
_SCALARS = frozenset({int, float, bool})
_REPORTS = (
    ("prompt_tokens", "completion_tokens"),
    ("input_tokens", "output_tokens"),
    ("prompt_eval_count", "eval_count"),
)
_ABSENT: Any = object()
Path = tuple[str, ...]


class JSONBody:
    name = "json"
    paths: tuple[str, ...] = ()

    def read(self, body: Mapping[str, Any], route: Route) -> Ask:
        paths = _paths(route.options)
        found = {option: _first(body, candidates) for option, candidates in paths.items()}
        system: list[str] = []
        turns: list[Turn] = []
        texts: list[str] = []
        prompts = _prompts(found["prompt"][1], turns)
        media = _messages(found["messages"][1], system, turns)
        if found["prompt"][1] is None and found["messages"][1] is None:
            raise missing(".".join(paths["prompt"][0]))
        if found["system"][1] is not None:
            media += collect(found["system"][1], system)
        reached = {path for path, value in found.values() if value is not None}
        parameters: JSONObject = {}
        media += _rest(body, reached, texts, parameters)
        parents = {(), paths["max_tokens"][0][:-1]}
        choices = max([1, *_numbers(body, parents, _CHOICES, MOST_CHOICES)]) * prompts
        named = found["max_tokens"]
        budgets = _numbers(body, parents, _BUDGETS)
        if named[1] is not None:
            budgets.append(whole_number(named[1], ".".join(named[0])))
        model, user, stream = found["model"][1], found["user"], found["stream"]
        return Ask(
            dialect=self.name,
            model="" if model is None else model_name(model),
            stream=False if stream[1] is None else flag(stream[1], ".".join(stream[0])),
            system="\n".join(system),
            turns=tuple(turns),
            tools=b"",
            parameters=canonical(parameters) if parameters else b"",
            budget_tokens=max(budgets) * choices if budgets else None,
            choices=choices,
            user="" if user[1] is None else text(user[1], ".".join(user[0])),
            media=media,
            texts=tuple(texts),
        )

    def count(self, payload: Mapping[str, Any], tally: Tally) -> None:
        for usage in (payload.get("usage"), payload):
            if isinstance(usage, dict):
                for of_input, of_output in _REPORTS:
                    report_input(usage.get(of_input), tally)
                    report_output(usage.get(of_output), tally)
        for key, value in payload.items():
            if type(value) not in _SCALARS and key != "usage":
                count_strings({key: value}, tally)

    def error(self, decision: Decision) -> bytes:
        return orjson.dumps(problem(decision))

    def error_event(self, decision: Decision) -> bytes:
        return b"event: error\ndata: " + self.error(decision) + b"\n\n"


@lru_cache(maxsize=1024)
def _paths(options: tuple[tuple[str, str], ...]) -> dict[str, tuple[Path, ...]]:
    """For each option the paths to try, in order; a route has one tuple of options for its whole life."""
    given = {option: (tuple(path.split(".")),) for option, path in options if option in _OPTIONS}
    default: dict[str, tuple[Path, ...]] = {option: ((option,),) for option in _OPTIONS} | {"prompt": _PROMPTS}
    return default | given


def _at(body: Mapping[str, Any], path: Path) -> Any:
    """The value at a path, None where there is none."""
    value: Any = body
    for name in path:
        if type(value) is not dict:
            return None
        value = value.get(name)
    return value


def _first(body: Mapping[str, Any], candidates: tuple[Path, ...]) -> tuple[Path, Any]:
    for path in candidates:
        value = _at(body, path)
        if value is not None:
            return path, value
    return candidates[0], None


def _prompts(prompt: Any, turns: list[Turn]) -> int:
    """Adds the prompt, or each of a list of prompts, as a turn; returns how many there are (at least 1)."""
    if prompt is None:
        return 1
    if type(prompt) is str:
        turns.append(Turn("user", prompt))
        return 1
    if type(prompt) is dict:
        parts: list[str] = []
        collect(prompt, parts)
        turns.append(Turn("user", "\n".join(parts)))
        return 1
    prompts = items(prompt, "prompt", MOST_CHOICES)
    turns.extend(Turn("user", text(one, "prompt[]")) for one in prompts)
    return max(1, len(prompts))


def _messages(messages: Any, system: list[str], turns: list[Turn]) -> int:
    """Adds a conversation of objects with ``role`` and any content, or of plain strings; returns its media parts."""
    if messages is None:
        return 0
    media = 0
    for message in items(messages, "messages", _MOST_MESSAGES):
        if type(message) is str:
            turns.append(Turn("user", message))
            continue
        if type(message) is not dict:
            raise invalid("messages[]", "an object or a string")
        role = message.get("role", "user")
        role = text(role, "messages[].role").strip().lower()
        parts: list[str] = []
        media += collect({key: value for key, value in message.items() if key != "role"}, parts)
        if role in _SYSTEM:
            system.extend(parts)
        else:
            turns.append(Turn(role, "\n".join(parts)))
    return media


def _rest(body: Mapping[str, Any], reached: set[Path], texts: list[str], parameters: JSONObject) -> int:
    """Walks what no path has reached: texts to ``texts``, numbers and flags to ``parameters``; returns the media parts.

    Goes down only where a path leads further; everything else is one ``collect``.
    """
    media = 0
    inner = {path[:end] for path in reached for end in range(1, len(path))}
    stack: list[tuple[Path, Mapping[str, Any]]] = [((), body)]
    while stack:
        place, value = stack.pop()
        for key, part in value.items():
            path = (*place, key)
            if path in reached:
                if place and type(part) in _SCALARS:
                    parameters[".".join(path)] = part
                continue
            if path in inner:
                stack.append((path, part))
            elif type(part) in _SCALARS:
                parameters[".".join(path)] = part
            elif part is not None:
                media += collect({key: part}, texts, keys=False)
                if type(part) is dict:
                    parameters.update(
                        {f"{'.'.join(path)}.{name}": p for name, p in part.items() if type(p) in _SCALARS}
                    )
    return media


def _numbers(body: Mapping[str, Any], parents: set[Path], names: tuple[str, ...], most: int = MOST_TOKENS) -> list[int]:
    """Every number that stands under one of the names in one of the objects; each must be a whole number."""
    numbers = []
    for parent in sorted(parents):
        place = _at(body, parent) if parent else body
        if isinstance(place, dict):
            present = [name for name in names if place.get(name) is not None]
            numbers += [whole_number(place[name], ".".join((*parent, name)), most) for name in present]
    return numbers


PLUGIN = JSONBody
