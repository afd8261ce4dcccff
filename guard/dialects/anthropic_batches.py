"""Anthropic's message batches, as the official SDK sends them to ``/v1/messages/batches``.

Each request of a batch is read as one to ``/v1/messages``, and limits count each: its request, its input, and what it may answer until
the batch is accepted. The answers count when they are fetched; only the account that made a batch may (``conversations.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

from guard.counting import report_output
from guard.errors import BadExchange
from guard.reading import collect, fields, items, missing
from guard.registry import discover
from guard.types import Ask, Decision, Route, Tally

_MOST_REQUESTS = 10_000
_BATCHES, _BATCH = "/v1/messages/batches", "/v1/messages/batches/{id}"
# What is below a batch, and with which method it is asked for.
_BELOW = {"": ("GET", "DELETE"), "results": ("GET",), "cancel": ("POST",)}


class AnthropicBatches:
    name = "anthropic_batches"
    paths = (_BATCHES, _BATCH)
    methods = {_BATCHES: ("GET",), _BATCH: ("GET", "DELETE")}

    def __init__(self) -> None:
        self._messages = discover("dialects")["anthropic_messages"]()

    def read(self, body: Mapping[str, Any], route: Route) -> Ask:
        options = dict(route.options)
        method = options.get("method", "POST")
        texts: list[str] = []
        if options.get("path") == _BATCH:
            name, _, below = options["id"].partition("/")
            if method not in _BELOW.get(below, ()):
                raise BadExchange(405, "method", "This path is not open to that method.")
            collect(dict(body), texts)
            return self._nothing(texts, (name,))
        if method == "GET":
            collect(dict(body), texts)
            return self._nothing(texts)
        if not body.get("requests"):
            raise missing("requests")
        requests = items(body["requests"], "requests", _MOST_REQUESTS)
        asks: list[Ask] = [self._one(request, route, texts) for request in requests]
        collect({key: value for key, value in body.items() if key != "requests"}, texts)
        models = {ask.model for ask in asks}
        if len(models) > 1:
            # A limit or price of one model must not be had for another.
            raise BadExchange(400, "invalid_field", "All requests of a batch must name the same model.")
        first = asks[0]
        same = all(ask.parameters == first.parameters for ask in asks)
        return Ask(
            self.name,
            first.model,
            False,
            "\n".join(dict.fromkeys(ask.system for ask in asks if ask.system)),
            tuple(chain.from_iterable(ask.turns for ask in asks)),
            first.tools if all(ask.tools == first.tools for ask in asks) else b"",
            first.parameters if same else b"",
            sum(ask.budget_tokens or 0 for ask in asks),
            user=first.user if all(ask.user == first.user for ask in asks) else "",
            media=sum(ask.media for ask in asks),
            texts=(*texts, *chain.from_iterable(ask.texts for ask in asks)),
            requests=len(asks),
        )

    def count(self, payload: Mapping[str, Any], tally: Tally) -> None:
        # A list may show what others have made: it gives nothing out.
        kind, name = payload.get("type"), payload.get("id")
        if kind == "message_batch" and type(name) is str:
            tally.issued(name)
        if kind in ("message_batch", "message_batch_deleted") or type(payload.get("data")) is list:
            report_output(0, tally)

    def error(self, decision: Decision) -> bytes:
        said: bytes = self._messages.error(decision)
        return said

    def error_event(self, decision: Decision) -> bytes:
        said: bytes = self._messages.error_event(decision)
        return said

    def _one(self, request: Any, route: Route, texts: list[str]) -> Ask:
        """One request of a batch; what stands beside it goes to ``texts``."""
        request = fields(request, "requests[]")
        if request.get("params") is None:
            raise missing("requests[].params")
        collect({key: value for key, value in request.items() if key not in ("custom_id", "params")}, texts)
        ask: Ask = self._messages.read(fields(request["params"], "requests[].params"), route)
        return ask

    def _nothing(self, texts: list[str], kept: tuple[str, ...] = ()) -> Ask:
        return Ask(self.name, "", False, "", (), b"", b"", 0, texts=tuple(texts), continues=kept)


PLUGIN = AnthropicBatches
