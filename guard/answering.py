"""Guard's own response headers under the names that the operator gives them (``[headers]``)."""

from __future__ import annotations

from collections.abc import Sequence

from guard.contracts import Forward, Reply
from guard.types import Headers


def renamed(answer: Forward | Reply, names: Sequence[tuple[bytes, bytes]]) -> Forward | Reply:
    """The answer with its headers renamed; ``b""`` leaves one out."""
    return answer._replace(headers=_named(answer.headers, dict(names))) if names else answer


def _named(headers: Headers, names: dict[bytes, bytes]) -> Headers:
    return tuple([(name, value) for own, value in headers if (name := names.get(own, own))])
