"""Which store a policy means: ``[state] store`` → the store, by the scheme of its URL."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from guard.contracts import Store
from guard.errors import StateError
from guard.registry import discover, nearest
from guard.settings import State

VARIABLE = "env:"
_MEMORY = "memory"


def schemes() -> dict[str, str]:
    """Scheme of a URL → name of the store that is meant."""
    return {scheme: name for name, plugin in discover("stores").items() for scheme in plugin.schemes}


def amiss(url: str) -> str:
    """What is wrong with ``[state] store`` as it stands in a policy, ``""``: nothing."""
    if not url or (url.startswith(VARIABLE) and len(url) > len(VARIABLE)):
        return ""
    scheme, colon, _ = url.partition("://")
    known = schemes()
    if not colon:
        return "is no URL; write redis://host:6379/0, or env:NAME for a variable that holds it"
    return "" if scheme in known else f"no store has the scheme {scheme[:40]!r}; {nearest(scheme[:40], known)}"


def store_of(state: State, environ: Mapping[str, str] | None = None) -> Store:
    """The store of a policy. Raises ``StateError`` where its variable isn't set or no store has that scheme."""
    url = state.store
    if url.startswith(VARIABLE):
        name = url.removeprefix(VARIABLE)
        url = (os.environ if environ is None else environ).get(name, "")
        if not url:
            raise StateError(f"[state] store names the variable {name}, which is not set; set it to the store's URL")
    wrong = amiss(url)
    if wrong:
        # What stands in a variable may hold a password: only the scheme is named.
        raise StateError(f"[state] store: {wrong}")
    made: Store = discover("stores")[schemes()[url.partition("://")[0]] if url else _MEMORY](replace(state, store=url))
    return made
