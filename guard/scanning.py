"""Scans text for every file of patterns at once, in time that is bounded also on text an attacker chooses.

Hyperscan (Vectorscan) compiles all expressions of all files into one automaton: no backtracking, so no expression and no
text can make it explode; look-around and back-references, which could, are rejected when the files are read. One pass
over a text serves every signal that reads it.

A pattern file (``guard/patterns/<name>.toml``, version 2) names *marks*: what a request of its kind says, with expressions
for each language. A mark counts once, in whatever language and however often it is found. Expressions are
matched without case on folded text (``plain``), so they are written folded and in lower case. The reading is
1 − Π(1 − strength) over the marks found and over the sets of marks (``[[together]]``) of which all are found.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
import tomllib
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any, NamedTuple

import hyperscan

from guard.errors import InstallError

VERSION = 2
_FLAGS = hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_UTF8
_LANGUAGE = re.compile(r"[a-z]{2,3}")


class Patterns:
    """The readings of one file of ``guard/patterns/``."""

    __slots__ = ("_bit", "_sets", "_threads")

    def __init__(self, name: str) -> None:
        """``name`` is the file's name without its ending. Raises ``InstallError`` for files that can't be used."""
        library = _library()
        if name not in library.sets:
            raise InstallError(f"there is no pattern file {name}.toml; there are: {', '.join(library.sets)}")
        self._sets = library.sets[name]
        self._bit = 1 << list(library.sets).index(name)
        self._threads = _threads()

    def reading(self, text: bytes) -> float:
        """1 − Π(1 − strength) over what is found in ``text`` (valid UTF-8); 0 where nothing is."""
        found = self._threads.scan.marks(text, self._bit)
        if not found:
            return 0.0
        missing = 1.0
        for marks, strength in self._sets:
            if found & marks == marks:
                missing *= 1.0 - strength
        return 1.0 - missing


class Finder(threading.local):
    """Which of a few expressions a text holds, in one pass. ``expressions`` are of bytes, case counts, and ``.`` is any byte."""

    def __init__(self, *expressions: bytes) -> None:
        automaton = _automaton(expressions)
        self._tools = automaton, hyperscan.Scratch(automaton)

    def found(self, text: bytes) -> list[int]:
        """The places among the expressions of those that are somewhere in ``text``, each once, in any order."""
        places: list[int] = []
        automaton, scratch = self._tools
        automaton.scan(text, _note, context=places, scratch=scratch)
        return places


class _Library(NamedTuple):
    """All pattern files, compiled. A mark is a bit; bits are numbered through all files."""

    sets: dict[str, tuple[tuple[int, float], ...]]
    """File → (marks that must all be found, strength)."""
    bits: tuple[int, ...]
    """Expression → its mark."""
    automaton: hyperscan.Database


class _Scan:
    """The last text that a thread scanned and the marks in it, kept until every file has read them.

    Hyperscan's scratch space is one thread's, and so is this. Once the last file has read, the text is let go.
    """

    __slots__ = ("_automaton", "_bits", "_everybody", "_found", "_scratch", "_text", "_waiting")

    def __init__(self) -> None:
        library = _library()
        self._bits = library.bits
        self._automaton = library.automaton
        self._scratch = hyperscan.Scratch(library.automaton)
        self._everybody = (1 << len(library.sets)) - 1
        self._waiting = 0
        self._text = b""
        self._found = 0

    def marks(self, text: bytes, reader: int) -> int:
        """The marks in ``text``. A reader that asks again has it scanned again."""
        if text is not self._text or not self._waiting & reader:
            ids: list[int] = []
            self._automaton.scan(text.lower(), _note, context=ids, scratch=self._scratch)
            found = 0
            bits = self._bits
            for id_ in ids:
                found |= bits[id_]
            self._found = found
            self._text = text
            self._waiting = self._everybody
        self._waiting &= ~reader
        if not self._waiting:
            self._text = b""
        return self._found


class _Threads(threading.local):
    """Every thread's own. What is looked up in here takes three times as long as elsewhere, so there is one thing in it."""

    def __init__(self) -> None:
        self.scan = _Scan()


@cache
def _threads() -> _Threads:
    return _Threads()


@cache
def _library() -> _Library:
    """Reads every pattern file. Shipped files don't change."""
    sets: dict[str, tuple[tuple[int, float], ...]] = {}
    expressions: list[tuple[str, bytes]] = []
    bits: list[int] = []
    names: dict[str, int] = {}
    folder = files("guard") / "patterns"
    for name in sorted(path.name.removesuffix(".toml") for path in folder.iterdir() if path.name.endswith(".toml")):
        try:
            table = tomllib.loads((folder / f"{name}.toml").read_text(encoding="utf-8"))
            if table["version"] != VERSION:
                raise ValueError(f"version {table['version']}; this guard reads version {VERSION}")
            marks: dict[str, tuple[int, float]] = {}
            for mark, row in table["marks"].items():
                bit = names.setdefault(f"{name}/{mark}", 1 << len(names))
                marks[mark] = bit, _strength(row["strength"])
                for language, texts in row.items():
                    if language != "strength":
                        new = _expressions(language, texts)
                        expressions += ((f"{name}.toml, mark {mark}, {language}", text) for text in new)
                        bits += [bit] * len(new)
            together = tuple(
                (sum(marks[mark][0] for mark in set(row["marks"])), _strength(row["strength"]))
                for row in table.get("together", ())
            )
        except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
            raise InstallError(f"pattern file {name}.toml can't be read: {error}") from error
        sets[name] = (*(pair for pair in marks.values() if pair[1]), *together)
    return _Library(sets, tuple(bits), _kept(expressions))


def _kept(expressions: list[tuple[str, bytes]]) -> hyperscan.Database:
    """The automaton that an earlier start has compiled of the same expressions; else it is compiled and kept, which takes more than a
    second. It lies among Python's own compiled files: whoever can write there can change the program itself."""
    made_of = repr([(text, _flags(text)) for _, text in expressions])
    name = f"patterns.{blake2b(made_of.encode(), digest_size=8).hexdigest()}.hs"
    place = Path(cache_from_source(f"{files('guard')}/patterns.py")).with_name(name)
    try:
        return hyperscan.loadb(place.read_bytes(), hyperscan.HS_MODE_BLOCK)
    except (OSError, hyperscan.error):
        # There is none, or it is damaged, or made by another version or for another processor.
        automaton = _compiled(expressions)
    if not sys.dont_write_bytecode:
        with contextlib.suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            for former in place.parent.glob("patterns.*.hs"):
                former.unlink(missing_ok=True)
            unfinished = place.with_name(f"{name}.{os.getpid()}")
            unfinished.write_bytes(hyperscan.dumpb(automaton))
            unfinished.replace(place)
    return automaton


@cache
def _automaton(expressions: tuple[bytes, ...]) -> hyperscan.Database:
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=expressions,
        ids=list(range(len(expressions))),
        elements=len(expressions),
        flags=[hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_DOTALL] * len(expressions),
    )
    return database


def _strength(value: Any) -> float:
    if not 0.0 <= value < 1.0:
        raise ValueError(f"strength {value} must be at least 0 and below 1")
    return float(value)


def _expressions(language: str, texts: Any) -> list[bytes]:
    if not _LANGUAGE.fullmatch(language):
        raise ValueError(f"{language!r} is no language code")
    texts = [texts] if isinstance(texts, str) else texts
    for text in texts:
        if text != text.lower():
            raise ValueError(f"{text!r} must be in lower case")
    return [text.encode() for text in texts]


def _flags(expression: bytes) -> int:
    # The text comes in lower case as far as ASCII goes, and automata without case are larger and slower.
    if all(char.isascii() or char.upper() == char for char in expression.decode()):
        return _FLAGS
    return _FLAGS | hyperscan.HS_FLAG_CASELESS


def _compiled(expressions: list[tuple[str, bytes]]) -> hyperscan.Database:
    """One automaton for (where it stands, expression); ids count from 0."""
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    try:
        database.compile(
            expressions=[text for _, text in expressions],
            ids=list(range(len(expressions))),
            elements=len(expressions),
            flags=[_flags(text) for _, text in expressions],
        )
    except hyperscan.error as error:
        if len(expressions) > 1:  # the error doesn't say which one it was
            for expression in expressions:
                _compiled([expression])
        raise InstallError(f"the expression of {expressions[0][0]} does not compile: {error}") from error
    return database


def _note(id_: int, start: int, end: int, flags: int, found: Any) -> None:
    found.append(id_)
