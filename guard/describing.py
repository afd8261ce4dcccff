"""Asks the operator's own callable who a credential is. The callable may be sync or async, slow, or fail in any way."""

from __future__ import annotations

import inspect

from guard.identity import NeedsDescribe
from guard.pipeline import Guard
from guard.types import Account, Call


async def described(guard: Guard, asked: NeedsDescribe, call: Call, now: float) -> Account:
    """The account as ``[identity] describe`` says. Where it fails, which is counted (stage ``identity``), what was last known of
    the credential holds; raises ``BadExchange`` (503) where nothing is."""
    try:
        facts = asked.describe(asked.credential)
        if inspect.isawaitable(facts):
            facts = await facts
    except Exception as error:  # noqa: BLE001 - the operator's code may fail in any way
        guard.fault("identity", error)
        return guard.identities.failed(call, now)
    return guard.identities.described(call, facts, now)
