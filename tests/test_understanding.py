from __future__ import annotations

from typing import Any

import pytest

from guard.config import load
from guard.errors import BadExchange
from guard.hashing import HashKey
from guard.pipeline import Guard
from guard.types import Account, Call, Peer, Route
from guard.understanding import Asked

CALL = Call("POST", "/v1/chat/completions", Route("/v1/*", "openai_chat"), (), Peer())


def body(text: str) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}]}


def guard() -> Guard:
    return Guard(load("observe"), key=HashKey(b"a key for tests"))


def read(core: Guard, texts: list[str]) -> list[Asked]:
    return [core.understanding.asked(CALL, Account(f"{n % 3:032x}"), body(text)) for n, text in enumerate(texts)]


def test_many_together_are_what_each_is_alone() -> None:
    """Exchanges keep their order, their accounts and every feature."""
    texts = [f"what is the {n}th prime, and who would ask for it" for n in range(20)]
    core = guard()

    assert guard().understanding.many(read(core, texts)) == [
        core.understand(CALL, Account(f"{n % 3:032x}"), body(text)) for n, text in enumerate(texts)
    ]


def test_a_fault_costs_its_own_exchange_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the fingerprint of one of many fails, it is counted once, and the others have their features."""
    core = guard()
    read_signals = core.understanding.fingerprinter._read

    def failing(ask: Any, text: bytes) -> Any:
        if b"seven" in text:
            raise ZeroDivisionError("guard's own fault")
        return read_signals(ask, text)

    monkeypatch.setattr(type(core.understanding.fingerprinter), "_read", lambda self, ask, text: failing(ask, text))
    found = core.understanding.many(read(core, ["one", "two", "seven", "four", "five"]))

    assert [bool(exchange.features.slot) for exchange in found] == [True, True, False, True, True]
    assert found[2].features.input_tokens > 0
    assert core.faults["fingerprint"] == 1


def test_what_the_dialect_cannot_read_is_refused() -> None:
    """As a bad exchange, before anything is booked."""
    with pytest.raises(BadExchange):
        guard().understanding.asked(CALL, Account("0" * 32), {"model": "m", "messages": 7})
