"""Which store a policy means: ``[state] store`` → the store, by the scheme of its URL, and the replicas that share it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from guard.clock import Clock
from guard.contracts import Remote, Store
from guard.errors import StateError
from guard.fleet.fleet import Fleet
from guard.hashing import HashKey
from guard.pipeline import Guard
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


def url_of(named: str, environ: Mapping[str, str] | None = None) -> str:
    """The URL that stands in a policy, or in the variable that it names. Raises ``StateError`` where that isn't set."""
    if not named.startswith(VARIABLE):
        return named
    name = named.removeprefix(VARIABLE)
    url = (os.environ if environ is None else environ).get(name, "")
    if not url:
        raise StateError(f"[state] store names the variable {name}, which is not set; set it to the store's URL")
    return url


def store_of(state: State, environ: Mapping[str, str] | None = None) -> Store:
    """The store of a policy. Raises ``StateError`` where its variable isn't set or no store has that scheme."""
    url = url_of(state.store, environ)
    wrong = amiss(url)
    if wrong:
        # What stands in a variable may hold a password: only the scheme is named.
        raise StateError(f"[state] store: {wrong}")
    made: Store = discover("stores")[schemes()[url.partition("://")[0]] if url else _MEMORY](replace(state, store=url))
    return made


def fleet_of(guard: Guard, state: State, clock: Clock, former: HashKey | None = None) -> Fleet | None:
    """What the replicas on the policy's store tell each other; None: the store is this process's own."""
    url = url_of(state.store)
    if not isinstance(guard.store, Remote) or url.partition("://")[0] in {"", _MEMORY}:
        return None
    from guard.remote.link import Link  # noqa: PLC0415 - the client of a store, only where there is one

    return Fleet(guard, Link(url), clock, former=former)
