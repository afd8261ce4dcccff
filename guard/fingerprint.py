"""Request → traits. The only stage that sees text; only keyed hashes and numbers leave it.

Specification, version 1 (so that a faster implementation can replace this one bit for bit):

* ``text`` is the UTF-8 of system, every turn's text and every other text, in that order, joined by U+000A.
* facets are keyed 64-bit hashes (``hashing.py``) of: the system prompt as it stands (kind ``system``), the tool list as
  sorted-key JSON (``tools``), the sampling parameters as sorted-key JSON (``parameters``), and the client stack, that is
  header names in the client's order and its product name (``stack``). A part that is empty has no facet.
* readings are those of the content signals on the same text, rounded to 4 decimals, readings of 0 left out, by name.
* ``digest`` is the keyed hash of parameters, tools (each preceded by its length in decimal digits and a colon) and ``text``: two
  requests with one digest ask the same thing. It is 0 where nothing was read: then there is no evidence to count twice.
* input tokens are ⌈bytes of text / 4⌉ plus ``MEDIA_TOKENS`` for every image, file or audio part.

Cost: grows with the text only, about 12 µs at 4 KB.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from guard.contracts import Signal
from guard.errors import ExchangeLogError
from guard.hashing import HashKey
from guard.recent import Recent
from guard.types import Ask, Facet, Features

VERSION = 1
MEDIA_TOKENS = 1_000
_MOST_KNOWN = 2_048
_LONGEST_KNOWN = 2_048


class Fingerprinter:
    """Turns an ``Ask`` into ``Features`` under one hashing key."""

    __slots__ = ("_key", "_known", "_signals")

    def __init__(self, key: HashKey, signals: Iterable[Signal]) -> None:
        self._key = key
        self._signals = tuple((signal.name, signal.read) for signal in sorted(signals, key=lambda signal: signal.name))
        # Parameters and stacks repeat from request to request; neither is anybody's text.
        self._known: Recent[tuple[str, bytes], Facet] = Recent(_MOST_KNOWN)

    def features(self, ask: Ask, stack: bytes, account: str) -> Features:
        """``stack`` are the client's header names, ``account`` the account's key: a sub-user is hashed together with it."""
        hash_of = self._key.facet
        system, parameters, tools = ask.system, ask.parameters, ask.tools
        turns = [turn[1] for turn in ask.turns]
        if ask.texts:
            turns += ask.texts
        spoken = "\n".join(turns).encode()
        facets = []
        if system:
            head = system.encode()
            text = b"%b\n%b" % (head, spoken)
            facets.append(Facet("system", hash_of("system", head)))
        else:
            text = spoken
        if tools:
            facets.append(Facet("tools", hash_of("tools", tools)))
        if parameters:
            facets.append(self._remembered("parameters", parameters))
        if stack:
            facets.append(self._remembered("stack", stack))
        readings = []
        for name, read in self._signals:
            reading = read(ask, text)
            if reading > 0.0:
                readings.append((name, round(reading, 4)))
        digest = 0
        if readings:
            digest = hash_of("digest", b"%d:%b%d:%b%b" % (len(parameters), parameters, len(tools), tools, text))
        user = ask.user
        return Features(
            VERSION,
            ask.dialect,
            ask.model,
            ask.stream,
            tuple(facets),
            tuple(readings),
            (len(text) + 3) // 4 + MEDIA_TOKENS * ask.media,
            ask.budget_tokens,
            ask.choices,
            len(ask.turns),
            self._key.identifier("user", f"{account}\n{user}".encode()) if user else "",
            digest,
        )

    def _remembered(self, kind: str, value: bytes) -> Facet:
        facet = self._known.get((kind, value))
        if facet is None:
            facet = Facet(kind, self._key.facet(kind, value))
            if len(value) <= _LONGEST_KNOWN:
                self._known.put((kind, value), facet)
        return facet


def dump(features: Features) -> dict[str, Any]:
    """``request.features`` of an exchange log: everything later stages use, and nothing else."""
    return {
        "version": features.version,
        "dialect": features.dialect,
        "model": features.model,
        "stream": features.stream,
        "facets": [[kind, f"{value:016x}"] for kind, value in features.facets],
        "readings": dict(features.readings),
        "input_tokens": features.input_tokens,
        "budget_tokens": features.budget_tokens,
        "choices": features.choices,
        "turns": features.turns,
        "user": features.user,
        "digest": f"{features.digest:016x}",
    }


def load(record: Any, n: int) -> Features:
    """``dump`` turned round. Raises ``ExchangeLogError`` for line ``n`` where the record is not one of this version."""
    try:
        if record["version"] != VERSION:
            raise ExchangeLogError(n, f"request.features of version {record['version']}; this guard reads {VERSION}")
        budget = record["budget_tokens"]
        return Features(
            version=VERSION,
            dialect=str(record["dialect"]),
            model=str(record["model"]),
            stream=bool(record["stream"]),
            facets=tuple(Facet(str(kind), int(value, 16)) for kind, value in record["facets"]),
            readings=tuple(sorted((str(name), float(reading)) for name, reading in record["readings"].items())),
            input_tokens=_count(record["input_tokens"]),
            budget_tokens=None if budget is None else _count(budget),
            choices=_count(record["choices"]),
            turns=_count(record["turns"]),
            user=str(record["user"]),
            digest=int(record["digest"], 16),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ExchangeLogError(n, f"request.features can't be read: {type(error).__name__}") from error


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("not a count")
    return value
