r"""Text made plain: what a reader would read, so that two texts that look or mean the same give the same words.

Two views. ``folded`` undoes disguise and encoding and keeps spelling, punctuation and digits: patterns are matched on it.
``letters`` hold the words that the fingerprint is made of. An ASCII text with nothing suspicious in it is its own folded view.

Specification, version 2, so that another implementation can replace this one bit for bit. The tables and regular expressions
of this package's modules are part of it. Unicode is the interpreter's ``unicodedata``: characters keep their decomposition,
case and category once assigned, so releases differ in new characters only.

**Bounds.** Of a text longer than 36,000 characters the first 24,000 and the last 12,000 are folded, each by itself; the middle
stays as it is, without lone surrogates, and gives no words. Words are taken from the first 3,200 and the last 800 bytes of the
folded text in UTF-8 (without a character that is cut), or all of it up to 4,000; for passages (``written``) from the first 192 and the last 64 KiB. Of more than 4,096 different characters beyond
ASCII those that come first are folded; the others stay.

**Folding.** Rules 1 to 4 run for text beyond ASCII, 5 to 8 where their mark stands.

1. Letters of Hangul, kana, Greek, Cyrillic and Arabic that come in parts are composed.
2. Format, control, surrogate and tag characters, fillers, variation selectors and free combining marks are dropped (ASCII
   control characters too, but for white space). Text of six different characters or more that tags spell or that selectors
   carry as bytes is added as a last line, if more than three quarters are letters and blanks or a word of it is common.
3. What looks like a Latin letter, ASCII dash, quote or dot without being decomposable becomes one; other white space becomes a
   space; otherwise a character becomes its NFKD without free marks, if that begins with ASCII, or else its NFKC. One with more
   than four characters in its NFKD stays. So Latin words lose their accents, and patterns have to be folded like the text.
4. Words are written in one alphabet. A letter is *own* to Cyrillic (Greek) if it passes for no Latin one, a Latin letter is own
   if it passes for no Cyrillic (Greek) one. A word with more own letters of Cyrillic (Greek) than of Latin is Cyrillic (Greek):
   Latin letters that pass for its own are turned into them. Any other word with own Latin letters is Latin: all that resembles a
   Latin letter becomes one. A word without own letters goes with the text: Latin, if it has no fewer Latin words than words of
   other alphabets, or else the one of Cyrillic and Greek that has more words. So Russian and Greek stay themselves, and a
   lone "а" in an English text is "a". Words of other alphabets follow the same rule in one direction only.
5. ``%41``; three or more of ``\x41``, ``\u0041`` or ``&#65;``; base64, also URL-safe and in lines; hex, also spaced or with 0x;
   bytes of 0 and 1; Morse: what decodes to readable UTF-8 stands decoded in its place and goes through rules 1 to 5 itself,
   two layers in all. A run of 32 letters and digits or more that is neither readable nor a word is ``blob``.
6. Four letters or more that stand alone in a row are joined, if three gaps between them are the same; two or more, where over
   a quarter of all characters are such letters. The commonest gap, the shortest of equals, lies within words.
7. Signs for letters (``th1nk``) become letters in a word with one or two of them between two letters. In a text with more than two
   such places, at least one to twelve blanks (or one to six, counting those before a letter), they do in every word with a
   letter and in a few common ones without; where they are one to three blanks, in all of at most five signs. 1 is l beside a, e, o or u, and i elsewhere.
8. Stretches of rot13 are turned back where letters and common words speak for it: 14 nats in all, 0.4 a letter.

**Words.** Lower case (full folding beyond ASCII), without free marks; a digit is ``0``, and so is a run of them; l is written i, because l,
I, 1 and | are one letter to the eye and no rule tells which was meant; all but letters, marks and digits parts words. Of scripts
that are written without spaces each letter is a word. ``letters`` are the words in UTF-8 with one or more spaces between,
before and after them, and runs of ``0`` as long as they were: who reads them counts either run as one (``squeezed``).

**Marks**, looked for in the text after rules 1 to 4, a character beyond ASCII counting as ``?``. Rule 5: 24 letters and digits
in a row, an escape, ``.-.``, or a stretch with at most four letters a word on average and eight words or more of nothing but 0, a to f
and x. Rule 6: five letters or digits with one other character between each, two of the first three of them letters, or a stretch
of eight words or more with at most two letters each on average. Rule 7: a digit, ``!``, ``@``, ``$`` or ``|`` between letters.
Rule 8: a stretch whose letters speak for rot13. Stretches are twenty words each, a cut one too: the last ones, and those from 0, ¼, ½
and ¾ of the bytes on (0, ⅓ and ⅔ up to 640 bytes, 0 and ½ up to 480, 0 up to 320); of up to 160 bytes all words at once. One with
a common word in it doesn't count.

Where this errs both sides err alike: what is folded wrongly, is so in each exchange of a template. Not seen: letters parted by
the same gap as words, other ciphers, reversed text, encodings of less than about 16 characters, rot13 of less than about 20 letters.

Cost: 3 µs and 5 µs a KB of ordinary ASCII, 15 to 60 µs a KB of text beyond it, 30 to 400 µs a KB where a text is encoded or
disguised; the bounds above hold for any text.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from guard.plain.characters import foreign, hidden, lettered, seen, unhidden
from guard.plain.encodings import heard, uncoded, unescaped, unspaced
from guard.plain.lookalikes import unalike, undisguised
from guard.plain.marks import APART, DIGITS, ENCODED, ESCAPED, LEET, MORSE, ROTATED, RUN, SPELT
from guard.plain.marks import marks as marked
from guard.plain.rotation import COMMON, unrotated
from guard.plain.spelling import joined, spelled

VERSION = 2
HEAD, TAIL = 24_000, 12_000
WORDS_HEAD, WORDS_TAIL = 3_200, 800
LONG_HEAD, LONG_TAIL = 196_608, 65_536
LAYERS = 2

_CONTROLS = bytes([*range(9), *range(14, 32), 127])
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]+")
_SPACED = bytes(
    ord("i")
    if c in b"lL"
    else c | 32
    if 65 <= c <= 90
    else 48
    if 48 <= c <= 57
    else c
    if c > 96 and c not in b"{|}~"
    else 32
    for c in range(256)
)
_FEWEST_SECRET_SIGNS = 6


class View(NamedTuple):
    """A text made plain: ``folded`` for patterns, ``letters`` for the fingerprint."""

    folded: str
    letters: bytes


def view(text: str) -> View:
    """Both views of a text. Never raises, whatever ``text`` holds."""
    if len(text) > HEAD + TAIL:
        return _view_of_long(text)
    if text.isascii():
        raw = text.encode()
        spaced = raw.translate(_SPACED, _CONTROLS)
        if len(spaced) == len(raw):
            marks = marked(raw, spaced)
            folded = _spelt_out(*_decoded(text, marks, LAYERS, cut=False)) if marks else text
            return View(folded, _both_ends(spaced) if folded is text else _letters(folded))
    folded = _folded(text)
    return View(folded, _letters(folded))


def plain(text: str) -> str:
    """The words of a text, joined by single spaces."""
    return squeezed(view(text).letters).decode()


def squeezed(letters: bytes) -> bytes:
    """``letters`` with single spaces, none at either end, and single zeros."""
    single = b" ".join(letters.split())
    return DIGITS.sub(b"0", single) if b"00" in single else single


def folded(text: str) -> str:
    """A text with its disguise and encoding undone; the same object where there is neither."""
    if len(text) > HEAD + TAIL or text.isascii():
        return view(text).folded
    return _folded(text)


def written(text: str) -> bytes:
    """The ``letters`` of a folded text without its bounds: of its first 192 and last 64 KiB in UTF-8."""
    data = text.encode()
    if len(data) > LONG_HEAD + LONG_TAIL:
        data = b"%b %b" % (data[:LONG_HEAD], data[-LONG_TAIL:])
    return _worded(data)


def _view_of_long(text: str) -> View:
    start, end = text[:HEAD], text[-TAIL:]
    folded_start, folded_end = _folded(start), _folded(end, cut=True)
    middle = text[HEAD:-TAIL]
    if not middle.isascii():
        middle = middle.encode("utf-8", "ignore").decode()
    if folded_start is not start or folded_end is not end or len(middle) != len(text) - HEAD - TAIL:
        text = f"{folded_start}{middle}{folded_end}"
    return View(text, _letters(f"{folded_start}\n{folded_end}"))


def _folded(text: str, *, cut: bool = False) -> str:
    """Rules 1 to 8; ``cut``: ``text`` may begin within a run of base64."""
    return _spelt_out(*_clear(text, LAYERS, cut))


def _spelt_out(text: str, marks: int) -> str:
    """Rules 6 to 8."""
    if marks & APART:
        text = joined(text)
    if marks & LEET:
        text = spelled(text)
    return unrotated(text) if marks & ROTATED else text


def _clear(text: str, layers: int, cut: bool) -> tuple[str, int]:
    """Rules 1 to 5, and what is still marked. ``layers`` of encoding may be undone."""
    if not text.isascii():
        text = in_sight(text)
    raw = text.encode("ascii", "replace")
    spaced = raw.translate(_SPACED, _CONTROLS)
    if len(spaced) < len(raw):
        text = _CONTROL.sub("", text)
        raw = text.encode("ascii", "replace")
    return _decoded(text, marked(raw, spaced), layers, cut=cut)


def _decoded(text: str, marks: int, layers: int, *, cut: bool) -> tuple[str, int]:
    """Rule 5 on a text with these marks, and what is still marked."""
    if not (marks & ENCODED and layers):
        return text, marks
    if marks & ESCAPED:
        clear = unescaped(text)
        if clear != text:
            return _clear(clear, layers - 1, cut)
    clear = text

    def inner(piece: str) -> str:
        return _clear(piece, layers - 1, False)[0]

    if marks & SPELT:
        clear = unspaced(clear, inner)
    if marks & RUN:
        clear = uncoded(clear, inner, cut=cut)
    if marks & MORSE:
        clear = heard(clear)
    if clear != text:
        raw = clear.encode("ascii", "replace")
        marks = marked(raw, raw.translate(_SPACED))
    return clear, marks


def in_sight(text: str) -> str:
    """Rules 1 to 4 alone: for what is compared with folded text and hides nothing itself, such as patterns."""
    beyond = foreign(text)
    kinds = dict.fromkeys(beyond)
    secret = "" if unhidden(kinds) else hidden(beyond)
    text, kinds = seen(text, kinds)
    if not text.isascii() and not unalike(kinds):
        text = undisguised(text)
    if len(set(secret)) >= _FEWEST_SECRET_SIGNS and secret not in text:
        letters = sum(map(str.isalpha, secret)) + secret.count(" ")
        if letters * 4 > len(secret) * 3 or not COMMON.isdisjoint(secret.lower().split()):
            text = f"{text}\n{secret}"
    return text


def _letters(text: str) -> bytes:
    """The words of a folded text."""
    return _worded(_both_ends(text.encode()))


def _worded(data: bytes) -> bytes:
    spaced = data.translate(_SPACED)
    if spaced.isascii():
        return spaced
    return lettered(spaced.decode("utf-8", "ignore")).encode().translate(_SPACED)


def _both_ends(data: bytes) -> bytes:
    return data if len(data) <= WORDS_HEAD + WORDS_TAIL else b"%b %b" % (data[:WORDS_HEAD], data[-WORDS_TAIL:])
