"""Finds plug-ins: one folder a kind, one file a plug-in, the file's name is the plug-in's name. No central list."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable
from functools import cache
from types import MappingProxyType
from typing import Any

from guard.errors import InstallError

KINDS = ("dialects", "signals", "actions", "reductions", "stores")


@cache
def discover(kind: str) -> MappingProxyType[str, type[Any]]:
    """Name → class of every plug-in in ``guard/<kind>/``, by name. A module without ``PLUGIN`` is an ``InstallError``."""
    package = importlib.import_module(f"guard.{kind}")
    found: dict[str, type[Any]] = {}
    for module_info in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
        module = importlib.import_module(f"{package.__name__}.{module_info.name}")
        plugin = getattr(module, "PLUGIN", None)
        if plugin is None:
            raise InstallError(f"{module.__name__} defines no PLUGIN; every file in guard/{kind} is one plug-in")
        if plugin.name != module_info.name:
            raise InstallError(
                f"{module.__name__}: the plug-in is called {plugin.name!r}; it must bear its file's name"
            )
        found[plugin.name] = plugin
    return MappingProxyType(found)


def signals(contract: type[Any]) -> list[Any]:
    """The signals of one contract (``Signal`` or ``GroupSignal``), made, by name."""
    return [signal for plugin in discover("signals").values() if isinstance(signal := plugin(), contract)]


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint for a mistyped name: ``did you mean 'budget'?``, or the valid names where none is near."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"valid: {', '.join(names)}"
