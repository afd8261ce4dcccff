"""Marks against their written specification (``guard/plain``), said in the plainest way."""

from __future__ import annotations

import re
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.plain import marks as under_test
from guard.plain.marks import APART, ESCAPED, LEET, MORSE, ROTATED, RUN, SPELT, marks
from guard.plain.rotation import COMMON, rotates, rotation

PIECES = st.sampled_from(
    ["%", "%4", "%4f", "%zz", "\\x", "\\u", "&#", "&", "a", "B", "1", "0", "00", " ", "-", "_", ".-", ".-.", "th1nk", "p@ss",
     "wa|k", "the ", "gur ", "naq ", "a b c d e", "1 2 3 4 5", "a 1 b 2 3", "1 a 2 b 3", "x" * 23, "y" * 24, "7" * 24, "ff 0a ",
     "?", "\n", "!", "$", "{", "~", "l", "Lll", "house "]
)  # fmt: skip


def spaced(text: str) -> str:
    """Letters in lower case with i for l, 0 for digits, blanks for all else."""
    return re.sub(r"[^0-9a-z]", " ", re.sub("[0-9]", "0", text.lower().replace("l", "i")))


def stretches(words: str) -> list[list[str]]:
    size = len(words)
    if size <= 160:
        return [words.split()]
    parts = 2 if size <= 480 and size > 320 else 3 if size <= 640 and size > 480 else 4 if size > 640 else 1
    return [words[size * i // parts :].split()[:20] for i in range(parts)] + [words.split()[-20:]]


def slowly(text: str) -> int:
    found = 0
    found |= RUN * bool(re.search(r"[0-9A-Za-z]{24}", text))
    escapes = text.count("\\x") + text.count("\\u"), text.count("&#")
    found |= ESCAPED * bool(re.search(r"%[0-9A-Fa-f]{2}", text) or max(escapes) > 2)
    found |= MORSE * (".-." in text)
    found |= LEET * bool(re.search(r"[A-Za-z][0-9!@$|][A-Za-z]", text))
    for i in range(len(text) - 8):
        row, between = text[i : i + 9 : 2], text[i + 1 : i + 8 : 2]
        alone = all(map(str.isalnum, row)) and not any(map(str.isalnum, between))
        found |= APART * (alone and sum(map(str.isalpha, row[:3])) >= 2)
    common = {word.replace("l", "i") for word in COMMON}
    for stretch in stretches(spaced(text)):
        if common.isdisjoint(stretch):
            letters = "".join(re.sub("00+", "0", word) for word in stretch)
            if len(stretch) >= 8 and len(letters) <= 4 * len(stretch):
                found |= SPELT * (sum(set(word) <= set("0abcdefx") for word in stretch) >= 8)
                found |= APART * (len(letters) <= 2 * len(stretch))
            found |= ROTATED * (rotation(letters.encode()) > 0)
    return found


def quickly(text: str) -> int:
    return marks(text.encode(), spaced(text).encode())


@given(st.lists(PIECES, max_size=120).map("".join))
@settings(max_examples=500, deadline=None)
def test_the_specification_on_any_mixture(text: str) -> None:
    """What one pass of an automaton finds is what the specification says, however marks run into each other."""
    assert quickly(text) == slowly(text)


@pytest.mark.parametrize("size", [*range(156, 166), *range(316, 326), *range(476, 486), *range(636, 646), 2_000])
def test_the_specification_where_stretches_part(size: int) -> None:
    """Words with and without a common one among them, around the sizes at which stretches are counted anew."""
    dice = Random(size)
    for kind in (["gur", "naq", "house"], ["the", "gur", "b", "river"], ["a", "0", "f", "ee"]):
        text = "".join(dice.choice(kind) + " " for _ in range(size))[:size]
        assert quickly(text) == slowly(text)


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("see " + "q" * 24, RUN),
        ("100%25", ESCAPED),
        ("&#1;&#2;&#3;", ESCAPED),
        (".-.", MORSE),
        ("th1nk", LEET),
        ("t h i n k", APART),
        ("think of the house", 0),
        ("1 2 3 4 5 6 7", 0),
        ("&#1;&#2; \\x41\\x42", 0),
    ],
)
def test_each_mark(text: str, mark: int) -> None:
    """Each mark by itself, and what falls just short of it."""
    assert quickly(text) & ~(SPELT | ROTATED) == mark


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz0", max_size=200))
@settings(deadline=None)
def test_rotation_is_told_by_its_sum(letters: str) -> None:
    """The quick look leaves nothing out that the sum in nats finds."""
    assert rotates(letters.encode()) == (rotation(letters.encode()) > 0)


def test_a_glance_is_shorter_than_a_stretch() -> None:
    """A common word that the glance sees is one of the stretch: it never holds more words than that."""
    assert under_test._GLANCE_BYTES <= 2 * under_test._STRETCH
