"""An answer as a hash, the way an exchange log names it (``response.prefix``): who goes on from it can be told from it.

The first 16 hex digits of SHA-256 over ``assistant``, a newline and the text in NFC. It isn't keyed, so that a gateway can write it
into a log; guard itself holds it only mixed with the conversation before it under its own key (``HashKey.answer``).
"""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple
from unicodedata import normalize

DIGITS = 16
_HEAD = sha256(b"assistant\n")


def prefix(text: str) -> str:
    """16 hex digits; ``""`` for an empty text, which everybody may have received."""
    if not text:
        return ""
    state = _HEAD.copy()
    state.update((text if text.isascii() else normalize("NFC", text)).encode("utf-8", "surrogatepass"))
    return state.hexdigest()[:DIGITS]


def sealed_prefixes(signature: str) -> tuple[str, str]:
    """What a log may call a reasoning signature: hashed as an answer is, or by itself."""
    data = signature.encode("utf-8", "surrogatepass")
    return prefix(signature), sha256(data).hexdigest()[:DIGITS]


def is_prefix(value: object) -> bool:
    """Whether that can be one."""
    return type(value) is str and len(value) == DIGITS and _HEX.issuperset(value)


_HEX = frozenset("0123456789abcdef")


class Talk(NamedTuple):
    """How the conversation that a request goes on with is known again: keyed 64-bit hashes; 0: there is no such part."""

    asked: int = 0
    """Of all its turns: what the answer will answer."""
    before: int = 0
    """Of the turns before the model's last one: what that one answered."""
    answered: int = 0
    """Of those and the model's last one: equal for whoever received that answer and whoever goes on from it."""


NO_TALK = Talk()
