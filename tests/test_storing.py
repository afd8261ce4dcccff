from __future__ import annotations

import pytest

from guard.errors import StateError
from guard.registry import discover
from guard.settings import State
from guard.storing import amiss, schemes, store_of, url_of


def test_no_url_is_this_process_memory() -> None:
    assert store_of(State()).name == "memory"
    assert store_of(State(store="memory://")).name == "memory"


def test_a_scheme_names_its_store() -> None:
    """Each scheme of each store is known, and no two stores share one."""
    named = [(scheme, name) for name, plugin in discover("stores").items() for scheme in plugin.schemes]
    assert sorted(schemes().items()) == sorted(named)


@pytest.mark.parametrize(
    ("url", "part"),
    [("localhost:6379", "is no URL"), ("postgres://db/0", "no store has the scheme 'postgres'"), ("env:", "is no URL")],
)
def test_a_url_that_means_nothing_is_told(url: str, part: str) -> None:
    assert part in amiss(url)
    with pytest.raises(StateError, match="state"):
        store_of(State(store=url))


def test_a_variable_that_is_not_set_is_named() -> None:
    assert amiss("env:GUARD_STORE") == ""
    with pytest.raises(StateError, match="GUARD_STORE, which is not set"):
        store_of(State(store="env:GUARD_STORE"), {})
    assert store_of(State(store="env:GUARD_STORE"), {"GUARD_STORE": "memory://"}).name == "memory"
    assert url_of("env:GUARD_STORE", {"GUARD_STORE": "redis://store"}) == "redis://store"


def test_what_stands_in_a_variable_is_never_quoted() -> None:
    """It may hold a password."""
    with pytest.raises(StateError) as raised:
        store_of(State(store="env:GUARD_STORE"), {"GUARD_STORE": "postgres://user:canary@db/0"})
    assert "canary" not in str(raised.value)
