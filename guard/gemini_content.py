"""Gemini's contents: who said what, in parts. Names of fields in one spelling."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

from guard.errors import BadExchange
from guard.reading import collect, fields, invalid, items, text
from guard.types import JSONObject, Turn

MOST_CONTENTS: Final = 10_000
_MOST_PARTS = 10_000
_ROLES = {"user": "user", "model": "assistant", "function": "tool", "tool": "tool", "system": "system"}
_READABLE = ("text/", "application/json", "application/xml")
# Sealed by the API: no model reads it as text.
_SEALED = "thoughtSignature"


def camel(body: Mapping[str, Any]) -> JSONObject:
    """An object with its own fields in ``camelCase``. Raises ``BadExchange`` where one stands there in both spellings."""
    named: JSONObject = {}
    for key, value in body.items():
        if "_" in key.strip("_"):
            head, *tail = key.split("_")
            key = head + "".join(part[:1].upper() + part[1:] for part in tail)
        if key in named:
            raise BadExchange(400, "duplicate_key", "The request's body names a field twice, in two spellings.")
        named[key] = value
    return named


def last_said(contents: Any) -> str | None:
    """The text of the model's last answer in a conversation, as a client sends it back, without thoughts and calls: the SDK keeps each
    piece of a streamed one as a content of its own. None: there is none."""
    said: list[str] = []
    met = False
    for content in reversed(contents if type(contents) is list else [contents]):
        role = content.get("role") if type(content) is dict else None
        if type(role) is str and role.strip().lower() == "model":
            met = True
            said[:0] = spoken(content)
        elif met:
            break
    return "".join(said) if met else None


def spoken(content: JSONObject) -> list[str]:
    """The texts of a content that the model says, thoughts left out."""
    parts = content.get("parts")
    return [
        part["text"]
        for part in (parts if type(parts) is list else [parts])
        if type(part) is dict and type(part.get("text")) is str and part.get("thought") is not True
    ]


class Contents:
    """Gathers contents: ``system`` and ``turns`` as ``Ask`` has them, ``texts`` beside them, and ``media``."""

    __slots__ = ("media", "system", "texts", "turns")

    def __init__(self) -> None:
        self.system: list[str] = []
        self.turns: list[Turn] = []
        self.texts: list[str] = []
        self.media = 0

    def instruct(self, value: Any) -> None:
        """The system instruction: a content, or a string; nothing."""
        if type(value) is str:
            self.system.append(value)
        elif value is not None:
            self._parts(fields(value, "systemInstruction"), self.system, self.system)

    def read(self, value: Any) -> None:
        """A list of contents, or one. Raises ``BadExchange`` for anything else."""
        told = [value] if type(value) is dict else value
        for content in items(told, "contents", MOST_CONTENTS):
            content = fields(content, "contents[]")
            stated = content.get("role")
            role = "user" if stated is None else self._role(stated)
            said: list[str] = []
            results: list[str] = []
            self._parts(content, said, said if role == "tool" else results)
            if role == "system":
                self.system += [*results, *said]
                continue
            if results:
                self.turns.append(Turn("tool", "\n".join(results)))
            if said or not results:
                self.turns.append(Turn(role, "\n".join(said)))

    def _role(self, stated: Any) -> str:
        role = text(stated, "contents[].role").strip().lower()
        known = _ROLES.get(role)
        if known is None and role:
            self.texts.append(role)
        return known or role or "user"

    def _parts(self, content: JSONObject, said: list[str], results: list[str]) -> None:
        parts = content.get("parts")
        for part in items([parts] if type(parts) is dict else parts or [], "parts", _MOST_PARTS):
            if type(part) is str:
                said.append(part)
                continue
            if type(part) is not dict:
                raise invalid("parts[]", "an object")
            words = part.get("text")
            if type(words) is str and len(part) == 1:
                said.append(words)
            else:
                self._part(camel(part), said, results)
        for key, value in content.items():
            if key not in ("parts", "role"):
                self.media += collect({key: value}, said)

    def _part(self, part: JSONObject, said: list[str], results: list[str]) -> None:
        for key, value in part.items():
            if key == _SEALED or type(value) is bool:
                continue
            if key == "inlineData":
                self._blob(value, said)
            elif key == "functionResponse" and type(value) is dict:
                nested = value.get("parts")
                self.media += collect({name: inner for name, inner in value.items() if name != "parts"}, results)
                for inner in items(nested or [], "functionResponse.parts", _MOST_PARTS):
                    inner = camel(fields(inner, "functionResponse.parts[]"))
                    self._blob(inner.pop("inlineData", None), results)
                    self.media += collect(inner, results)
            else:
                self.media += int(key == "fileData")
                self.media += collect({key: value}, said)

    def _blob(self, value: Any, said: list[str]) -> None:
        """A file in the request: what it says where it is text, else one media part."""
        if value is None:
            return
        blob = camel(fields(value, "inlineData"))
        kind = blob.get("mimeType")
        data = blob.get("data")
        if type(data) is str and type(kind) is str and kind.lower().startswith(_READABLE):
            try:
                # Both alphabets of Base64 are in use here.
                said.append(base64.b64decode(data.replace("-", "+").replace("_", "/")).decode(errors="replace"))
            except (binascii.Error, ValueError):
                said.append(data)
        else:
            self.media += 1
        collect({key: inner for key, inner in blob.items() if key not in ("data", "mimeType")}, said)


__all__ = ["MOST_CONTENTS", "Contents", "camel", "last_said", "spoken"]
