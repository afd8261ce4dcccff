"""Leaves out of a policy's tables what is wrong with them, and nothing else, so that the rest can still be checked.

The result is never used as a policy: there is at least one mistake. It only serves to find the other mistakes at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from types import MappingProxyType
from typing import Any, NamedTuple

from guard.places import Path

# Lists whose entries are checked one by one, and where they stand in the file.
LISTS: MappingProxyType[str, Path] = MappingProxyType(
    {"limit": ("limit",), "rule": ("rule",), "routes": ("protect", "routes")}
)
# What stands in for a required key that is wrong; each is harmless to every later check.
_STAND_INS: MappingProxyType[Path, Any] = MappingProxyType(
    {
        ("version",): 1,
        ("limit", "id"): "unnamed",
        ("limit", "per"): [],
        ("rule", "id"): "unnamed",
        ("rule", "action"): "allow",
        ("trust", "hops"): ["127.0.0.1"],
        ("grants", "why"): "unknown",
    }
)


class Mended(NamedTuple):
    """The tables without their mistakes, and the list entries that had to go altogether."""

    tables: dict[str, Any]
    dropped: frozenset[Path]


def mended(raw: Mapping[str, Any], wrong: Iterable[Path]) -> Mended:
    """A copy of ``raw`` in which everything at the paths ``wrong`` is left out or replaced."""
    tables: dict[str, Any] = deepcopy(dict(raw))
    dropped: set[Path] = set()
    for path in wrong:
        entry = _entry_of(path, tables)
        if entry is not None:
            dropped.add(entry)
        else:
            _mend(tables, path)
    for kind in LISTS.values():
        _drop_entries(tables, kind, {int(path[-1]) for path in dropped if path[:-1] == kind})
    return Mended(tables, frozenset(dropped))


def _entry_of(path: Path, tables: dict[str, Any]) -> Path | None:
    """The list entry that is lost by a mistake at ``path``: a route with any, a limit or rule that is no table."""
    for kind, place in LISTS.items():
        depth = len(place) + 1
        if path[: len(place)] == place and len(path) >= depth:
            return path[:depth] if kind == "routes" or len(path) == depth else None
    return None


def _mend(tables: dict[str, Any], path: Path) -> None:
    section, *keys = (str(part) if at != 1 else part for at, part in enumerate(path))
    holder: Any = tables
    name: Path = (section,)
    if keys and isinstance(tables.get(str(section)), (dict, list)):
        holder, name = tables[str(section)], (section, keys[0])
        if section in ("limit", "rule", "grants") and len(keys) > 1:
            found = isinstance(holder, list) or keys[0] in holder
            holder, name = holder[keys[0]] if found else None, (section, keys[1])
    if not isinstance(holder, dict):
        return
    if name in _STAND_INS:
        holder[name[-1]] = _STAND_INS[name]
    else:
        holder.pop(name[-1], None)


def _drop_entries(tables: dict[str, Any], place: Path, dropped: set[int]) -> None:
    holder: Any = tables
    for part in place[:-1]:
        holder = holder.get(part, {}) if isinstance(holder, dict) else {}
    entries = holder.get(place[-1]) if isinstance(holder, dict) else None
    if isinstance(entries, list):
        holder[place[-1]] = [entry for at, entry in enumerate(entries) if at not in dropped]
