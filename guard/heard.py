"""What an answer says and seals, and what a client brings back of it: both sides of ``talk.prefix``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from guard.talk import Growing, prefix
from guard.types import Tally

MOST_BYTES = 1 << 20
MOST_SIGNATURES = 8
_SAID = frozenset({"text", "output_text"})


class Heard(Tally):
    """A tally that also knows the answer's hash and its signatures. An answer beyond ``MOST_BYTES`` has no hash: nobody can send so
    much of one back."""

    __slots__ = ("_bytes", "_text", "signatures")

    def __init__(self) -> None:
        super().__init__()
        self._text: Growing | None = None
        self._bytes = 0
        self.signatures: list[str] = []

    @property
    def heard_bytes(self) -> int:
        """How much text there was so far."""
        return self._bytes

    def said(self, text: str) -> None:
        self.hear(text.encode("utf-8", "surrogatepass"))

    def hear(self, piece: bytes) -> None:
        """The next piece, in UTF-8."""
        self._bytes += len(piece)
        if self._bytes > MOST_BYTES:
            self._text = None
        elif piece:
            if self._text is None:
                self._text = Growing()
            self._text.add(piece)

    def sealed(self, text: str) -> None:
        if text and len(self.signatures) < MOST_SIGNATURES:
            self.signatures.append(prefix(text))

    def prefix(self) -> str:
        """The answer's; ``""``: it had no text, or too much."""
        return "" if self._text is None else self._text.prefix()


def visible(message: dict[str, Any]) -> str | None:
    """The text of a message of the model's, as a client sends it back, without reasoning and calls; None: the message is nothing else."""
    content = message.get("content")
    if type(content) is str:
        return None if len(message) == 2 else content
    if type(content) is not list:
        return ""
    return "".join(
        [
            part["text"]
            for part in content
            if type(part) is dict and part.get("type") in _SAID and type(part.get("text")) is str
        ]
    )


def last_said(messages: Iterable[Any]) -> str | None:
    """The ``visible`` text of the model's last message in a conversation, of which the last comes first."""
    for message in messages:
        if type(message) is dict and message.get("role") == "assistant":
            return visible(message)
    return None


def brought(messages: Iterable[Any]) -> tuple[str | None, tuple[str, ...]]:
    """Of a conversation that a client sends: the ``visible`` text of the model's last message, and the signatures in the latest ones."""
    said: str | None = None
    met = False
    signatures: list[str] = []
    for message in messages:
        if type(message) is not dict:
            continue
        encrypted = message.get("encrypted_content")
        if type(encrypted) is str:
            signatures.append(encrypted)
        if message.get("role") != "assistant":
            continue
        if not met:
            met, said = True, visible(message)
        content = message.get("content")
        if type(content) is list:
            for part in content:
                if type(part) is dict:
                    signatures += [v for k in ("signature", "encrypted_content") if type(v := part.get(k)) is str and v]
                    if part.get("type") == "redacted_thinking" and type(part.get("data")) is str:
                        signatures.append(part["data"])
    return said, tuple(signatures[:MOST_SIGNATURES])
