from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from guard.loosening import loosened
from guard.settings import (
    ALWAYS,
    Admin,
    Audit,
    Ceilings,
    Grant,
    Identity,
    Limit,
    Policy,
    Protect,
    Rule,
    State,
    Trust,
    Window,
)
from guard.types import Route

STRICT = Policy(
    mode="enforce",
    protect=Protect(routes=(Route("/v1/*", "auto"), Route("/generate", "json"))),
    identity=Identity(anonymous="refuse"),
    trust=Trust(hops=(ip_network("10.0.0.0/8"),)),
    limits=(Limit("free", ("account",), requests=(Window(20, 60), Window(500, 86400)), concurrent=4),),
    rules=(Rule("known", ALWAYS, "refuse"), Rule("suspect", ALWAYS, "limit", mode="shadow")),
    admin=Admin(tcp="127.0.0.1:1", token_file="token"),
    state=State(dir="state"),
)


def limit(**more: Any) -> tuple[Limit, ...]:
    return (replace(STRICT.limits[0], **more),)


WEAKER: list[tuple[str, dict[str, Any]]] = [
    ("mode enforce → observe", {"mode": "observe"}),
    ("route /generate is no longer protected", {"protect": Protect(routes=(Route("/v1/*", "auto"),))}),
    ("paths without a dialect", {"protect": replace(STRICT.protect, unknown="flat")}),
    ("WebSockets are let through", {"protect": replace(STRICT.protect, websockets="allow")}),
    ("without a credential", {"identity": Identity(anonymous="limit")}),
    ("more hops are trusted", {"trust": Trust(hops=(ip_network("0.0.0.0/0"),))}),
    ("rule known: enforce → removed", {"rules": STRICT.rules[1:]}),
    ("rule known: enforce → shadow", {"rules": (Rule("known", ALWAYS, "refuse", mode="shadow"), STRICT.rules[1])}),
    ("rule known: refuse → tag", {"rules": (Rule("known", ALWAYS, "tag"), STRICT.rules[1])}),
    ("rule suspect: shadow → off", {"rules": (STRICT.rules[0], Rule("suspect", ALWAYS, "limit", mode="off"))}),
    ("limit free: enforce → removed", {"limits": ()}),
    ("limit free: enforce → shadow", {"limits": limit(mode="shadow")}),
    ("limit free allows more", {"limits": limit(requests=(Window(21, 60), Window(500, 86400)))}),
    ("limit free allows more", {"limits": limit(requests=(Window(500, 86400),))}),
    ("limit free allows more", {"limits": limit(concurrent=0)}),
    ("ceilings: enforce → shadow", {"ceilings": Ceilings("shadow")}),
    ("ceilings: enforce → off", {"ceilings": Ceilings("off")}),
    ("1 grant more", {"grants": (Grant("org:x", "why"),)}),
    ("no token any more", {"admin": Admin(tcp="127.0.0.1:1")}),
    ("no audit", {"state": State(), "audit": Audit()}),
]


@pytest.mark.parametrize(("sentence", "change"), WEAKER)
def test_what_got_weaker_is_said(sentence: str, change: dict[str, Any]) -> None:
    """Each loosening gives one sentence, and the way back gives none (SECURITY 140)."""
    weak = replace(STRICT, **change)
    assert [sentence in said for said in loosened(STRICT, weak)] == [True]
    assert loosened(weak, STRICT) == ()


def test_what_got_stricter_is_no_loosening() -> None:
    """Smaller windows, more rules, no change at all."""
    assert loosened(STRICT, STRICT) == ()
    assert loosened(STRICT, replace(STRICT, limits=limit(requests=(Window(10, 60), Window(500, 86400))))) == ()
    assert loosened(STRICT, replace(STRICT, rules=(*STRICT.rules, Rule("more", ALWAYS, "tag")))) == ()
