"""Parsed body → exchange: what its dialect reads in it, its features, the conversation it goes on with. One at a time, or many together.

Where nobody waits for each answer (a replay), many together cost far less: the work of one kind is done for all of them before
the work of the next, so it finds its code and its tables in the processor's cache, and sketches share their calls of numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from guard.contracts import Dialect
from guard.conversations import Conversations
from guard.fingerprint import Fingerprinter
from guard.types import Account, Ask, Call, Exchange, Features, JSONObject
from guard.unjudged import unfingerprinted


class Asked(NamedTuple):
    """A request that its dialect has read. Holds text."""

    call: Call
    account: Account
    ask: Ask


class Understanding:
    """``fault`` is told of a fingerprint that failed: the exchange goes on with what it may cost, and nothing else is known of it."""

    __slots__ = ("_conversations", "_dialects", "_fault", "fingerprinter")

    def __init__(
        self,
        dialects: Mapping[str, Dialect],
        fingerprinter: Fingerprinter,
        conversations: Conversations,
        fault: Callable[[str, Exception], object],
    ) -> None:
        self.fingerprinter = fingerprinter
        self._dialects = dialects
        self._conversations = conversations
        self._fault = fault

    def asked(self, call: Call, account: Account, body: JSONObject) -> Asked:
        """Raises ``BadExchange`` where the dialect can't read the body."""
        return Asked(call, account, self._dialects[call.route.dialect].read(body, call.route))

    def one(self, asked: Asked) -> Exchange:
        """What a request comes to."""
        return self._exchange(*asked, self._features(*asked))

    def many(self, asked: Sequence[Asked]) -> list[Exchange]:
        """What ``one`` makes of each, in that order."""
        try:
            features = self.fingerprinter.many([(ask, call.stack, account.key) for call, account, ask in asked])
        except Exception:  # noqa: BLE001 - one by one it is counted, for the exchanges that it concerns and no others
            features = [self._features(*one) for one in asked]
        return [self._exchange(*one, made) for one, made in zip(asked, features, strict=True)]

    def _features(self, call: Call, account: Account, ask: Ask) -> Features:
        try:
            return self.fingerprinter.features(ask, call.stack, account.key)
        except Exception as error:  # noqa: BLE001 - it is counted, and the limits hold without evidence
            self._fault("fingerprint", error)
            return unfingerprinted(ask)

    def _exchange(self, call: Call, account: Account, ask: Ask, features: Features) -> Exchange:
        kept = self._conversations.places(ask.continues) if ask.continues else ()
        return Exchange(account, call.peer, call.path, features, None, kept)
