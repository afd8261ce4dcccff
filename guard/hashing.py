"""Keyed hashes: the only form in which guard keeps anything that names somebody or quotes something.

BLAKE2b with a key (RFC 7693), one personalisation per purpose, so that nobody without the key can aim at a value or
test a guess, and hashes of one purpose say nothing about another. 128 bits for identifiers, 64 for facets.
"""

from __future__ import annotations

from hashlib import blake2b

# A replay decides the same everywhere, so its key is published: its output is not pseudonymous and must not be shared.
REPLAY_KEY = b"guard replay key: fixed and published"


class HashKey:
    """Makes identifiers (32 hex digits) and facets (64-bit integers) from bytes."""

    __slots__ = ("_answer", "_facets", "_ids", "_talk", "sketch_secret")

    def __init__(self, secret: bytes) -> None:
        """``secret`` is any non-empty byte string; it is condensed to 64 bytes first."""
        if not secret:
            raise ValueError("the hashing key is empty")
        key = blake2b(secret, digest_size=64, person=b"guard key").digest()
        self.sketch_secret = blake2b(digest_size=32, key=key, person=b"sketch").digest()
        kinds = (
            "account",
            "credential",
            "network",
            "org",
            "payment",
            "signup",
            "user",
            "reference",
            "conversation",
            "audit",
        )
        self._ids = {kind: blake2b(digest_size=16, key=key, person=f"id:{kind}"[:16].encode()) for kind in kinds}
        self._talk = blake2b(digest_size=8, key=key, person=b"talk")
        self._answer = blake2b(digest_size=8, key=key, person=b"answer")
        facets = (
            "system",
            "tools",
            "parameters",
            "stack",
            "digest",
            "slot",
            "texts",
            "payment",
            "signup",
            "org",
            "network",
            "model",
            "kept",
            "keeper",
        )
        self._facets = {kind: blake2b(digest_size=8, key=key, person=f"facet:{kind}"[:16].encode()) for kind in facets}

    def identifier(self, kind: str, value: bytes) -> str:
        """32 hex digits that stand for ``value`` of that ``kind`` (account, network, org, payment, signup, user, …)."""
        state = self._ids[kind].copy()
        state.update(value)
        return state.hexdigest()

    def conversation(self) -> blake2b:
        """A hash to which the turns of a conversation are added; 8 bytes long."""
        return self._talk.copy()

    def answer(self, asked: int, prefix: str) -> int:
        """64 bits for the conversation ``asked`` (``Talk``) with the answer of that prefix; for a signature ``asked`` is 0."""
        state = self._answer.copy()
        state.update(asked.to_bytes(8, "little") + prefix.encode())
        return int.from_bytes(state.digest(), "little")

    def facet(self, kind: str, value: bytes) -> int:
        """An unsigned 64-bit integer that stands for ``value`` as a trait of that ``kind``."""
        state = self._facets[kind].copy()
        state.update(value)
        return int.from_bytes(state.digest(), "little")
