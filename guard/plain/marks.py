"""Marks: what is suspicious in a text, so that only what has to be undone is looked for at length. The last part of ``plain``.

Two passes of an automaton tell all but what stretches tell; for a stretch it is enough to meet a common word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from guard.plain.rotation import COMMON, rotates
from guard.scanning import Finder

RUN, ESCAPED, SPELT, MORSE, ROTATED, APART, LEET = 1, 2, 4, 8, 16, 32, 64
ENCODED = RUN | ESCAPED | SPELT | MORSE

DIGITS = re.compile(b"00+")
_STRETCH = 20
_SHORT_BYTES = 160
_USUAL_BYTES = 240
# So short that a stretch holds all its words.
_GLANCE_BYTES = 2 * _STRETCH
_SHORT_WORDS = 8
_IN_HEX = b"0abcdefx"
_COMMON_WRITTEN = frozenset(word.replace("l", "i").encode() for word in COMMON)

_ANY, _LETTER, _OTHER = rb"[0-9A-Za-z]", rb"[A-Za-z]", rb"[^0-9A-Za-z]"
_SIGNS = (
    (_ANY + rb"{24}", RUN),
    (rb"%[0-9A-Fa-f]{2}", ESCAPED),
    (rb"\.-\.", MORSE),
    (_LETTER + rb"[0-9!@$|]" + _LETTER, LEET),
    (rb"\\[xu]", 0),
    (rb"&#", 0),
)
_BACKSLASH, _AMPERSAND = 4, 5
# Five letters or digits stand apart, two of the first three of them letters: rows of numbers are no words.
_FIRST = ((_LETTER, _LETTER, _ANY), (_LETTER, _ANY, _LETTER), (_ANY, _LETTER, _LETTER))
_ROW = rb"(?:%b)(?:%b){2}" % (b"|".join(map(_OTHER.join, _FIRST)), _OTHER + _ANY)


@cache
def _finders() -> tuple[Finder, Finder]:
    """Of the signs, and of rows: apart they take half as long as together."""
    return Finder(*(sign for sign, _ in _SIGNS)), Finder(_ROW)


def marks(raw: bytes, spaced: bytes) -> int:
    """A sum of marks. ``raw`` is a text of one byte a character ("?" for one beyond ASCII), ``spaced`` its words in lower case."""
    signs, rows = _finders()
    found = 0
    for place in signs.found(raw):
        found |= _SIGNS[place][1]
        if (place == _BACKSLASH and raw.count(b"\\x") + raw.count(b"\\u") > 2) or (
            place == _AMPERSAND and raw.count(b"&#") > 2
        ):
            found |= ESCAPED
    if rows.found(raw):
        found |= APART
    for stretch in _strange(spaced):
        together = b" ".join(stretch)
        together = (DIGITS.sub(b"0", together) if b"00" in together else together).replace(b" ", b"")
        if len(stretch) >= _SHORT_WORDS and len(together) <= 4 * len(stretch):
            if sum([not word.translate(None, _IN_HEX) for word in stretch]) >= _SHORT_WORDS:
                found |= SPELT
            if len(together) <= 2 * len(stretch):
                found |= APART
        if rotates(together):
            found |= ROTATED
    return found


def _strange(spaced: bytes) -> Iterator[list[bytes]]:
    """The stretches without a common word: some words of several places in a text; all of a short one."""
    size = len(spaced)
    if size <= _SHORT_BYTES:
        words = spaced.split()
        if _COMMON_WRITTEN.isdisjoint(words):
            yield words
        return
    parts = min(4, (size - 1) // _SHORT_BYTES)
    for i in range(parts):
        start = size * i // parts
        # The last word may be a cut one.
        if _COMMON_WRITTEN.isdisjoint(spaced[start : start + _GLANCE_BYTES].split()[:-1]):
            # As a rule a stretch is short; a copy of all that follows would cost more than all else here.
            words = spaced[start : start + _USUAL_BYTES].split(None, _STRETCH)
            if len(words) <= _STRETCH:
                words = spaced[start:].split(None, _STRETCH)
            if _COMMON_WRITTEN.isdisjoint(words[:_STRETCH]):
                yield words[:_STRETCH]
    if _COMMON_WRITTEN.isdisjoint(spaced[-_GLANCE_BYTES:].split()[1:]):
        words = spaced[-_USUAL_BYTES:].rsplit(None, _STRETCH)
        if len(words) <= _STRETCH:
            words = spaced.rsplit(None, _STRETCH)
        if _COMMON_WRITTEN.isdisjoint(words[-_STRETCH:]):
            yield words[-_STRETCH:]
