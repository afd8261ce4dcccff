"""Scans text for a file of patterns, in time that is bounded also on text an attacker chooses.

Hyperscan (Vectorscan) compiles all patterns into one automaton: no backtracking, so no pattern and no text can make it
explode; look-around and back-references, which could, are rejected when the file is read.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

import hyperscan

from guard.errors import InstallError

_BYTES = hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_SINGLEMATCH
_UNICODE = _BYTES | hyperscan.HS_FLAG_UTF8 | hyperscan.HS_FLAG_UCP


class Patterns:
    """One compiled pattern file of ``guard/patterns/``. Belongs to one thread (the scratch space is its own)."""

    __slots__ = ("_ascii", "_ascii_scratch", "_strengths", "_unicode", "_unicode_scratch")

    def __init__(self, name: str) -> None:
        """``name`` is the file's name without its ending. Raises ``InstallError`` for a file that can't be used."""
        self._strengths, self._unicode, self._ascii = _compiled(name)
        self._unicode_scratch = hyperscan.Scratch(self._unicode)
        self._ascii_scratch = hyperscan.Scratch(self._ascii)

    def reading(self, text: bytes) -> float:
        """1 − Π(1 − strength) over the patterns found in ``text`` (valid UTF-8); 0 where none is."""
        found: list[int] = []
        # On ASCII both find the same, and the automaton that knows no other letters takes a quarter of the time.
        if text.isascii():
            self._ascii.scan(text, _note, context=found, scratch=self._ascii_scratch)
        else:
            self._unicode.scan(text, _note, context=found, scratch=self._unicode_scratch)
        if not found:
            return 0.0
        missing = 1.0
        for id_ in found:
            missing *= 1.0 - self._strengths[id_]
        return 1.0 - missing


@cache
def _compiled(name: str) -> tuple[tuple[float, ...], hyperscan.Database, hyperscan.Database]:
    """The strengths and the automata of a file. Compiling takes half a second, and shipped files don't change."""
    try:
        table = tomllib.loads((files("guard") / "patterns" / f"{name}.toml").read_text(encoding="utf-8"))
        rows = [(row["text"].encode(), float(row["strength"])) for row in table["pattern"]]
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise InstallError(f"pattern file {name}.toml can't be read: {error}") from error
    automata = []
    for flags in (_UNICODE, _BYTES):
        database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        try:
            database.compile(
                expressions=[text for text, _ in rows],
                ids=list(range(len(rows))),
                elements=len(rows),
                flags=[flags] * len(rows),
            )
        except hyperscan.error as error:
            raise InstallError(f"pattern file {name}.toml does not compile: {error}") from error
        automata.append(database)
    return tuple(strength for _, strength in rows), automata[0], automata[1]


def _note(id_: int, start: int, end: int, flags: int, found: Any) -> None:
    found.append(id_)
