"""Which protected route a request is for, whatever way its path is spelt, and wherever the app is mounted.

Most particular first: an exact path of the policy, then the longest prefix (``/v1/*``). Below a prefix without a dialect of its
own a path is read by the dialect that knows it, or whose path it ends with (``/proxy/v1/messages``); a path that none knows
is refused or charged a flat cost, as ``[protect] unknown`` says, but never unprotected.

A known path may have one ``{name}`` in it, which stands for any text (``/v1/responses/{id}`` and all that is below). What
stands there is read by the dialect, so such a path has one spelling, but for upper and lower case: any other is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from enum import Enum
from typing import Any, Final

from guard.errors import BadExchange
from guard.paths import canonical, without_controls
from guard.recent import Recent
from guard.settings import Protect
from guard.types import Route, value

# Of a path that a dialect may want to tell from its others: the option that names it.
PATH = "path"
# Dialects that are none: an unknown path that is refused, and one that is charged a flat cost.
NO_DIALECT = "none"
FLAT = "flat"
_LONGEST_REMEMBERED = 512


class NotProtected(Enum):
    """What ``Caller.route`` says of a path that the policy leaves alone: a fact of its own, not the lack of one."""

    NOT_PROTECTED = "not protected"


NOT_PROTECTED: Final = NotProtected.NOT_PROTECTED


@value
class Located:
    """Where a request goes: its route, its canonical path (with a ``{name}``, where a known path has one), and what is wrong with
    the spelling (``""``: nothing)."""

    route: Route | NotProtected
    path: str
    fault: str = ""


class Routes:
    """The protected routes of one policy. ``known``: canonical path → name of the dialect that reads it. ``told``: those of them
    that the dialect is told (as the route's option ``PATH``); it always is where a ``{name}`` stands in one."""

    __slots__ = ("_exact", "_known", "_open", "_prefixes", "_recent", "_told", "_unknown", "_unspeakable")

    def __init__(self, protect: Protect, known: Mapping[str, str], told: Collection[str] = ()) -> None:
        self._told = frozenset(told)
        self._open: list[tuple[str, str]] = []
        self._known = dict(sorted(known.items(), key=lambda item: (-len(item[0]), item[0])))
        self._unknown = protect
        self._exact: dict[str, Route] = {}
        prefixes: dict[str, Route] = {}
        for route in protect.routes or tuple(Route(path, "") for path in known):
            if route.pattern.endswith("/*"):
                prefixes.setdefault(canonical(route.pattern[:-2]).rstrip("/"), route)
            else:
                path = canonical(route.pattern)
                if "{" in path:
                    self._open.append((path, route.dialect or known.get(path, NO_DIALECT)))
                else:
                    self._exact.setdefault(path, self._read_by(route, path))
        self._open.sort(key=lambda item: (-len(item[0]), item[0]))
        self._prefixes = sorted(prefixes.items(), key=lambda item: -len(item[0]))
        self._unspeakable = Route("(unreadable path)", NO_DIALECT)
        self._recent: Recent[tuple[str, str] | str, Located] = Recent(1024)

    def locate(self, scope: Mapping[str, Any]) -> Located:
        """The route of an ASGI scope, by its full path or by the path below its ``root_path``. Never raises."""
        path: str = scope["path"]
        root: str = scope.get("root_path") or ""
        key = (root, path) if root else path
        located = self._recent.get(key)
        if located is None:
            located = self._locate(path, root)
            if len(path) + len(root) <= _LONGEST_REMEMBERED:
                self._recent.put(key, located)
        return located

    def _locate(self, raw: str, raw_root: str) -> Located:
        try:
            path, root = canonical(raw), canonical(raw_root)
            located = self._match(path, root)
            known = "" if located.route is NOT_PROTECTED else _open(located.route)
            if not known:
                return located
            # What stands in the place of the name is the client's: a model, or an id that no record may show.
            fault = "" if _plain(raw, path, root) else "The request path is not spelt as this API spells it."
            return Located(located.route, known, fault)
        except BadExchange as fault:
            sentence = fault.public
        # A path that can't be brought into one spelling is only refused where it may be a protected one.
        try:
            located = self._match(canonical(without_controls(raw)), canonical(without_controls(raw_root)))
        except BadExchange:
            return Located(self._unspeakable, self._unspeakable.pattern, sentence)
        return located if located.route is NOT_PROTECTED else replace(located, fault=sentence)

    def _match(self, path: str, root: str) -> Located:
        below = path[len(root) :] if root != "/" and path.startswith(root + "/") else path
        for candidate in (path, below):
            route = self._exact.get(candidate)
            if route is not None:
                return Located(route, candidate)
        for candidate in (path, below):
            for known, dialect in self._open:
                filled = _filled(known, candidate)
                if filled:
                    return Located(Route(known, dialect, ((PATH, known), *filled)), candidate)
        for candidate in (path, below):
            for prefix, route in self._prefixes:
                if candidate == prefix or candidate.startswith(prefix + "/"):
                    return Located(self._read_by(route, candidate), candidate)
        return Located(NOT_PROTECTED, path)

    def _read_by(self, route: Route, path: str) -> Route:
        """The route with its dialect: its own, else the one that knows the path, else none or flat."""
        if route.dialect or route.flat_tokens:
            return route if route.dialect else Route(route.pattern, FLAT, route.options, route.flat_tokens)
        for known, dialect in self._known.items():
            if not reads(known, path):
                continue
            filled = _filled(known, path, below=True)
            more = ((PATH, known), *filled) if filled or known in self._told else ()
            return Route(route.pattern, dialect, (*route.options, *more))
        if self._unknown.unknown == "flat":
            return Route(route.pattern, FLAT, (), self._unknown.unknown_flat_tokens)
        return Route(route.pattern, NO_DIALECT)


def reads(known: str, path: str) -> bool:
    """Whether a canonical path is a known one, or one below others."""
    return bool(_filled(known, path, below=True)) if "{" in known else path == known or path.endswith(known)


def _filled(known: str, path: str, *, below: bool = False) -> tuple[tuple[str, str], ...]:
    """(name, text) of the ``{name}`` in a known path, as a path has it; ``()`` where it is another path. ``below``: it may stand
    below others (``/proxy/v1/responses/x``)."""
    before, brace, rest = known.partition("{")
    if not brace:
        return ()
    name, _, after = rest.partition("}")
    start = path.find(before) if below else (0 if path.startswith(before) else -1)
    text = path[start + len(before) : len(path) - len(after)] if start >= 0 and path.endswith(after) else ""
    return ((name, text),) if text else ()


def _open(route: Route) -> str:
    """The known path with a ``{name}`` that a route was found by; ``""``: it was another."""
    return next((known for option, known in route.options if option == PATH and "{" in known), "")


def _plain(raw: str, path: str, root: str) -> bool:
    """Whether a path is spelt as it is compared, but for upper and lower case."""
    return raw.isascii() and raw.lower() in (path, path.removeprefix(root))
