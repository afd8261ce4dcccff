"""Disguises, encodings and paddings of a text: SECURITY 57 and 64 to 66. Each is drawn anew for each text."""

from __future__ import annotations

import base64
import codecs
from collections.abc import Callable
from random import Random
from urllib.parse import quote

from tests.populations import text

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


def padded_far(dice: Random, said: str) -> str:
    """Filler beyond what anybody looks at as a whole, before and behind."""
    filler = (text(dice, 20) + " ") * 16
    return f"{filler}\n\n{said}\n\n{filler}"


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
    "padded far": padded_far,
}
