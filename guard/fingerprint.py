"""Request → traits. The only stage that sees text; only keyed hashes and numbers leave it.

Specification, version 5 (so that a faster implementation can replace this one bit for bit):

* facets are keyed 64-bit hashes (``hashing.py``) of: the system prompt as it stands (kind ``system``), the tool list as
  sorted-key JSON (``tools``), the sampling parameters as sorted-key JSON (``parameters``), and the client stack, that is
  header names in the client's order and its product name (``stack``). A part that is empty has no facet.
* what is *new* in a conversation are the turns after the model's last one, if the account has sent the turns before that one in
  an earlier request and something stands behind it; else all turns, since a client may invent a past. From one such point a
  conversation *goes on* four times. Joined by U+000A and made plain (``plain``). Of that: the shingles (kind ``shingle``),
  ``opening`` and ``closing`` of its sketch (``sketch.py``), its gist. ``slot`` is the keyed hash of its folded text in UTF-8, without the ASCII characters that are neither
  letters nor digits, A to Z in lower case: all of it, and 0 if empty.
  The two lowest shingles of the system prompt, made plain, are of kind ``shingle`` too, and so are those of all other text (tool
  descriptions, schemas, …) joined by U+000A, from 100 bytes of ``letters`` on: a template that moves to another place stays the same.
* what stands in each of these three texts and in another account's as well (the traits of ``passages.py``) is of kind ``shingle`` too: of the
  new text where its sketch has passages or its ``letters`` are longer than a sketch looks at; of the others beyond ``LONG_BYTES``, and as of
  when they were met first. So a conversation that grows costs only its new part, and an exchange has at most eighteen facets, and eight
  passages more for each text that is long.
* readings are those of the content signals, rounded to 4 decimals, readings of 0 left out, by name: the higher of what they read
  in the standing text (system prompt, tool descriptions and other text) and in the new one (with the model's last turn, if the past
  is known), both folded.
* ``digest`` is the keyed hash of parameters, tools (each preceded by its length in decimal digits and a colon) and the UTF-8 of
  system, every turn's text and every other text, joined by U+000A: two requests with one digest ask the same thing. It is 0 where
  nothing was read: then there is no evidence to count twice.
* input tokens are ⌈bytes of that text / 4⌉ plus ``MEDIA_TOKENS`` for every image, file or audio part.

Cost: bounded for what stands and for what is known; it grows with what is new.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from guard.contracts import Signal
from guard.errors import ExchangeLogError
from guard.hashing import HashKey
from guard.passages import Passages
from guard.plain import View, folded, view, written
from guard.recent import Recent
from guard.samples import GIST
from guard.sketch import HEAD_BYTES, LONG_BYTES, TAIL_BYTES, Sketch, Sketcher
from guard.talk import NO_TALK, Talk, prefix, sealed_prefixes
from guard.types import Ask, Facet, Features, Turn

VERSION = 5
MEDIA_TOKENS = 1_000
_MOST_KNOWN = 2_048
_MOST_TALKS = 65_536
_BRANCHES = 4
"""From one point of a conversation an account goes on so many times (another try, an edit); more make it a piece that is repeated."""
_LONGEST_KNOWN = 2_048
_MOST_SEALED = 8
_SYSTEM_SHINGLES = 2
_FEWEST_LETTERS = 100
# Up to here a sketch holds all passages of a text.
_WHOLE_BYTES = HEAD_BYTES + TAIL_BYTES
# Fewer sketches cost less one by one.
_FEWEST_TOGETHER = 4
_SIGNS = bytes(c for c in range(128) if not chr(c).isalnum())
_LOWER = bytes(range(256)).lower()

Readings = dict[str, float]


class _Begun(NamedTuple):
    """A request of which it is known what is new: all from ``since`` on; the model's last turn begins at ``past``."""

    past: int
    since: int
    new: View
    talk: Talk
    goes_on: bool


class _Standing(NamedTuple):
    """What was made of a system prompt or of other text that comes again with every request."""

    facets: tuple[Facet, ...]
    readings: Readings


class Fingerprinter:
    """Turns an ``Ask`` into ``Features`` under one hashing key. Of the texts it has met it remembers keyed hashes only."""

    __slots__ = ("_key", "_known", "_passages", "_signals", "_sketcher", "_standing", "_talks")

    def __init__(self, key: HashKey, signals: Iterable[Signal]) -> None:
        self._key = key
        self._signals = tuple((signal.name, signal.read) for signal in sorted(signals, key=lambda signal: signal.name))
        self._sketcher = Sketcher(key.sketch_secret)
        self._passages = Passages()
        self._standing: Recent[int, _Standing] = Recent(_MOST_KNOWN)
        self._talks: Recent[int, int] = Recent(_MOST_TALKS)
        # Parameters and stacks repeat from request to request; neither is anybody's text.
        self._known: Recent[tuple[str, bytes], Facet] = Recent(_MOST_KNOWN)

    def features(self, ask: Ask, stack: bytes, account: str) -> Features:
        """``stack`` are the client's header names, ``account`` the account's key: a sub-user is hashed together with it."""
        begun = self._begin(ask, account)
        return self._finish(ask, stack, account, begun, self._sketcher.sketch(begun.new.letters))

    def many(self, asked: Sequence[tuple[Ask, bytes, str]]) -> list[Features]:
        """What ``features`` makes of each, in that order."""
        if len(asked) < _FEWEST_TOGETHER:
            return [self.features(*one) for one in asked]
        begun = [self._begin(ask, account) for ask, _, account in asked]
        sketches = self._sketcher.sketches([one.new.letters for one in begun])
        return [self._finish(*one, new, sketch) for one, new, sketch in zip(asked, begun, sketches, strict=True)]

    def _begin(self, ask: Ask, account: str) -> _Begun:
        """What is new in a request. Books what the account sends."""
        past, since, talk, goes_on = self._past(ask.turns, account, ask.said)
        new = view("\n".join([turn[1] for turn in ask.turns[since:]]))
        return _new(_Begun, (past, since, new, talk, goes_on))

    def _finish(self, ask: Ask, stack: bytes, account: str, begun: _Begun, sketch: Sketch) -> Features:
        system, parameters, tools, turns = ask.system, ask.parameters, ask.tools, ask.turns
        past, since, new, talk, goes_on = begun
        facets: list[Facet] = []
        standing: Readings = {}
        texts = [system] if system else []
        if system:
            prompt = self._prompt(ask, system, account)
            facets += prompt.facets
            standing = prompt.readings
        if tools:
            facets.append(Facet("tools", self._key.facet("tools", tools)))
        if parameters:
            facets.append(self._remembered("parameters", parameters))
        if stack:
            facets.append(self._remembered("stack", stack))
        texts += [turn[1] for turn in turns]
        if ask.texts:
            texts += ask.texts
            other = self._other(ask, "\n".join(ask.texts), account)
            facets += other.facets
            standing = _higher(standing, other.readings)
        data = new.folded.encode()
        said = data.translate(_LOWER, _SIGNS)
        facets += _facets("shingle", sketch.shingles)
        if sketch.opening:
            facets.append(_new(Facet, ("opening", sketch.opening)))
            facets.append(_new(Facet, ("closing", sketch.closing)))
        if sketch.passages or len(new.letters) > _WHOLE_BYTES:
            facets += self._shared(new, account, sketch.passages)
        if past < since:
            data = "\n".join([folded(turn[1]) for turn in turns[past:since]]).encode() + b"\n" + data
        readings = self._read(ask, data)
        if standing:
            readings = _higher(standing, readings)
        text = "\n".join(texts)
        # To write it as bytes is work that only a digest or letters beyond ASCII need.
        written_out = text.encode() if readings else b""
        size_bytes = len(written_out) if readings else len(text) if text.isascii() else len(text.encode())
        user = ask.user
        return Features(
            VERSION,
            ask.dialect,
            ask.model,
            ask.stream,
            tuple(facets),
            tuple(sorted(readings.items())) if readings else (),
            (size_bytes + 3) // 4 + MEDIA_TOKENS * ask.media,
            ask.budget_tokens,
            ask.choices,
            len(turns),
            self._key.identifier("user", f"{account}\n{user}".encode()) if user else "",
            self._digest(parameters, tools, written_out) if readings else 0,
            self._key.facet("slot", said) if said else 0,
            sketch.gist,
            ask.requests,
            talk,
            self._sealed(ask.sealed) if ask.sealed else (),
            goes_on,
        )

    def _past(self, turns: tuple[Turn, ...], account: str, visible: str | None) -> tuple[int, int, Talk, bool]:
        """Where the model's last turn begins and where what came after it does; 0, 0 where the account has not sent what stands
        before; how the conversation is known again; and whether it goes on. Books what the account sends now.

        One pass over the text, whoever sends it: the account is mixed in afterwards.
        """
        whose = hash(account)
        end = len(turns)
        since = end
        while since and turns[since - 1][0] != "assistant":
            since -= 1
        past = since
        while past and turns[past - 1][0] == "assistant":
            past -= 1
        talk = self._key.conversation()
        gone = 0
        before = answered = 0
        if past:
            talk.update("\0".join([turn[1] for turn in turns[:past]]).encode())
            before = int.from_bytes(talk.digest(), "little")
            gone = self._talks.get(before ^ whose) or 0
            if gone:
                self._talks.put(before ^ whose, gone + 1)
            talk.update(b"\0")
            said = prefix("\n".join([turn[1] for turn in turns[past:since]]) if visible is None else visible)
            answered = self._key.answer(before, said) if said else 0
        if since == end:
            # The client puts words into the model's mouth: nobody's next request goes on from there.
            # Nor is anything new behind them: what was asked is asked again.
            return 0, 0, NO_TALK, False
        talk.update("\0".join([turn[1] for turn in turns[past:]]).encode())
        asked = int.from_bytes(talk.digest(), "little")
        self._talks.put(asked ^ whose, 1)
        found = _new(Talk, (asked, before, answered))
        return (past, since, found, gone <= _BRANCHES) if gone else (0, 0, found, False)

    def _sealed(self, texts: Sequence[str]) -> tuple[int, ...]:
        """The hashes of signatures in both ways in which logs may name them."""
        return tuple([self._key.answer(0, one) for text in texts[-_MOST_SEALED:] for one in sealed_prefixes(text)])

    def _prompt(self, ask: Ask, system: str, account: str) -> _Standing:
        """What a system prompt comes to."""
        value = self._key.facet("system", system.encode())
        known = self._standing.get(value)
        if known is None:
            known = self._stands(ask, view(system), account, Facet("system", value))
            self._standing.put(value, known)
        return known

    def _other(self, ask: Ask, text: str, account: str) -> _Standing:
        """What text outside system prompt and conversation comes to."""
        value = self._key.facet("texts", text.encode())
        known = self._standing.get(value)
        if known is None:
            new = view(text)
            if len(new.letters) < _FEWEST_LETTERS:
                # The name of a format or a stop sequence is no template.
                known = _Standing((), self._read(ask, new.folded.encode()))
            else:
                known = self._stands(ask, new, account)
            self._standing.put(value, known)
        return known

    def _stands(self, ask: Ask, new: View, account: str, *whole: Facet) -> _Standing:
        """What is remembered of a text that comes again with every request."""
        facets = [*whole, *_facets("shingle", self._sketcher.shingles(new.letters, _SYSTEM_SHINGLES))]
        if len(new.letters) > LONG_BYTES:
            facets += self._shared(new, account)
        return _Standing(tuple(facets), self._read(ask, new.folded.encode()))

    def _shared(self, new: View, account: str, passages: bytes = b"") -> list[Facet]:
        """The passages that a text has in common with other accounts' texts. ``passages``: its own, unless it was cut."""
        if not passages or len(new.letters) > _WHOLE_BYTES:
            passages = self._sketcher.passages(written(new.folded))
        return _facets("shingle", self._passages.met(passages, account)) if passages else []

    def _read(self, ask: Ask, text: bytes) -> Readings:
        readings = {}
        for name, read in self._signals:
            reading = read(ask, text)
            if reading > 0.0:
                readings[name] = round(reading, 4)
        return readings

    def _digest(self, parameters: bytes, tools: bytes, text: bytes) -> int:
        return self._key.facet("digest", b"%d:%b%d:%b%b" % (len(parameters), parameters, len(tools), tools, text))

    def _remembered(self, kind: str, value: bytes) -> Facet:
        facet = self._known.get((kind, value))
        if facet is None:
            facet = Facet(kind, self._key.facet(kind, value))
            if len(value) <= _LONGEST_KNOWN:
                self._known.put((kind, value), facet)
        return facet


def _facets(kind: str, values: Iterable[int]) -> list[Facet]:
    """Facets of one kind. Made as the tuples they are: that takes half as long as ``Facet``'s own way."""
    return [_new(Facet, (kind, value)) for value in values]


_new = tuple.__new__


def _higher(one: Readings, other: Readings) -> Readings:
    if not one or not other:
        return one or other
    return {name: max(one.get(name, 0.0), other.get(name, 0.0)) for name in one | other}


def dump(features: Features) -> dict[str, Any]:
    """``request.features`` of an exchange log: everything later stages use, and nothing else."""
    more: dict[str, Any] = {} if features.requests == 1 else {"requests": features.requests}
    if features.talk != NO_TALK:
        more["talk"] = [f"{value:016x}" for value in features.talk]
    if features.goes_on:
        more["goes_on"] = True
    if features.sealed:
        more["sealed"] = [f"{value:016x}" for value in features.sealed]
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
        "slot": f"{features.slot:016x}",
        "gist": features.gist.hex(),
        **more,
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
            slot=int(record["slot"], 16),
            gist=_gist(record["gist"]),
            requests=max(1, _count(record.get("requests", 1))),
            talk=Talk(*[int(value, 16) for value in record.get("talk", ())]),
            sealed=tuple([int(value, 16) for value in record.get("sealed", ())]),
            goes_on=record.get("goes_on") is True,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ExchangeLogError(n, f"request.features can't be read: {type(error).__name__}") from error


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("not a count")
    return value


def _gist(value: Any) -> bytes:
    gist = bytes.fromhex(value)
    if len(gist) not in (0, GIST):
        raise ValueError("not a gist")
    return gist
