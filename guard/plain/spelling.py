"""Words spelled in disguise: letters apart from each other, digits for letters. Rules 6 and 7 of ``plain``."""

from __future__ import annotations

import re
from collections import Counter
from functools import partial

_ALONE = re.compile(r"(?<![^\W_])[^\W_](?![^\W_])")
# Some of them, and everywhere.
_APART = tuple(re.compile(rf"{_ALONE.pattern}(?:[\W_]{{1,5}}+[^\W_](?![^\W_])){{{fewest},}}+") for fewest in (3, 1))
# The same of a text of ASCII with a blank at either end, a byte for each character: a for a letter or digit, blanks for all else.
_ALNUM = bytes(97 if chr(c).isascii() and chr(c).isalnum() else 32 for c in range(256))
_ALONE_BYTE = re.compile(rb" a(?= )")
_APART_BYTES = tuple(re.compile(rb" a(?: {1,5}+a(?= )){%d,}+" % fewest) for fewest in (3, 1))
_GAP = re.compile(r"[\W_]+")
_TOKEN = re.compile(r"!?[A-Za-z0-9@$|]++(?:!{1,2}+[A-Za-z0-9@$|]++)*+")
_ALL_SIGNS = re.compile(r"[013457@$]{1,5}")
# One byte a character: a for a letter, 0 for a sign of a letter and, where it may only stand within a word, 1; 2 for the other
# digits; a blank for all else. So what is looked for begins with bytes that are rare, and a search runs from one to the next.
_KINDS = bytes(
    97 if chr(c).isascii() and chr(c).isalpha()
    else 48 if c in b"0134578@$"
    else 49 if c in b"!|"
    else 50 if c in b"269"
    else 32
    for c in range(256)
)  # fmt: skip
_WITHIN = re.compile(rb"a0(?:(?=a)|0(?=a))")
_EITHER_SIGN = bytes.maketrans(b"1", b"0")
_BEFORE = re.compile(rb" 00?+(?=a)")
_NO_LETTER = re.compile(rb"[0-2]")
_LETTER_OF = str.maketrans("023456789@$!|", "ozeasgtbgasii")
_SHORT = {"1": "i", "4": "a", "15": "is", "17": "it", "45": "as", "47": "at", "70": "to", "50": "so", "533": "see",
          "411": "all", "83": "be", "@": "a"}  # fmt: skip


def joined(text: str) -> str:
    """``text`` with letters that stand alone put together."""
    if not text.isascii():
        everywhere = len(_ALONE.findall(text)) * 4 > len(text)
        fewest = 1 if everywhere else 3
        return _APART[everywhere].sub(lambda found: _together(fewest, found[0]), text)
    kinds = b" %b " % text.encode().translate(_ALNUM)
    everywhere = len(_ALONE_BYTE.findall(kinds)) * 4 > len(text)
    fewest = 1 if everywhere else 3
    pieces: list[str] = []
    done = 0
    for found in _APART_BYTES[everywhere].finditer(kinds):
        # Both begin with a blank that the text doesn't have.
        start, end = found.start(), found.end() - 1
        pieces += text[done:start], _together(fewest, text[start:end])
        done = end
    return "".join(pieces) + text[done:]


def spelled(text: str) -> str:
    """``text`` with digits and signs that stand for letters as these letters."""
    kinds = text.encode("ascii", "replace").translate(_KINDS)
    places = [found.start() for found in _WITHIN.finditer(kinds.translate(_EITHER_SIGN))]
    within, blanks = len(places), text.count(" ")
    everywhere = within > 2 and within * 12 >= blanks
    if within and not everywhere:
        everywhere = (within + len(_BEFORE.findall(b" " + kinds))) * 6 >= blanks
    spell = partial(_spell, everywhere, everywhere and within > 2 and within * 3 >= blanks)
    if everywhere:
        places = [found.start() for found in _NO_LETTER.finditer(kinds)]
        if len(places) * 4 > blanks:
            return _TOKEN.sub(spell, text)
    pieces = []
    done = 0
    for place in places:
        if place >= done:
            # Only what stands round such a place changes: from blank to blank.
            start = max(done, kinds.rfind(b" ", done, place) + 1)
            pieces.append(text[done:start])
            done = kinds.find(b" ", place)
            if done < 0:
                done = len(text)
            pieces.append(_TOKEN.sub(spell, text[start:done]))
    return "".join(pieces) + text[done:]


def _together(fewest: int, run: str) -> str:
    letters, gaps = _GAP.split(run), _GAP.findall(run)
    # The commonest gap, the shortest of equals, lies within words; any other one between them.
    times = Counter(gaps)
    within = min(times, key=lambda gap: (-times[gap], len(gap), gap))
    if times[within] < fewest or sum(map(str.isalpha, letters)) * 2 <= len(letters):
        return run
    return letters[0] + "".join(
        ("" if gap == within else gap) + letter for gap, letter in zip(gaps, letters[1:], strict=True)
    )


def _spell(everywhere: bool, dense: bool, match: re.Match[str]) -> str:
    token = match[0]
    if token.isalpha():
        return token
    if everywhere and token in _SHORT:
        return _SHORT[token]
    if not any(map(str.isalpha, token)):
        return _ones(token.translate(_LETTER_OF)) if dense and _ALL_SIGNS.fullmatch(token) else token
    if everywhere:
        return _ones(token.translate(_LETTER_OF))
    if not _is_within(token):
        return token
    start = token.startswith("!")
    return token[:start] + _ones(token[start:].translate(_LETTER_OF))


def _is_within(token: str) -> bool:
    """Whether a token of ASCII has a sign or two between letters."""
    return _WITHIN.search(token.encode().translate(_KINDS).translate(_EITHER_SIGN)) is not None


def _ones(token: str) -> str:
    """1 is l beside a, e, o or u, and i elsewhere."""
    first, *pieces = token.split("1")
    out = first
    for piece in pieces:
        before, after = out[-1:].lower(), piece[:1].lower()
        out += ("l" if (before and before in "aeou") or (after and after in "aeou") else "i") + piece
    return out
