"""Words spelled in disguise: letters apart from each other, digits for letters. Rules 6 and 7 of ``plain``."""

from __future__ import annotations

import re
from collections import Counter
from functools import partial

_ALONE = re.compile(r"(?<![^\W_])[^\W_](?![^\W_])")
_APART, _APART_EVERYWHERE = (
    re.compile(rf"{_ALONE.pattern}(?:[\W_]{{1,5}}+[^\W_](?![^\W_])){{{fewest},}}+") for fewest in (3, 1)
)
_GAP = re.compile(r"[\W_]+")
# The signs come first, so that the search runs from sign to sign.
_WITHIN = re.compile(r"[0134578@$!|](?<=[A-Za-z].)[0134578@$!|]?+(?=[A-Za-z])")
_BEFORE = re.compile(r"[0134578@$](?<![A-Za-z0-9@$!|].)[0134578@$]?+(?=[A-Za-z])")
_IN_TOKEN = re.compile(r"[A-Za-z0-9@$!|]++")
_TOKEN_SIGNS = frozenset("@$!|")
_TOKEN = re.compile(r"!?[A-Za-z0-9@$|]++(?:!{1,2}+[A-Za-z0-9@$|]++)*+")
_ALL_SIGNS = re.compile(r"[013457@$]{1,5}")
_LETTER_OF = str.maketrans("023456789@$!|", "ozeasgtbgasii")
_SHORT = {"1": "i", "4": "a", "15": "is", "17": "it", "45": "as", "47": "at", "70": "to", "50": "so", "533": "see",
          "411": "all", "83": "be", "@": "a"}  # fmt: skip


def joined(text: str) -> str:
    """``text`` with letters that stand alone put together."""
    everywhere = len(_ALONE.findall(text)) * 4 > len(text)
    return (_APART_EVERYWHERE if everywhere else _APART).sub(partial(_together, 1 if everywhere else 3), text)


def spelled(text: str) -> str:
    """``text`` with digits and signs that stand for letters as these letters."""
    places = [found.start() for found in _WITHIN.finditer(text)]
    within, blanks = len(places), text.count(" ")
    everywhere = within > 2 and within * 12 >= blanks
    if within and not everywhere:
        everywhere = (within + len(_BEFORE.findall(text))) * 6 >= blanks
    if everywhere:
        return _TOKEN.sub(partial(_spell, True, within > 2 and within * 3 >= blanks), text)
    pieces = []
    done = 0
    for place in places:
        if place >= done:
            # Only what stands round such a place changes: from blank to blank.
            start = place
            while start > done and ((c := text[start - 1]) in _TOKEN_SIGNS or (c.isalnum() and c.isascii())):
                start -= 1
            pieces.append(text[done:start])
            run = _IN_TOKEN.match(text, place)
            done = run.end() if run else len(text)
            pieces.append(_TOKEN.sub(partial(_spell, False, False), text[start:done]))
    return "".join(pieces) + text[done:]


def _together(fewest: int, match: re.Match[str]) -> str:
    run = match[0]
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
    if not _WITHIN.search(token):
        return token
    start = token.startswith("!")
    return token[:start] + _ones(token[start:].translate(_LETTER_OF))


def _ones(token: str) -> str:
    """1 is l beside a, e, o or u, and i elsewhere."""
    first, *pieces = token.split("1")
    out = first
    for piece in pieces:
        before, after = out[-1:].lower(), piece[:1].lower()
        out += ("l" if (before and before in "aeou") or (after and after in "aeou") else "i") + piece
    return out
