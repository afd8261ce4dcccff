"""Single characters made plain: what can't be seen goes, what looks like a Latin letter becomes one. Rules 1 to 3 of ``plain``."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from unicodedata import category, normalize

_ASCII = bytes(range(128))
_ITSELF: dict[int, str] = {code: chr(code) for code in range(128)}
_LONGEST_EXPANSION = 4
# Looking up every character of a text takes as long as looking for one of them so many times less often.
_REPLACED_COSTS = 16
_MOST_KINDS = 4_096

# Shown as nothing though their category says otherwise: fillers of Hangul, Khmer and Mongolian, the blank Braille pattern,
# the joiner of graphemes, variation selectors.
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | frozenset(
    map(chr, [*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0000, 0xE1000)])
)
# Marks that a text does without: general ones, and the vowel signs of Hebrew and Arabic. Those of Indic and South-East Asian
# scripts are letters in all but name and stay.
_FREE = frozenset(
    c
    for first, end in (
        (0x0300, 0x0370), (0x0483, 0x048A), (0x0591, 0x05C8), (0x0610, 0x061B), (0x064B, 0x0660), (0x0670, 0x0671),
        (0x06D6, 0x06EE), (0x1AB0, 0x1B00), (0x1DC0, 0x1E00), (0x20D0, 0x2100), (0xFE20, 0xFE30),
    )
    for c in map(chr, range(first, end))
    if category(c)[0] == "M"
)  # fmt: skip
# Pieces that are one letter when composed: Hangul from its parts, kana, Greek, Cyrillic or Arabic with its mark.
_PARTS = re.compile(
    "[\u1100-\u11ff]{2,8}|[\u3040-\u30ff][\u3099\u309a]|[\u0370-\u052f\u1f00-\u1fff][\u0300-\u0345]{1,2}"
    "|[\u0620-\u06d5][\u0653-\u0655]"
)
_MARKS_OF_PARTS = frozenset(
    map(chr, [*range(0x300, 0x346), *range(0x653, 0x656), *range(0x1100, 0x1200), 0x3099, 0x309A])
)
# Tags and variation selectors.
_HIDING = frozenset(
    map(chr, [*range(0xE0009, 0xE000E), *range(0xE0020, 0xE007F), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)])
)
# Tags and variation selectors.
_HIDING = frozenset(
    map(chr, [*range(0xE0009, 0xE000E), *range(0xE0020, 0xE007F), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)])
)
_TAGS = re.compile("[\U000e0009-\U000e000d\U000e0020-\U000e007e]")
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
# Different characters, in the order of the text.
_Kinds = dict[str, None]


def _pairs(foreign: str, latin: str) -> dict[str, str]:
    return dict(zip(foreign.replace(" ", ""), latin.replace(" ", ""), strict=True))


# Latin letters in disguise that Unicode doesn't decompose: small capitals, phonetic letters, strokes, emblems.
_DISGUISED = {
    **_pairs("ᴀ ʙ ᴄ ᴅ ᴇ ꜰ ɢ ʜ ɪ ᴊ ᴋ ʟ ᴍ ɴ ᴏ ᴘ ꞯ ʀ ꜱ ᴛ ᴜ ᴠ ᴡ ʏ ᴢ", "a b c d e f g h i j k l m n o p q r s t u v w y z"),
    **_pairs("ı ȷ ɩ ɡ ɑ ɐ ə ɛ ɔ ʋ ɯ ɾ ɼ ɹ ʃ ʈ ʐ ʒ ŋ ɲ ɱ", "i j i g a a e e o u m r r r s t z z n n m"),
    **_pairs("ø Ø ł Ł đ Đ ð Ð ħ Ħ ŧ Ŧ ƀ ɓ ƈ ɖ ɗ ƒ ɠ ɦ ɨ ƙ ƚ ɫ ƞ ƥ ʠ ʂ ƫ ʉ ƴ ƶ ȼ ɇ ɉ ɍ ɏ ⱥ", "o O l L d D d D h H t T b b c d d f g h i k l l n p q s t u y z c e j r y a"),
    **_pairs("þ Þ ƿ ʌ ꓸ ∂ ∨ ⍳ ⍴ ⍺ ⍵ ∣ ǀ ℮ ⅄", "p P p a . d v i p a w l l e Y"),
    "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE",
    **{chr(first + i): chr(65 + i) for first in (0x1F150, 0x1F170, 0x1F1E6) for i in range(26)},
    **dict.fromkeys("‐‑‒–—―−⁃", "-"), **dict.fromkeys("‘’‚‛ʼ′", "'"), **dict.fromkeys("“”„‟″", '"'),
    **dict.fromkeys("·•∙⋅", "."), **dict.fromkeys("⁄∕", "/"), "\u2028": "\n", "\u2029": "\n", "\x85": "\n",
}  # fmt: skip

# Written without spaces: each letter is a word, with the marks that follow it.
_DENSE = ((0x0E00, 0x0F00), (0x1000, 0x10A0), (0x1780, 0x1800), (0x2E80, 0x3130), (0x31F0, 0x3200), (0x3400, 0x4DC0),
          (0x4E00, 0xA000), (0xF900, 0xFB00), (0x1B000, 0x1B170), (0x20000, 0x32000))  # fmt: skip


def foreign(text: str) -> str:
    """The characters of ``text`` beyond ASCII, in order. The bytes of UTF-8 beyond ASCII are those of these characters only."""
    return text.encode("utf-8", "surrogatepass").translate(None, _ASCII).decode("utf-8", "surrogatepass")


def seen(text: str, kinds: _Kinds) -> tuple[str, _Kinds]:
    """``text``, which has these characters beyond ASCII, as it is seen; and what has at least those that it has then."""
    if not _MARKS_OF_PARTS.isdisjoint(kinds):
        text = _PARTS.sub(_composed, text)
        kinds = dict.fromkeys(foreign(text))
    text, changes = _replaced(text, kinds, _look)
    composed = "\u3099" in text or "\u309a" in text
    if composed:
        text = _PARTS.sub(_composed, text)
    if text.isascii():
        return text, {}
    if composed or len(kinds) > _MOST_KINDS:
        return text, dict.fromkeys(foreign(text))
    return text, dict.fromkeys("".join([changes.get(c, c) for c in kinds]))


def lettered(text: str) -> str:
    """``text`` with its characters beyond ASCII as letters of words: lower case, blanks for what is no letter, 0 for digits."""
    return _replaced(text, dict.fromkeys(foreign(text)), _letter)[0]


def unhidden(kinds: _Kinds) -> bool:
    """Whether none of these characters hides another text."""
    return _HIDING.isdisjoint(kinds)


def hidden(beyond: str) -> str:
    """What tag characters spell, and what variation selectors carry as bytes: text that a model reads and nobody sees."""
    tags = "".join(chr(max(ord(c) - 0xE0000, 32)) for c in _TAGS.findall(beyond))
    # U+FE00 to U+FE0F are the bytes 0 to 15, U+E0100 to U+E01EF the bytes 16 to 255.
    carried = bytes(ord(c) - 0xFE00 if c <= "\ufe0f" else ord(c) - 0xE0100 + 16 for c in _SELECTORS.findall(beyond))
    return f"{tags}\n{carried.decode('utf-8', 'ignore')}".strip()


def _composed(parts: re.Match[str]) -> str:
    return normalize("NFC", parts[0])


def _replaced(text: str, kinds: _Kinds, new: Callable[[str], str]) -> tuple[str, dict[str, str]]:
    """``text`` with a new one for each of its characters beyond ASCII, and which one for which that differ."""
    if len(kinds) > _MOST_KINDS:
        # No language needs as many, and each costs a look into Unicode's tables.
        kinds = dict.fromkeys(list(kinds)[:_MOST_KINDS])
        text = text.encode("utf-8", "ignore").decode()
    changes = {c: changed for c in kinds if (changed := new(c)) != c}
    if not changes:
        return text, changes
    made = "".join([changed.replace(c, "") for c, changed in changes.items()])
    # One after the other takes what one change makes for what another one looks for, if that can happen.
    if len(changes) * _REPLACED_COSTS > len(text) or not changes.keys().isdisjoint(made):
        # A character that the table lacks costs five times as much as one that stands for itself.
        return text.translate(_ITSELF | {ord(c): changes.get(c, c) for c in kinds}), changes
    for c, changed in changes.items():
        text = text.replace(c, changed)
    return text, changes


@lru_cache(maxsize=8_192)
def _look(c: str) -> str:
    """What a character beyond ASCII looks like."""
    if c in _DISGUISED:
        return _DISGUISED[c]
    kind = category(c)
    if c in _UNSEEN or kind in {"Cf", "Cc", "Cs"} or c in _FREE:
        return ""
    if kind in {"Zs", "Zl", "Zp"}:
        return " "
    apart = normalize("NFKD", c)
    if len(apart) > _LONGEST_EXPANSION:
        return c
    if apart[0].isascii() or apart[0] in _DISGUISED:
        return "".join(_DISGUISED.get(part, part) for part in apart if part not in _FREE)
    return normalize("NFKC", c)


@lru_cache(maxsize=8_192)
def _letter(c: str) -> str:
    """A character beyond ASCII as part of a word."""
    if "\u4e00" <= c < "\u9fd0":
        return f" {c} "
    kind = category(c)
    if kind == "Nd":
        return "0"
    if kind[0] not in "LMN":
        return " "
    # A mark's own case folding may be a letter (U+0345), and folding may bring marks: both in one pass, until nothing changes.
    plain = "".join(part for part in normalize("NFKD", normalize("NFKD", c).casefold()) if part not in _FREE)
    plain = normalize("NFC", plain)
    if any(first <= ord(c) < end for first, end in _DENSE):
        return plain if kind[0] == "M" else f" {plain}" if c < "\u2e80" else f" {plain} "
    return plain
