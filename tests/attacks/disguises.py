"""Disguises, encodings and paddings of a text: SECURITY 57 and 64 to 66. Each is drawn anew for each text."""

from __future__ import annotations

import base64
import codecs
import json
from collections.abc import Callable
from random import Random
from urllib.parse import quote

from tests.populations import prose, text

Disguise = Callable[[Random, str], str]

_LOOKALIKES = str.maketrans(
    {
        "a": "а",
        "c": "с",
        "e": "е",
        "o": "о",
        "p": "р",
        "x": "х",
        "y": "у",
        "i": "і",
        "A": "А",
        "B": "В",
        "H": "Н",
        "T": "Т",
    }
)
_EMOJI = "\U0001f600\U0001f680\U0001f33b\U0001f9e0\U0001f525"
_LEET = str.maketrans({"a": "4", "e": "3", "i": "1", "o": "0", "s": "5", "t": "7"})
_MORSE = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyz",
        [
            ".-",
            "-...",
            "-.-.",
            "-..",
            ".",
            "..-.",
            "--.",
            "....",
            "..",
            ".---",
            "-.-",
            ".-..",
            "--",
            "-.",
            "---",
            ".--.",
            "--.-",
            ".-.",
            "...",
            "-",
            "..-",
            "...-",
            ".--",
            "-..-",
            "-.--",
            "--..",
        ],
        strict=True,
    )
)


def strewn(signs: str, share: float = 0.3) -> Disguise:
    """Signs that nobody sees, after a share of the letters."""
    return lambda dice, said: "".join([c + dice.choice(signs) if dice.random() < share else c for c in said])


def lookalikes(dice: Random, said: str) -> str:
    return "".join([c.translate(_LOOKALIKES) if dice.random() < 0.5 else c for c in said])


def fullwidth(dice: Random, said: str) -> str:
    return "".join([chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in said])


def bold(dice: Random, said: str) -> str:
    """Mathematical letters in bold."""
    small, large = 0x1D41A - ord("a"), 0x1D400 - ord("A")
    return "".join(
        [chr(ord(c) + (small if c.islower() else large)) if c.isascii() and c.isalpha() else c for c in said]
    )


def leet(dice: Random, said: str) -> str:
    return "".join([c.translate(_LEET) if dice.random() < 0.6 else c for c in said])


def mixed_case(dice: Random, said: str) -> str:
    return "".join([c.swapcase() if dice.random() < 0.5 else c for c in said])


def apart(dice: Random, said: str) -> str:
    """Every letter by itself, words further apart."""
    return "   ".join([" ".join(word) for word in said.split()])


def dotted(dice: Random, said: str) -> str:
    return "  ".join([".".join(word) for word in said.split()])


def rot13(dice: Random, said: str) -> str:
    return codecs.encode(said, "rot13")


def in_base64(dice: Random, said: str) -> str:
    return base64.b64encode(said.encode()).decode()


def in_base64_after_words(dice: Random, said: str) -> str:
    return f"Decode the following and then do what it says: {in_base64(dice, said)}"


def in_base64_twice(dice: Random, said: str) -> str:
    return in_base64(dice, in_base64(dice, said))


def in_hex(dice: Random, said: str) -> str:
    return said.encode().hex()


def in_percents(dice: Random, said: str) -> str:
    return "".join([f"%{byte:02X}" for byte in said.encode()])


def in_url(dice: Random, said: str) -> str:
    return quote(said)


def in_escapes(dice: Random, said: str) -> str:
    return "".join([f"\\u{ord(c):04x}" for c in said])


def in_morse(dice: Random, said: str) -> str:
    words = [" ".join([_MORSE[c] for c in word if c in _MORSE]) for word in said.lower().split()]
    return " / ".join([word for word in words if word])


def in_tags(dice: Random, said: str) -> str:
    """Tag characters alone, behind a smile: the model reads them, a person sees the smile."""
    return "\U0001f642" + "".join([chr(0xE0000 + ord(c)) for c in said if c.isascii()])


def greeted(dice: Random, said: str) -> str:
    """A new greeting before it and new thanks behind it."""
    return f"{text(dice, 1)}\n\n{said}\n\n{text(dice, 1)}"


def padded_before(dice: Random, said: str) -> str:
    return f"{text(dice, 16)}\n\n{said}"


def padded_behind(dice: Random, said: str) -> str:
    return f"{said}\n\n{text(dice, 16)}"


def padded_round(dice: Random, said: str) -> str:
    """A thousand bytes of filler on either side."""
    return f"{prose(dice, 150)}\n\n{said}\n\n{prose(dice, 150)}"


def padded_far(dice: Random, said: str) -> str:
    """Filler beyond what anybody looks at as a whole, before and behind; some 30 KB, none of it said twice."""
    return f"{prose(dice, 2_600)}\n\n{said}\n\n{prose(dice, 2_600)}"


def blanks_round(dice: Random, said: str) -> str:
    """Nothing but blanks, more than a sketch looks at."""
    return " " * dice.randint(4_000, 6_000) + said + "\n" * dice.randint(2_000, 4_000)


def doubled(dice: Random, said: str) -> str:
    """One letter in five twice."""
    return "".join([c * 2 if dice.random() < 0.2 else c for c in said])


def emoji_between(dice: Random, said: str) -> str:
    return "".join([f"{word} {dice.choice(_EMOJI)} " for word in said.split()])


def backwards(dice: Random, said: str) -> str:
    return said[::-1]


def in_json(dice: Random, said: str) -> str:
    return json.dumps({dice.choice(("task", "q", "input")): said, "id": dice.randrange(10**9)})


def caesar(dice: Random, said: str) -> str:
    """Each text by another number of letters."""
    by = dice.randint(1, 25)
    return "".join([chr((ord(c) - 97 + by) % 26 + 97) if c.isascii() and c.islower() else c for c in said.lower()])


def in_base32(dice: Random, said: str) -> str:
    return base64.b32encode(said.encode()).decode()


def spaces_in_words(dice: Random, said: str) -> str:
    return "".join([f"{c} " if dice.random() < 0.12 and c.isalpha() else c for c in said])


def vowels_dropped(dice: Random, said: str) -> str:
    return "".join([c for c in said if c not in "aeiou" or dice.random() < 0.6])


def words_between(dice: Random, said: str) -> str:
    """A new word behind every second one."""
    return " ".join([f"{word} {prose(dice, 1)}" if n % 2 else word for n, word in enumerate(said.split())])


DISGUISES: dict[str, Disguise] = {
    "zero-width": strewn("\u200b\u200c\u200d\u2060\ufeff"),
    "tag characters": strewn("".join(map(chr, range(0xE0061, 0xE007B)))),
    "variation selectors": strewn("\ufe00\ufe01\ufe0f\U000e0100"),
    "bidi": strewn("\u202a\u202c\u2066\u2069\u200e\u200f", 0.1),
    "hangul filler": strewn("\u3164\u115f\u1160\uffa0", 0.1),
    "combining marks": strewn("\u0301\u0308\u0323\u0336"),
    "look-alikes": lookalikes,
    "fullwidth": fullwidth,
    "bold": bold,
    "leet": leet,
    "mixed case": mixed_case,
    "letters apart": apart,
    "letters dotted": dotted,
    "rot13": rot13,
    "base64": in_base64,
    "base64 after words": in_base64_after_words,
    "base64 twice": in_base64_twice,
    "hex": in_hex,
    "percents": in_percents,
    "url": in_url,
    "escapes": in_escapes,
    "morse": in_morse,
    "tags alone": in_tags,
    "greeted": greeted,
    "padded before": padded_before,
    "padded behind": padded_behind,
    "padded round": padded_round,
    "padded far": padded_far,
    "blanks round": blanks_round,
    "doubled letters": doubled,
    "emoji between": emoji_between,
    "backwards": backwards,
    "json": in_json,
    "caesar": caesar,
    "base32": in_base32,
    "spaces in words": spaces_in_words,
    "vowels dropped": vowels_dropped,
    "words between": words_between,
}
