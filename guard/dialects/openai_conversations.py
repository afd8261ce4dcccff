"""OpenAI conversations: items that the API keeps, for responses to go on from.

What is put into one counts as text of this request, and who goes on from it is read as ``openai_responses``. A conversation is the
account's that it was given to (``conversations.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guard.counting import report_output
from guard.errors import BadExchange
from guard.openai_items import Items
from guard.openai_shape import OpenAIErrors
from guard.reading import collect
from guard.types import Ask, Route, Tally

_ALL, _ONE = "/conversations", "/conversations/{id}"


class OpenAIConversations(OpenAIErrors):
    name = "openai_conversations"
    paths = (f"/v1{_ALL}", f"/v1{_ONE}", _ALL, _ONE)
    methods = dict.fromkeys((f"/v1{_ONE}", _ONE), ("GET", "DELETE"))

    def read(self, body: Mapping[str, Any], route: Route) -> Ask:
        name, _, below = dict(route.options).get("id", "").partition("/")
        # The conversation itself, its items, or one of them.
        if below and (below.partition("/")[0] != "items" or below.count("/") > 1):
            raise BadExchange(404, "no_dialect", "This path is not open: no API is known for it.")
        gathered = Items()
        if body.get("items") is not None:
            gathered.read(body["items"], "items")
        rest = {key: value for key, value in body.items() if key != "items" and value is not None}
        gathered.media += collect(rest, gathered.texts)
        return Ask(
            self.name,
            "",
            False,
            "\n".join(gathered.system),
            tuple(gathered.turns),
            b"",
            b"",
            0,
            media=gathered.media,
            texts=tuple(gathered.texts),
            continues=(*((name,) if name else ()), *gathered.kept),
        )

    def count(self, payload: Mapping[str, Any], tally: Tally) -> None:
        if type(payload.get("object")) is not str:
            return
        report_output(0, tally)
        held = payload.get("data")
        for item in (payload, *(held if type(held) is list else ())):
            name = item.get("id") if type(item) is dict else None
            if type(name) is str:
                tally.issued(name)


PLUGIN = OpenAIConversations
