"""Encoded text decoded where it stands. Rule 5 of ``plain``. Every pattern is linear: a run is entered at its start only."""

from __future__ import annotations

import re
from binascii import a2b_base64
from collections.abc import Callable
from functools import cache

from guard.scanning import Finder

OPAQUE = "blob"
_SHORTEST_OPAQUE = 32
_ENOUGH_BYTES = 24
# Full lines and a last one, or one run. Both begin where sixteen characters or more of base64 do.
_BASE64 = re.compile(
    r"(?<![A-Za-z0-9+/_=-])(?:[A-Za-z0-9+/_-]{60,76}+={0,2}+\r?\n)++(?:[A-Za-z0-9+/_-]{1,76}+={0,2}+(?![A-Za-z0-9+/_-]))?+"
    r"|(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_-]{16,}+={0,2}+"
)
_KINDS = bytes(1 if chr(c) in "+/_=-" or (c < 128 and chr(c).isalnum()) else 2 for c in range(256))
_SIXTEEN = b"\1" * 16
_TOKEN = re.compile(r"[A-Za-z0-9+/]{32,}+")
_HEX = re.compile(r"(?<![0-9A-Za-z])(?:[0-9A-Fa-f]{2}){12,}+(?![0-9A-Za-z])")
_HEX_APART = re.compile(
    r"(?<![0-9A-Za-z\\])(?:(?:0x|\\x)?[0-9A-Fa-f]{2}[ ,:;\n-]{1,2}){7,}(?:0x|\\x)?[0-9A-Fa-f]{2}(?![0-9A-Za-z])"
)
_BINARY = re.compile(r"(?<![0-9A-Za-z])(?:[01]{8}[ ,\n]?){8,}+")
# Whatever one of the two before finds, this one finds too, far sooner.
_SPELT = (
    rb"(?:(?:0x|\\x)?[0-9A-Fa-f]{2}[ ,:;\n-]{1,2}){7}(?:0x|\\x)?[0-9A-Fa-f]{2}",
    rb"(?:[01]{8}[ ,\n]?){8}",
)
_NOT_HEX = re.compile(r"0x|\\x|[^0-9A-Fa-f]")
_NOT_BIT = re.compile(r"[^01]")
_SIGNS = bytes(c for c in range(128) if not chr(c).isalnum() and c != 32)
_UNREADABLE = bytes([*range(9), 11, 12, *range(14, 32), 127])
_PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2})++")
_ESCAPED = re.compile(r"(?:\\x[0-9A-Fa-f]{2})++|(?:\\u[0-9A-Fa-f]{4})++")
_REFERENCE = re.compile(r"&#(?:([0-9]{2,7}+)|[xX]([0-9A-Fa-f]{2,6}+));")
_MORSE = re.compile(r"(?<![^\s/|:\"'`])[.-]{1,6}+(?:[ /|\n]{1,4}+[.-]{1,6}+){7,}+")
_MORSE_GAP = re.compile(r"\s*[/|\n]\s*| {2,}")
_MORSE_CODES = (
    ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.. "
    "----- .---- ..--- ...-- ....- ..... -.... --... ---.. ----. .-.-.- --..-- ..--.. .----. -.-.-- -..-. -.--. "
    "-.--.- .-... ---... -.-.-. -...- .-.-. -....- ..--.- .-..-. ...-..- .--.-."
)
_MORSE_SIGNS = dict(zip(_MORSE_CODES.split(), "abcdefghijklmnopqrstuvwxyz0123456789.,?'!/()&:;=+-_\"$@", strict=True))


def uncoded(text: str, inner: Callable[[str], str], *, cut: bool = False) -> str:
    """``text`` with base64 and hex decoded, each run made plain by ``inner``; ``cut``: its start may lie within a run."""

    def base64(found: re.Match[str]) -> str:
        run = found[0]
        if _HEX.fullmatch(run):
            return _hex(run, inner)
        # Padding ends a part, which is whole by itself.
        whole = "".join(run.split()) if "\n" in run else run
        first, *parts = whole.rstrip("=").replace("-", "+").replace("_", "/").split("=")
        for start in range(4 if cut and not found.start() else 1):
            plain = _readable(b"".join([_of_base64(part) for part in (first[start:], *parts)]))
            if plain is not None:
                return inner(plain)
        return _TOKEN.sub(_opaque, run) if len(run) >= _SHORTEST_OPAQUE else run

    # From run to run, since a search would try each letter of a text.
    kinds = text.encode("ascii", "replace").translate(_KINDS)
    pieces: list[str] = []
    done = end = 0
    while (place := kinds.find(_SIXTEEN, end)) >= 0:
        found = _BASE64.match(text, place)
        if found is None:
            end = kinds.find(b"\2", place)
            if end < 0:
                break
        else:
            end = found.end()
            pieces += text[done:place], base64(found)
            done = end
    return "".join(pieces) + text[done:] if pieces else text


def _of_base64(part: str) -> bytes:
    part = part[: len(part) - (len(part) % 4 == 1)]
    return a2b_base64(part + "=" * (-len(part) % 4))


def unspaced(text: str, inner: Callable[[str], str]) -> str:
    """``text`` with bytes in hex or binary that stand apart decoded."""

    if not _spelt().found(text.encode("ascii", "replace")):
        return text

    def binary(found: re.Match[str]) -> str:
        bits = _NOT_BIT.sub("", found[0])
        plain = _readable(bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits) // 8 * 8, 8)))
        return found[0] if plain is None else inner(plain)

    text = _HEX_APART.sub(lambda found: _hex(found[0], inner), text)
    return _BINARY.sub(binary, text)


def heard(text: str) -> str:
    """``text`` with runs of Morse as letters."""

    def morse(found: re.Match[str]) -> str:
        words = ["".join(_MORSE_SIGNS.get(sign, "") for sign in word.split()) for word in _MORSE_GAP.split(found[0])]
        plain = " ".join(words)
        return plain if len(set(plain)) > 4 else found[0]

    return _MORSE.sub(morse, text)


def unescaped(text: str) -> str:
    r"""``text`` with ``%41``, ``\x41``, ``\u0041`` and ``&#65;`` as the characters they stand for, the last two where they occur three times."""
    if "%" in text:
        text = _PERCENT.sub(lambda found: _characters(bytes.fromhex(found[0].replace("%", "")), found[0]), text)
    if text.count("\\x") + text.count("\\u") > 2:
        text = _ESCAPED.sub(_unescaped, text)
    if text.count("&#") > 2:
        text = _REFERENCE.sub(_referred, text)
    return text


def _readable(data: bytes) -> str | None:
    """``data`` as text; None where it isn't one.

    From 24 bytes on: at most a tenth are control characters or no UTF-8 (one odd byte makes nothing opaque). Below, where chance
    does more: no more signs than letters and blanks, too, and all of it UTF-8 but for a cut end.
    """
    controls = len(data) - len(data.translate(None, _UNREADABLE))
    if not data or controls * 10 > len(data):
        return None
    text = data.decode("utf-8", "ignore")
    known = text.encode()
    if len(data) >= _ENOUGH_BYTES:
        return text if len(known) * 10 >= len(data) * 9 else None
    signs = len(data) - len(data.translate(None, _SIGNS))
    return text if signs * 2 <= len(data) and len(data) - len(known) < 4 and data.startswith(known) else None


def _hex(run: str, inner: Callable[[str], str]) -> str:
    digits = _NOT_HEX.sub("", run)
    # Rows of two-digit numbers are hex as well; encoded words hold an l, m, n or o, which are 6c to 6f.
    plain = None if digits.isdigit() or len(digits) % 2 else _readable(bytes.fromhex(digits))
    if plain is not None:
        return inner(plain)
    return _TOKEN.sub(_opaque, run) if len(run) >= _SHORTEST_OPAQUE else run


@cache
def _spelt() -> Finder:
    return Finder(*_SPELT)


def _opaque(found: re.Match[str]) -> str:
    """One word for what only a machine reads: 32 or more letters with digits among them that change kind often."""
    run = found[0]
    digits, capitals = sum(map(str.isdigit, run)), sum(map(str.isupper, run))
    letters = len(run) - digits
    mixed = capitals * 8 >= letters and (letters - capitals) * 8 >= letters
    return OPAQUE if len(run) >= _SHORTEST_OPAQUE and digits and (mixed or digits * 8 >= len(run)) else run


def _characters(data: bytes, otherwise: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return otherwise


def _unescaped(found: re.Match[str]) -> str:
    escaped = found[0]
    if escaped[1] == "x":
        return _characters(bytes.fromhex(escaped.replace("\\x", "")), escaped)
    return bytes.fromhex(escaped.replace("\\u", "")).decode("utf-16-be", "ignore")


def _referred(found: re.Match[str]) -> str:
    code = int(found[1]) if found[1] else int(found[2], 16)
    return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else found[0]
