"""``when`` of the policy file → ``settings.Condition``: the table of ``conditions.FIELDS`` applied to what was written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import inf, isnan
from types import MappingProxyType
from typing import Any
from unicodedata import normalize

from guard import countries
from guard.conditions import FIELDS, Field, Ranges
from guard.mistakes import Mistakes
from guard.places import Path
from guard.registry import discover, nearest
from guard.settings import Condition
from guard.travel import SIGNAL
from guard.types import UNKNOWN

_SEVERAL = frozenset(
    {"tag", "signal", "account", "org", "country_differs", "replayed"}
)  # an exchange has any number of these


def compile_tests(table: Mapping[str, Any], path: Path, mistakes: Mistakes) -> Condition:
    """The condition; what is wrong with it goes to ``mistakes`` and is left out of the condition."""
    tests: list[tuple[str, str, Any]] = []
    for key, value in table.items():
        place = (*path, key)
        if key == "not":
            if not isinstance(value, Mapping) or not value:
                mistakes.add(place, "must be a condition", 'for example not = { tier = "free" }', value)
            else:
                tests.append(("not", "not", compile_tests(value, place, mistakes)))
            continue
        field = FIELDS.get(key)
        if field is None:
            mistakes.add(place, "unknown field", nearest(key, [*FIELDS, "not"]))
            continue
        values = value if isinstance(value, list) else [value]
        if not values:
            mistakes.add(place, "is empty and would never hold", "name at least one value")
        elif field.shape == "range":
            tests.append((key, "between", _ranges(field, values, place, mistakes)))
        else:
            known = [found for one in values if (found := _one(key, one, place, mistakes)) is not _WRONG]
            kind = "like" if field.shape == "patterns" else "any" if key in _SEVERAL else "is"
            tests.append((key, kind, tuple(known) if kind == "like" else frozenset(known)))
    return Condition(tuple(tests))


_WRONG = object()


def _one(key: str, value: Any, place: Path, mistakes: Mistakes) -> Any:
    field = FIELDS[key]
    if field.unknown and value == UNKNOWN:
        # In an account's and a peer's words the missing value reads "unknown"; flags and numbers read None.
        return None if field.shape in ("flag", "numbers") else UNKNOWN
    try:
        found = _READERS[field.shape](key, value)
    except ValueError as error:
        message, hint = error.args
        mistakes.add(place, message, f'{hint}; or "{UNKNOWN}"' if field.unknown else hint, value)
        return _WRONG
    if field.shape == "numbers" and not 0 <= found <= field.most:
        mistakes.add(place, f"must be from 0 to {field.most:g}", value=value)
        return _WRONG
    return found


def _word(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must be text, or a list of it", "")
    known = _known(key)
    if known and value not in known:
        raise ValueError(f"unknown {key}", nearest(value, known))
    return value


def _known(key: str) -> Iterable[str]:
    if key == "signal":
        return [*discover("signals"), SIGNAL]
    if key == "dialect":
        return [*discover("dialects"), "flat"]
    return FIELDS[key].values


def _name(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"must be the id of an {key}" if key == "account" else "must be an id", "as you name it")
    return value.removeprefix(f"{key}:")


def _code(key: str, value: Any) -> str:
    code = value.upper() if isinstance(value, str) else ""
    if code in ("UK", "EU"):
        raise ValueError("isn't a country", 'ISO 3166-1 has "GB" for the United Kingdom and lists each member state')
    if not countries.is_code(code):
        raise ValueError("isn't a country", 'two letters as in ISO 3166-1, for example "DE"')
    # Headers and databases say so of what they don't know.
    return UNKNOWN if key == "country" and code in ("XX", "ZZ") else code


def _part(_key: str, value: Any) -> str:
    code = value.upper() if isinstance(value, str) else ""
    if not countries.is_subdivision(code):
        raise ValueError("isn't a part of a country", 'country and part as in ISO 3166-2, for example "UA-43"')
    return code


def _number(_key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("must be a whole number, or a list of them", "")
    return value


def _flag(_key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false", "without quotes")
    return value


def _pattern(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a pattern, or a list of them", 'for example "gpt-5*"')
    # Paths are compared in their canonical spelling, which is lower-case.
    return model_pattern(value) if key == "model" else value.lower()


def model_pattern(text: str) -> str:
    """A pattern of model names, normalised as the names are: NFKC, case-folded, without blanks."""
    return "".join(normalize("NFKC", text).casefold().split())


_READERS: Mapping[str, Callable[[str, Any], Any]] = MappingProxyType(
    {
        "words": _word,
        "names": _name,
        "codes": _code,
        "parts": _part,
        "numbers": _number,
        "flag": _flag,
        "patterns": _pattern,
    }
)


def _ranges(field: Field, values: list[Any], place: Path, mistakes: Mistakes) -> Ranges:
    spans: list[tuple[float, float]] = []
    unknown = False
    example = f"for example {{ below = {'0.5' if field.most == 1 else '7'} }}"
    for value in values:
        if field.unknown and value == UNKNOWN:
            unknown = True
        elif not isinstance(value, Mapping) or not value:
            hint = f'{example}; or "{UNKNOWN}"' if field.unknown else example
            mistakes.add(place, "must be a range", hint, value)
        else:
            span = _span(field, value, place, mistakes)
            if span is not None:
                spans.append(span)
    return Ranges(tuple(spans), unknown)


def _span(field: Field, table: Mapping[str, Any], place: Path, mistakes: Mistakes) -> tuple[float, float] | None:
    bounds = {"at_least": -inf, "below": inf}
    for key, value in table.items():
        if key not in bounds:
            mistakes.add((*place, key), "unknown key", nearest(key, bounds))
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or isnan(value):
            mistakes.add((*place, key), "must be a number", "without quotes", value)
            return None
        bounds[key] = float(value)
    low, high = bounds["at_least"], bounds["below"]
    if low >= high:
        mistakes.add(
            place, "would never hold: at_least is not less than below", "at_least is part of the range, below isn't"
        )
        return None
    if high <= 0 or low > field.most:
        reach = "0 upwards" if field.most == inf else f"0 to {field.most:g}"
        mistakes.add(place, "would never hold", f"the value goes from {reach}")
        return None
    return low, high


def condition_schema() -> dict[str, Any]:
    """The JSON schema of a condition, from the same table."""
    number = {"type": "number"}
    span = {"type": "object", "properties": {"at_least": number, "below": number}, "additionalProperties": False}
    shapes: dict[str, dict[str, Any]] = {"range": span, "numbers": {"type": "integer"}, "flag": {"type": "boolean"}}
    properties: dict[str, Any] = {"not": {"$ref": "#/$defs/Condition"}}
    for key, field in FIELDS.items():
        words = [*_known(key)] if field.shape == "words" else []
        one: list[dict[str, Any]] = [{"enum": words}] if words else [shapes.get(field.shape, {"type": "string"})]
        if field.unknown and one != [{"type": "string"}]:
            one.append({"const": UNKNOWN})
        properties[key] = {"anyOf": [*one, {"type": "array", "items": {"anyOf": one}, "minItems": 1}]}
    return {"type": "object", "properties": properties, "additionalProperties": False}
