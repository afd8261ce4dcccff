"""Exchanges that can't be judged: what is left to say of them, for the record and for the decision."""

from __future__ import annotations

from dataclasses import replace

from guard.errors import BadExchange
from guard.types import Account, Call, Exchange, Features, Peer, Route

NOBODY = Account(key="", status="anonymous")
UNREAD = Features(0, "", "", False, (), (), 0, 0)


def faulty(call: Call, account: Account, fault: BadExchange) -> Exchange:
    """Whose it was, where from, and why it can't be judged."""
    return Exchange(account, call.peer, call.path, replace(UNREAD, dialect=call.route.dialect), fault)


def unreadable(peer: Peer, route: Route, fault: BadExchange) -> Exchange:
    """Likewise where not even the headers could be read."""
    return Exchange(NOBODY, peer, route.pattern, replace(UNREAD, dialect=route.dialect), fault)
