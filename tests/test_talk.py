from __future__ import annotations

import hashlib

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
