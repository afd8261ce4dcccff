"""The items of OpenAI's responses and conversations: messages, calls, results, reasoning, references to what is kept.

Of an item that is new or unknown here every text counts, as the model's own if it is a call or reasoning, as a tool's if it is
an output.
"""

from __future__ import annotations

from typing import Any, Final

from guard.errors import BadExchange
from guard.reading import collect, fields, invalid, items, text
from guard.types import JSONObject, Turn

MOST_ITEMS: Final = 10_000
_MOST_PARTS = 10_000
_MOST_REFERENCES = 1_000
_SYSTEM = frozenset({"system", "developer"})
_ROLES = _SYSTEM | {"user", "assistant", "tool", "critic", "discriminator", "unknown"}
# Fields of an item that the API gave out, or that only say how far it is.
_GIVEN = frozenset({"type", "role", "id", "call_id", "status", "phase", "logprobs"})
_MOST_WORD_CHARACTERS = 128
# What makes a reasoning item whole, so that nothing kept is needed to read it.
_WHOLE = ("encrypted_content", "content")
_new = tuple.__new__


class Items:
    """Gathers items: ``system`` and ``turns`` as ``Ask`` has them, ``texts`` beside them, ``media``, and ``kept``, the ids of what
    the API is to fetch from what it keeps."""

    __slots__ = ("kept", "media", "system", "texts", "turns")

    def __init__(self) -> None:
        self.system: list[str] = []
        self.turns: list[Turn] = []
        self.texts: list[str] = []
        self.kept: list[str] = []
        self.media = 0

    def read(self, value: Any, field: str) -> None:
        """A string or a list of items. Raises ``BadExchange`` for anything else."""
        if type(value) is str:
            self.turns.append(_new(Turn, ("user", value)))
            return
        if type(value) is not list:
            raise invalid(field, "a string or a list")
        for item in items(value, field, MOST_ITEMS):
            if type(item) is not dict:
                raise invalid(f"{field}[]", "an object")
            said = item.get("content")
            role = item.get("role")
            if type(said) is str and len(item) == 2 and (role == "user" or role == "assistant"):  # noqa: PLR1714
                self.turns.append(_new(Turn, (role, said)))
            else:
                self._item(item, field)
        if len(self.kept) > _MOST_REFERENCES:
            raise BadExchange(400, "too_many_items", f"{field} must have at most {_MOST_REFERENCES} references.")

    def refer(self, value: Any, field: str) -> None:
        """An id of something that is kept. Raises ``BadExchange`` for what is no string."""
        self.kept.append(text(value, field))

    def _item(self, item: JSONObject, field: str) -> None:
        kind = item.get("type")
        if kind is not None and type(kind) is not str:
            raise invalid(f"{field}[].type", "a string")
        if kind == "item_reference" or (kind is None and "role" not in item and "content" not in item):
            self.refer(item.get("id"), f"{field}[].id")
        elif kind == "reasoning" and item.get("id") is not None and not any(item.get(name) for name in _WHOLE):
            self.refer(item["id"], f"{field}[].id")
        said: list[str] = []
        self.media += _content(item.get("content"), f"{field}[].content", said)
        for key, value in item.items():
            if key == "result" and kind == "image_generation_call":
                self.media += 1
            elif key == "content" or (key in _GIVEN and not _is_text(key, value)):
                continue
            elif key == "tools":
                self.media += collect(value, said, keys=True)
            else:
                self.media += collect({key: value}, said)
        role = self._role(item, kind or "message", f"{field}[].role")
        if role in _SYSTEM:
            self.system.extend(said)
        elif said or kind in (None, "message"):
            self.turns.append(Turn(role, "\n".join(said)))

    def _role(self, item: JSONObject, kind: str, field: str) -> str:
        stated = item.get("role")
        if stated is not None:
            role = text(stated, field).strip().lower()
            if role not in _ROLES:
                self.texts.append(role)
            return role
        if kind == "message":
            return "user"
        # What was done at the model's word; a list of tools or settings in between is the developer's.
        if kind.endswith("output") or kind in ("mcp_approval_response", "mcp_list_tools"):
            return "tool"
        return "developer" if kind in ("additional_tools", "configuration_update") else "assistant"


def _content(content: Any, field: str, said: list[str]) -> int:
    """Gathers the text of a content (a string, a list of parts, nothing); its media parts."""
    if type(content) is str:
        said.append(content)
        return 0
    if content is None:
        return 0
    if type(content) is not list:
        raise invalid(field, "a string or a list")
    media = 0
    for part in items(content, field, _MOST_PARTS):
        if type(part) is str:
            said.append(part)
            continue
        words = fields(part, f"{field}[]").get("text")
        if type(words) is str and part.get("type") in ("input_text", "output_text", "text") and len(part) == 2:
            said.append(words)
        elif "logprobs" in part:
            media += collect({key: value for key, value in part.items() if key != "logprobs"}, said)
        else:
            media += collect(part, said)
    return media


def _is_text(key: str, value: Any) -> bool:
    """Whether in a field that the API fills somebody put text: it is too long for a word of the API, or is no word at all."""
    if type(value) is str:
        return len(value) > _MOST_WORD_CHARACTERS
    return key != "logprobs" and (type(value) is dict or type(value) is list)
