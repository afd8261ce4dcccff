"""Stretches of rot13 turned back. Rule 8 of ``plain``."""

from __future__ import annotations

import re
from math import ceil, log

_ROT13 = str.maketrans(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "nopqrstuvwxyzabcdefghijklmNOPQRSTUVWXYZABCDEFGHIJKLM"
)
# Letters per thousand, about the mean of the large languages that are written with Latin letters.
_PER_THOUSAND = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyz",
        (85, 14, 31, 40, 145, 14, 15, 30, 72, 3, 8, 45, 27, 76, 65, 24, 6, 65, 71, 75, 45, 12, 10, 3, 9, 5),
        strict=True,
    )
)
# By byte: how many nats more likely a letter is in rot13 than as it stands.
_ROTATED = [0.0] * 256
for _c, _n in _PER_THOUSAND.items():
    _ROTATED[ord(_c)] = _ROTATED[ord(_c.upper())] = round(log(_PER_THOUSAND[_c.translate(_ROT13)] / _n), 3)
# The same in sixteenths, rounded up, about a middle that makes bytes of them.
_MIDDLE = 128
_AT_MOST = bytes(_MIDDLE + ceil(16 * nats) for nats in _ROTATED)
_COMMON_NATS = 3.0
_CHANGE_NATS = 8.0
_ENOUGH_NATS = 14.0
_ENOUGH_A_LETTER_NATS = 0.4
# Of English, German, French, Spanish, Portuguese, Italian and Dutch; none that rot13 makes of another common word ("or", "be").
_COMMON_WORDS = (
    "the of and to in is that it for you with are this as not by from what how "
    "der die das und ist nicht eine mit auf den von fur zu ich sie "
    "le les des et est une que pour dans pas sur du "
    "el los las de en una con del por para es "
    "os da do em um uma nao com di che per il della sono "
    "het een van niet op dat"
)
COMMON = frozenset(_COMMON_WORDS.split())
_WORDS_NATS = {word: -_COMMON_NATS for word in COMMON} | {word.translate(_ROT13): _COMMON_NATS for word in COMMON}
_RUNS = re.compile(r"[A-Za-z]++(?:'[A-Za-z]++)?+")


def rotation(letters: bytes) -> float:
    """How many nats Latin letters speak for rot13."""
    return sum(map(_ROTATED.__getitem__, letters))


def rotates(letters: bytes) -> bool:
    """Whether Latin letters speak for rot13. Most don't by far, and a sum of whole numbers tells that in half the time."""
    return sum(letters.translate(_AT_MOST)) >= _MIDDLE * len(letters) and rotation(letters) > 0


def unrotated(text: str) -> str:
    """``text`` with its stretches of rot13 turned back: the likeliest way to part the words into two kinds (Viterbi)."""
    runs = list(_RUNS.finditer(text))
    nats = {word: rotation(word.encode()) + _WORDS_NATS.get(word.lower(), 0.0) for word in {run[0] for run in runs}}
    plain = rotated = 0.0
    turns: list[
        tuple[bool, bool]
    ] = []  # at each word: was it likelier to come from the other kind, if plain, if rotated
    for run in runs:
        ended, began = rotated - _CHANGE_NATS > plain, plain - _CHANGE_NATS > rotated
        turns.append((ended, began))
        plain, rotated = (
            rotated - _CHANGE_NATS if ended else plain,
            (plain - _CHANGE_NATS if began else rotated) + nats[run[0]],
        )
    is_rotated = rotated > plain
    stretch: list[re.Match[str]] = []
    pieces: list[str] = []  # from the end
    left = len(text)
    for run, turn in zip(reversed(runs), reversed(turns), strict=True):
        if is_rotated:
            stretch.append(run)
        begins = turn[is_rotated] or run is runs[0]
        if is_rotated and begins:
            start, end = run.start(), stretch[0].end()
            total, letters = sum(nats[word[0]] for word in stretch), sum(len(word[0]) for word in stretch)
            if total >= _ENOUGH_NATS and total >= _ENOUGH_A_LETTER_NATS * letters:
                pieces += text[end:left], text[start:end].translate(_ROT13)
                left = start
            stretch = []
        is_rotated ^= turn[is_rotated]
    return text[:left] + "".join(reversed(pieces))
