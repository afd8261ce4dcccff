"""An exchange that goes on, but not as it came: later, with a smaller request, with an answer that is reduced, told of or paced.

Nothing of this is on the way of an exchange that is simply allowed. What can't be reduced does not pass unreduced: it is limited,
and counted as a fault of the stage ``reduce``, for the operator's rule can't be carried out there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from guard.contracts import Dialect, Forward, Reducer, Reply
from guard.decision import unreduced
from guard.degrading import Watch
from guard.presence import Client
from guard.registry import discover
from guard.reshaping import Hooks, Reshaped, Shape
from guard.rewriting import Irreducible, for_another_body, readable, rewrite_request
from guard.types import Headers, Receipt, Route

if TYPE_CHECKING:
    from starlette.types import Receive, Send

    from guard.installation import Installation


class Request(NamedTuple):
    """What the app gets. ``body`` None: what the client sent, byte for byte."""

    body: bytes | None
    headers: Headers


class Treatment:
    """One exchange's. Its methods are called in their order; ``close`` in any case."""

    __slots__ = ("_client", "_dialect", "_forward", "_installation", "_receipt", "_reducer", "_route", "_watch")

    def __init__(
        self, installation: Installation, receipt: Receipt, route: Route, forward: Forward, receive: Receive
    ) -> None:
        guard = installation.guard
        self._installation = installation
        self._receipt = receipt
        self._route = route
        self._forward = forward
        self._client = Client(receive)
        self._dialect: Dialect = guard.dialects.get(route.dialect) or guard.dialects["json"]
        reducer = discover("reductions").get(route.dialect)
        self._reducer: Reducer | None = None if reducer is None else reducer()
        self._watch = Watch()

    @property
    def receive(self) -> Receive:
        """``receive`` for the app once the request has been read."""
        return self._client.receive

    async def hold(self) -> bool:
        """Keeps the client waiting, if it has to; False: it has left."""
        if not self._forward.hold_s:
            return True
        try:
            return await self._client.stays(self._forward.hold_s)
        finally:
            self._installation.waiting.leave(self._receipt.exchange.account.key)

    def request(self, plain: bytes, headers: Headers) -> Request:
        """The request as the app gets it. Raises ``Irreducible``."""
        wanted = self._forward.wanted
        body = None
        if wanted is not None and wanted.rewrites:
            if self._reducer is None:
                raise Irreducible("nothing is known of how this API's requests are reduced")
            reduced, self._watch = rewrite_request(plain, self._reducer, wanted, self._route)
            if reduced is not plain:
                body = reduced
                headers = for_another_body(headers, len(body))
        return Request(body, readable(headers) if self._reads() else headers)

    def send(self, send: Send, still_running: Callable[[], None], over: Callable[[], None]) -> Send:
        """``send`` for the answer. ``still_running`` is called now and then while it is paced, ``over`` when nothing more is sent."""
        wanted = self._forward.wanted
        if not self._reads():
            return send
        shape = Shape(
            self._dialect,
            self._reducer,
            self._watch,
            self._forward.notice,
            wanted.tokens_per_s if wanted is not None else 0.0,
        )

        def gave_up(error: Irreducible) -> tuple[Reply, bytes]:
            over()
            return self.give_up(error)

        hooks = Hooks(self._client.stays, still_running, over, gave_up)
        return Reshaped(send, shape, self._installation.clock, hooks)

    def give_up(self, error: Irreducible) -> tuple[Reply, bytes]:
        """What is said in the place of what can't be reduced: as an answer, and as the end of a stream."""
        guard = self._installation.guard
        guard.fault("reduce", error)
        decision = unreduced(self._receipt.decision)
        reply = guard.answer(decision, self._route.dialect)
        if isinstance(reply, Forward):
            raise error
        return reply, self._dialect.error_event(decision)

    def refused(self) -> Receipt:
        """The receipt of an exchange that was given up before the app was called."""
        return replace(self._receipt, decision=unreduced(self._receipt.decision))

    def close(self) -> None:
        self._client.close()

    def _reads(self) -> bool:
        wanted = self._forward.wanted
        paced = wanted is not None and wanted.tokens_per_s > 0
        return self._watch.needed or self._forward.notice is not None or paced
