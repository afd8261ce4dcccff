"""Exchanges that can't be judged: what is left to say of them, for the record and for the decision."""

from __future__ import annotations

from dataclasses import replace

from guard.errors import BadExchange
from guard.types import Account, Ask, Call, Exchange, Features, Peer, Route

NOBODY = Account(key="", status="anonymous")
UNREAD = Features(0, "", "", False, (), (), 0, 0)
OWN_FAULT = BadExchange(
    503, "guard_fault", "The request could not be checked. Try again in a moment.", "a stage of guard failed"
)


def no_dialect(route: Route) -> BadExchange:
    """The path is protected, and no API is known for it."""
    private = f"{route.pattern}: no dialect"
    return BadExchange(404, "no_dialect", "This path is not open: no API is known for it.", private)


def faulty(call: Call, account: Account, fault: BadExchange) -> Exchange:
    """Whose it was, where from, and why it can't be judged."""
    return Exchange(account, call.peer, call.path, replace(UNREAD, dialect=call.route.dialect), fault)


def unreadable(peer: Peer, route: Route, fault: BadExchange) -> Exchange:
    """Likewise where not even the headers could be read."""
    return Exchange(NOBODY, peer, route.pattern, replace(UNREAD, dialect=route.dialect), fault)


def unfingerprinted(ask: Ask) -> Features:
    """What of a request is left where the fingerprint stage failed: what it may cost."""
    length = len(ask.system) + sum(len(turn.text) for turn in ask.turns)
    return replace(
        UNREAD,
        dialect=ask.dialect,
        model=ask.model,
        stream=ask.stream,
        input_tokens=length // 4 + 1,
        budget_tokens=ask.budget_tokens,
        choices=ask.choices,
        requests=ask.requests,
    )
