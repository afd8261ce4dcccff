"""What things are called in a shared store.

A key is ``g1:{tag}``: the layout's number, so that two versions of guard on one store never read each other, and a hash tag, so
that all of one account lies in one slot of a cluster. A tag is an account's keyed hash as it is; what is no such word (a model's
name, whatever a client likes to send) is hashed, so that no byte of it stands in a key. A meter is eight bytes within its record:
seven of a hash of limit, unit and the rest of the subject, and the window's ordinal.
"""

from __future__ import annotations

from hashlib import blake2b

LAYOUT = 1
"""Of the records. Another one has another prefix."""
PREFIX = "g1:"
ALIVE = "g1:{guard}:alive"
NEAR = "g1:{guard}:near"
"""What replicas tell each other of accounts that were refused."""
NEWEST = "g:{guard}:layout"
"""The newest layout that was ever used here, whatever the version."""
_PLAIN = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_")
_LONGEST = 64
_OWN = ("account", "user")


def owned(kind: str) -> bool:
    """Whether what is counted by that kind is one account's own."""
    return kind.startswith(_OWN)


def owner(kind: str, subject: str) -> str:
    """Whose record it is: the account, or the kind and the subject of a shared limit."""
    return subject.partition("/")[0] if kind.startswith(_OWN) else f"{kind}|{subject}"


def rest(kind: str, subject: str) -> str:
    """What tells the meter from others in the same record."""
    return subject.partition("/")[2] if kind.startswith(_OWN) else ""


def key(whose: str) -> str:
    """The key of a record by its ``owner``."""
    if len(whose) <= _LONGEST and whose and _PLAIN.issuperset(whose):
        return f"{PREFIX}{{{whose}}}"
    return f"{PREFIX}{{~{blake2b(whose.encode(errors='surrogatepass'), digest_size=16).hexdigest()}}}"


def _hashed(size: int, *parts: str) -> bytes:
    # The length before each part: ``a``, ``bc`` is never ``ab``, ``c``.
    state = blake2b(digest_size=size)
    for part in parts:
        text = part.encode(errors="surrogatepass")
        state.update(len(text).to_bytes(8, "little"))
        state.update(text)
    return state.digest()


def meter(limit: str, unit: str, ordinal: str, within: str) -> bytes:
    """The field of a meter; siblings (the same but for the window) differ in the last byte."""
    number = int(ordinal) if len(ordinal) <= 3 and ordinal.isdecimal() else 256
    last = bytes((number,)) if number < 256 else _hashed(1, ordinal)
    return _hashed(7, limit, unit, within) + last


def spill(limit: str, unit: str, ordinal: str) -> bytes:
    """The field that those share whom a full record has no room for."""
    return meter(limit, unit, ordinal, "\0overflow")


def group(limit: str) -> bytes:
    """A limit, as far as the charges of one call go."""
    return _hashed(4, limit)


def token(text: str) -> bytes:
    """Eight bytes for the id of a debt."""
    return _hashed(8, text)


__all__ = ["ALIVE", "LAYOUT", "NEWEST", "PREFIX", "group", "key", "meter", "owned", "owner", "rest", "spill", "token"]
