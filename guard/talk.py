"""An answer as a hash, the way an exchange log names it (``response.prefix``): who goes on from it can be told from it.

The first 16 hex digits of SHA-256 over ``assistant``, a newline and the text in NFC. It isn't keyed, so that a gateway can write it
into a log; guard itself holds it only mixed with the conversation before it under its own key (``HashKey.answer``).
"""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple
from unicodedata import normalize

DIGITS = 16
HELD_BYTES = 16_384
_BEYOND_ASCII = bytes(range(128, 256))
_HEAD = sha256(b"assistant\n")


def prefix(text: str) -> str:
    """16 hex digits; ``""`` for an empty text, which everybody may have received."""
    if not text:
        return ""
    state = _HEAD.copy()
    state.update(_composed(text))
    return state.hexdigest()[:DIGITS]


class Growing:
    """The ``prefix`` of a text of which one piece after the other is known. It holds of the text what is not hashed yet: about
    ``HELD_BYTES``, more only where there is no ASCII character in as much.

    What is composed (NFC) piece by piece is composed as a whole where each piece begins with an ASCII character: none of them
    combines with what stands before it (Unicode Standard Annex 15, section 9).
    """

    __slots__ = ("_due_bytes", "_held_bytes", "_pieces", "_state")

    def __init__(self) -> None:
        self._state = _HEAD.copy()
        self._pieces: list[bytes] = []
        self._held_bytes, self._due_bytes = 0, HELD_BYTES

    def add(self, piece: bytes) -> None:
        """The next piece, in UTF-8; it may end within a character."""
        self._pieces.append(piece)
        self._held_bytes += len(piece)
        if self._held_bytes > self._due_bytes:
            held = b"".join(self._pieces)
            hashed = max(0, len(held.rstrip(_BEYOND_ASCII)) - 1)
            self._state.update(_composed(_text(held[:hashed])))
            self._pieces, self._held_bytes = [held[hashed:]], len(held) - hashed
            self._due_bytes = max(HELD_BYTES, 2 * self._held_bytes)

    def prefix(self) -> str:
        """That of all that was added, which must not be nothing."""
        state = self._state.copy()
        state.update(_composed(_text(b"".join(self._pieces))))
        return state.hexdigest()[:DIGITS]


def _text(data: bytes) -> str:
    """Bytes that are no text at all, which an app may send, are none that a client could bring back: they end no stream."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace")


def _composed(text: str) -> bytes:
    return (text if text.isascii() else normalize("NFC", text)).encode("utf-8", "surrogatepass")


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
