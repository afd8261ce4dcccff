"""Every endpoint of a wrapped app, and what guard makes of it: for ``guard check --app`` and the start-up log.

Works on whatever has ``routes`` (Starlette, FastAPI) or wraps something that has (``app``), mounts and included routers at any
depth up to ``MOST_LEVELS``. An app in the middle that shows no routes is listed as such: what lies below it can't be told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from guard.registry import discover
from guard.routes import NO_DIALECT, NOT_PROTECTED, Routes
from guard.settings import Policy

MOST_LEVELS = 64
_PARAMETER = re.compile(r"\{[^{}:]*(:[^{}]*)?\}")


class Endpoint(NamedTuple):
    """One path of an app. ``methods``: ``POST``, ``GET``, ``WEBSOCKET``, or ``*`` where the app takes them as they come.

    ``protection`` is the name of the dialect that reads it, ``flat``, ``refused`` (below a protected prefix, without a
    dialect), ``not protected``, or ``depends on the path`` where the endpoint takes paths of several kinds.
    """

    methods: tuple[str, ...]
    path: str
    protection: str


def endpoints(app: Any, policy: Policy) -> tuple[Endpoint, ...]:
    """The endpoints of an app in the order in which it asks them, each once."""
    known = {path: name for name, plugin in discover("dialects").items() for path in plugin.paths}
    routes = Routes(policy.protect, known)
    patterns = [route.pattern for route in policy.protect.routes] or list(known)
    found = (Endpoint(methods, path, _protection(path, routes, patterns)) for methods, path in _walk(app, "", 0))
    return tuple(dict.fromkeys(found))


def _protection(path: str, routes: Routes, patterns: list[str]) -> str:
    route = routes.locate({"path": _PARAMETER.sub("x", path.removesuffix("*"))}).route
    if path.endswith("/*") or ":path}" in path:
        fixed = path.partition("{")[0].removesuffix("*")
        if route is NOT_PROTECTED:
            reached = any(pattern.startswith(fixed) for pattern in patterns)
            return "depends on the path" if reached else "not protected"
        return "depends on the path" if route.dialect == NO_DIALECT else route.dialect
    if route is NOT_PROTECTED:
        return "not protected"
    return "refused" if route.dialect == NO_DIALECT else route.dialect


def _walk(app: Any, prefix: str, level: int) -> Iterator[tuple[tuple[str, ...], str]]:
    """(methods, path) of every endpoint of an app that is reached below ``prefix``."""
    for _ in range(MOST_LEVELS):
        if isinstance(getattr(app, "routes", None), (list, tuple)):
            break
        if getattr(app, "app", None) is None:
            yield ("*",), f"{prefix}/*"
            return
        app = app.app
    if level >= MOST_LEVELS or not hasattr(app, "routes"):
        yield ("*",), f"{prefix}/*"
        return
    for route in app.routes:
        yield from _of(route, prefix, level)


def _of(route: Any, prefix: str, level: int) -> Iterator[tuple[tuple[str, ...], str]]:
    included = getattr(route, "effective_route_contexts", None)
    if included is not None:
        # FastAPI keeps included routers as they are; each of its contexts knows the whole path of one route.
        for context in included():
            yield from _of(getattr(context, "starlette_route", None) or context, prefix, level)
        return
    path = getattr(route, "path", "")
    if hasattr(route, "routes"):  # a mount, or routes below a host name
        # What a mount was given may hide its routes behind a wrapper; the mount itself would then show none.
        yield from _walk(getattr(route, "app", route), prefix + path, level + 1)
        return
    if not path and not hasattr(route, "methods"):
        yield ("*",), f"{prefix}/*"
        return
    methods = getattr(route, "methods", None)
    if methods:
        yield tuple(sorted(set(methods) - {"HEAD"})) or ("HEAD",), prefix + path
    else:
        yield ("*" if hasattr(route, "methods") else "WEBSOCKET",), prefix + path
