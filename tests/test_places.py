"""Where the keys of a TOML text stand."""

from __future__ import annotations

import json
import tomllib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from guard.places import Path, locate, nearest_line

TEXT = '''# a comment with [brackets] = "quotes"
version = 1
"a b".c = 1

[protect]
routes = ["/v1/*",   # not the end ] }
  { path = "/g", dialect = "json" },
  """many
lines""",
  3 ]

[[limit]]
id = "x"
when = { tier = "free", not = { band = [ "low",
 "watch" ] } }
[[limit]]
id = 'y'
[limit.deeper]
at = 1979-05-27 07:32:00
[models."gpt-5*"]
input = 1.0
"\\u0061\\t" = 2
'''


def test_every_kind_of_place_is_found() -> None:
    """Keys, quoted and dotted keys, tables, lists of tables, inline tables, list items, strings over several lines."""
    lines = locate(TEXT)
    expected = {
        ("version",): 2,
        ("a b", "c"): 3,
        ("protect",): 5,
        ("protect", "routes", 0): 6,
        ("protect", "routes", 1, "dialect"): 7,
        ("protect", "routes", 2): 8,
        ("protect", "routes", 3): 10,
        ("limit", 0): 12,
        ("limit", 0, "when", "not", "band", 1): 15,
        ("limit", 1, "id"): 17,
        ("limit", 1, "deeper", "at"): 19,
        ("models", "gpt-5*", "input"): 21,
        ("models", "gpt-5*", "a\t"): 22,
    }
    assert {path: lines.get(path) for path in expected} == expected


def test_what_is_missing_has_the_line_of_what_is_round_it() -> None:
    """A missing key stands where its table stands; a missing table nowhere."""
    lines = locate(TEXT)
    assert nearest_line(lines, ("limit", 1, "per")) == 16
    assert nearest_line(lines, ("protect", "routes", 9, "path")) == 6
    assert nearest_line(lines, ("rule",)) == 0


def test_a_text_that_cant_be_followed_gives_what_was_found() -> None:
    """The scanner never raises, whatever it is given; it decides nothing."""
    assert locate("a = 1\nb = [[[") == {("a",): 1, ("b",): 2, ("b", 0): 2, ("b", 0, 0): 2}
    assert locate("\n= 5") == {}
    assert locate("x = " + "[" * 100_000)


def paths_of(value: Any, path: Path = ()) -> set[Path]:
    """Every path of a parsed table."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {path}.union(*(paths_of(part, (*path, key)) for key, part in entries)) - {()}


_TEXTS = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=8)
_VALUES = st.recursive(
    st.integers() | _TEXTS.map(lambda text: f"{text}]}},\"'#"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=10,
)


def inline(value: Any) -> str:
    """A value as TOML, lists over several lines."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {inline(part)}" for key, part in value.items()) + " }"
    if isinstance(value, list):
        return "[ # ]\n" + ", # ,\n".join(inline(part) for part in value) + "\n]"
    return json.dumps(value) if isinstance(value, str) else str(value)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(_TEXTS, _VALUES, max_size=4))
def test_every_path_that_tomllib_sees_has_a_line(table: dict[str, Any]) -> None:
    """The scanner and the parser agree on the structure of any text, hostile strings and comments included."""
    text = "".join(f"{json.dumps(key)} = {inline(value)}\n" for key, value in table.items())
    lines = locate(text)
    assert paths_of(tomllib.loads(text)) == set(lines)
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())
