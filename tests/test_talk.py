from __future__ import annotations

import hashlib
import random

import pytest

from guard import talk
from guard.talk import is_prefix, prefix, sealed_prefixes


def test_a_prefix_is_what_the_log_format_says() -> None:
    """The first 16 hex digits of SHA-256 over ``assistant``, a newline and the text in NFC, however it was composed."""
    wanted = hashlib.sha256(b"assistant\n" + "déjà vu".encode()).hexdigest()[:16]
    assert prefix("déjà vu") == wanted
    assert prefix("déjà vu") == wanted
    assert prefix("deja vu") != wanted


def test_an_empty_answer_has_none() -> None:
    """Everybody may have received nothing."""
    assert prefix("") == ""


def test_lone_surrogates_are_hashed_all_the_same() -> None:
    """Whatever a model writes, nothing is raised."""
    assert is_prefix(prefix("\ud800"))


def test_a_signature_is_known_by_both_names() -> None:
    """A log may hash it as an answer, or by itself."""
    assert sealed_prefixes("c2ln") == (prefix("c2ln"), hashlib.sha256(b"c2ln").hexdigest()[:16])


def test_what_is_no_prefix_is_told_apart() -> None:
    """16 digits, lower case, text."""
    assert is_prefix("0123456789abcdef")
    assert not any(is_prefix(one) for one in ("", "0123456789ABCDEF", "0123", 7, None, "0123456789abcdeg"))


@pytest.mark.parametrize("held_bytes", [1, 7, 64])
@pytest.mark.parametrize(
    "letters",
    ["ab c\n", "e\u0301a\u0308\u0323 \u00e9", "\u6c34\u706b", "\u1112\u1161\u11ab\uac00", "\ud83d\ude00\U0001f600x"],
)
def test_a_text_has_one_name_however_it_comes(monkeypatch: pytest.MonkeyPatch, held_bytes: int, letters: str) -> None:
    """In pieces of whatever length, of which some end within a character and some between a letter and its accent."""
    monkeypatch.setattr(talk, "HELD_BYTES", held_bytes)
    for seed in range(40):
        dice = random.Random(seed)
        text = "".join(dice.choices(letters, k=dice.randrange(1, 200)))
        data, growing = text.encode("utf-8", "surrogatepass"), talk.Growing()
        while data:
            size = dice.randrange(1, 9)
            growing.add(data[:size])
            data = data[size:]
        assert growing.prefix() == growing.prefix() == prefix(text)


def test_a_long_text_costs_no_more_for_having_no_ascii_in_it() -> None:
    """What can't be cut is not joined anew for each piece."""
    growing, piece, joined = talk.Growing(), "\u6c34".encode(), 0
    for _ in range(100_000):
        before = len(growing._pieces)
        growing.add(piece)
        joined += len(growing._pieces) < before
    assert joined < 8
    assert growing.prefix() == prefix("\u6c34" * 100_000)


def test_what_is_no_text_ends_no_stream() -> None:
    """An app may send any bytes; the answer then has a name that nobody brings back."""
    growing = talk.Growing()
    for _ in range(10):
        growing.add(b"a\xff\xe6" * talk.HELD_BYTES)
    assert is_prefix(growing.prefix())
