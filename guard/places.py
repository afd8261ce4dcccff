"""Where the keys of a TOML text stand: path → line, so that a mistake can be shown with its place.

``tomllib`` gives values without positions. This scanner only follows the structure (headers, keys, strings, lists, inline
tables) of a text that ``tomllib`` has accepted; it never decides what is valid. It runs only when there is something to say.
"""

from __future__ import annotations

import re

Path = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t]|\r?\n|#[^\n]*)+")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'',
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}\n#]+")
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\"}
_ESCAPE = re.compile(r'\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|[btnfr"\\])')


def locate(text: str) -> dict[Path, int]:
    """Path of every table, key and list item → its line, from 1. A text too strange to follow gives what was found."""
    scanner = _Scanner(text)
    try:
        scanner.document()
    except (IndexError, RecursionError):
        return scanner.lines
    return scanner.lines


def nearest_line(lines: dict[Path, int], path: Path) -> int:
    """The line of a path, or of the nearest thing round it that has one; 0: none has."""
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return 0


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Path, int] = {}
        self._line, self._counted = 1, 0
        self._arrays: dict[Path, int] = {}

    def document(self) -> None:
        base: Path = ()
        while self._blank() < len(self.text):
            if self.text[self.at] == "[":
                base = self._header()
            else:
                self._pair(base)

    def _blank(self) -> int:
        found = _BLANK.match(self.text, self.at)
        if found:
            self.at = found.end()
        return self.at

    def _mark(self, path: Path) -> None:
        self._line += self.text.count("\n", self._counted, self.at)
        self._counted = self.at
        self.lines.setdefault(path, self._line)

    def _header(self) -> Path:
        repeated = self.text.startswith("[[", self.at)
        start = self.at
        self.at += 2 if repeated else 1
        keys = self._keys()
        end, self.at = self.at, start
        path: Path = ()
        for key in keys[:-1]:
            path = self._latest((*path, key))
        path = (*path, keys[-1])
        if repeated:
            self._arrays[path] = self._arrays.get(path, -1) + 1
            self._mark(path)
        path = self._latest(path)
        self._mark(path)
        self.at = end + (2 if repeated else 1)
        return path

    def _latest(self, path: Path) -> Path:
        return (*path, self._arrays[path]) if path in self._arrays else path

    def _keys(self) -> list[str]:
        keys: list[str] = []
        while True:
            self._blank()
            found = _STRING.match(self.text, self.at) or _BARE.match(self.text, self.at)
            if found is None:
                raise IndexError(self.at)
            self.at = found.end()
            keys.append(_plain(found.group()))
            self._blank()
            if self.text[self.at] != ".":
                return keys
            self.at += 1

    def _pair(self, base: Path) -> None:
        start = self.at
        keys = self._keys()
        end, self.at = self.at, start
        path = base
        for key in keys:
            path = (*path, key)
            self._mark(path)
        self.at = end + 1
        self._blank()
        self._value(path)

    def _value(self, path: Path) -> None:
        self._mark(path)
        opening = self.text[self.at]
        found = _STRING.match(self.text, self.at)
        if found:
            self.at = found.end()
        elif opening == "[":
            self._items(path, "]")
        elif opening == "{":
            self._items(path, "}")
        else:
            scalar = _SCALAR.match(self.text, self.at)
            if scalar is None:
                raise IndexError(self.at)
            self.at = scalar.end()

    def _items(self, path: Path, closing: str) -> None:
        self.at += 1
        number = 0
        self._blank()
        while self.text[self.at] != closing:
            if closing == "]":
                self._value((*path, number))
            else:
                self._pair(path)
            number += 1
            self._blank()
            if self.text[self.at] == ",":
                self.at += 1
                self._blank()
        self.at += 1


def _plain(key: str) -> str:
    if key.startswith("'"):
        return key[1:-1]
    if not key.startswith('"'):
        return key
    return _ESCAPE.sub(_unescaped, key[1:-1])


def _unescaped(found: re.Match[str]) -> str:
    code = found.group(1)
    return chr(int(code[1:], 16)) if code[0] in "uU" else _ESCAPES[code]
