"""One spelling for every path: what a protected route is compared with, so that no other spelling goes round it.

Servers, frameworks and proxies differ in which of ``//``, ``/./``, ``%2e``, ``;a=b``, upper case, a backslash or a fullwidth
slash they resolve. Here all of them are resolved: a spelling that nobody else resolves is metered needlessly, one that
somebody resolves is metered rightly.
"""

from __future__ import annotations

import unicodedata
from urllib.parse import unquote

from guard.errors import BadExchange

# Encoding twice happens by accident between two proxies; more layers are only ever put there to deceive.
MOST_LAYERS = 3


def canonical(path: str) -> str:
    """The canonical form of a path: ``/`` or ``/a/b``, lower-case, decoded, without empty, ``.`` or ``..`` segments.

    Idempotent. Raises ``BadExchange`` (400, ``path``) for control characters and for more than ``MOST_LAYERS`` layers of
    encoding. Takes any text, also with lone surrogates.
    """
    if "://" in path and not path.startswith("/"):
        path = _below_authority(path)
    for _ in range(MOST_LAYERS):
        folded = _fold(path)
        if folded == path:
            break
        path = folded
    else:
        if _fold(path) != path:
            raise BadExchange(400, "path", "The request path is encoded too often.")
    # After folding, a control character is a real one, however it was written.
    if not path.isprintable() and any(unicodedata.category(character) == "Cc" for character in path):
        raise BadExchange(400, "path", "The request path contains control characters.")
    return _resolve(path)


def without_controls(path: str) -> str:
    """The path without control characters and their percent-encoded forms: what a lenient router would make of it."""
    for _ in range(MOST_LAYERS):
        path = "".join(character for character in path if unicodedata.category(character) != "Cc")
        path = unquote(path)
    return "".join(character for character in path if unicodedata.category(character) != "Cc")


def _fold(path: str) -> str:
    """One layer of percent-encoding, compatibility forms, case and invisible characters off."""
    if "%" in path:
        path = unquote(path)
    if path.isascii():
        return path.lower()
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path).casefold())
    return "".join(character for character in folded if unicodedata.category(character) != "Cf")


def _resolve(path: str) -> str:
    segments: list[str] = []
    for segment in path.replace("\\", "/").split("/"):
        name = segment.partition(";")[0].strip()
        if name == "..":
            if segments:
                segments.pop()
        elif name and name != ".":
            segments.append(name)
    return "/" + "/".join(segments)


def _below_authority(target: str) -> str:
    """The path of an absolute-form target (``http://host/path``), which some servers hand on whole."""
    _, _, rest = target.partition("://")
    _, slash, path = rest.partition("/")
    return slash + path
