from __future__ import annotations

import hmac
from pathlib import Path

import pytest

from guard.admin_token import MAX_GUESSERS, WRONG_PERIOD_S, WRONG_TOKENS, AdminToken, read_token
from guard.errors import InstallError

NOW = 1_700_000_000.0
GOOD = "kP9vTq3mZr7xWb2nYd5hLs8fGc4jRa6u"


def token_file(folder: Path, text: str, mode: int = 0o600) -> str:
    path = folder / "key"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


BAD = [
    ("", "0 bytes"),
    ("\n", "0 bytes"),
    (GOOD[:31], "31 bytes"),
    ("a" * 64, "can be guessed"),
    ("0123456789abcdef" * 4, "can be guessed"),
    ("ab12cd34ef" * 4, "can be guessed"),
    ("changeme" + GOOD, "can be guessed"),
    (GOOD + "-DEFAULT", "can be guessed"),
]


@pytest.mark.parametrize(("text", "sentence"), BAD)
def test_tokens_that_nobody_drew_are_refused(tmp_path: Path, text: str, sentence: str) -> None:
    """Empty, short, repeated and default tokens: guard doesn't start with them, and says how to make one (SECURITY 132)."""
    with pytest.raises(InstallError, match=sentence) as caught:
        AdminToken(token_file(tmp_path, text))
    assert "/dev/urandom" in str(caught.value)
    assert not text.strip() or text.strip() not in str(caught.value)


def test_a_token_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """0600, else it is everybody's."""
    with pytest.raises(InstallError, match="others may read"):
        read_token(token_file(tmp_path, GOOD, 0o640))


@pytest.mark.parametrize("path", ["", "nowhere/key"])
def test_a_missing_token_is_refused(path: str) -> None:
    """TCP without a token doesn't start (SECURITY 132)."""
    with pytest.raises(InstallError, match="token"):
        AdminToken(path)


def test_the_right_token_is_accepted(tmp_path: Path) -> None:
    """With the line break that ``echo`` leaves behind."""
    token = AdminToken(token_file(tmp_path, GOOD + "\n"))
    assert token.accepts(GOOD, "192.0.2.1", NOW) == (True, False)


@pytest.mark.parametrize(
    "wrong", ["", None, 7, [GOOD], {"a": GOOD}, GOOD[:-1], GOOD + "x", "' OR '1'='1", "*", "\x00", "\ud800", "{{7*7}}"]
)
def test_nothing_else_is_accepted(tmp_path: Path, wrong: object) -> None:
    """Other types, SQL, NoSQL and Redis-ish strings, and texts that are no text are just wrong tokens (SECURITY 133)."""
    assert AdminToken(token_file(tmp_path, GOOD)).accepts(wrong, "192.0.2.1", NOW) == (False, True)


def test_digests_of_equal_length_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison is ``hmac.compare_digest`` and sees the same two lengths whatever was sent (SECURITY 135)."""
    token = AdminToken(token_file(tmp_path, GOOD))
    seen: list[tuple[int, int]] = []
    real = hmac.compare_digest

    def compare(a: bytes, b: bytes) -> bool:
        seen.append((len(a), len(b)))
        return real(a, b)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    for number, sent in enumerate((GOOD, "", "x", GOOD[0], "y" * 100_000)):
        token.accepts(sent, f"192.0.2.{number}", NOW)
    assert seen == [(32, 32)] * 5


def test_who_guesses_is_not_listened_to_for_a_minute(tmp_path: Path) -> None:
    """After five wrong tokens even the right one is refused from there, not from elsewhere (SECURITY 137)."""
    token = AdminToken(token_file(tmp_path, GOOD))
    told = [token.accepts(f"guess{number}", "192.0.2.1", NOW)[1] for number in range(WRONG_TOKENS)]
    assert told == [True, False, False, False, False]
    assert token.accepts(GOOD, "192.0.2.1", NOW)[0] is False
    assert token.accepts(GOOD, "192.0.2.2", NOW)[0] is True
    assert token.accepts(GOOD, "192.0.2.1", NOW + WRONG_PERIOD_S)[0] is True


def test_the_table_of_guessers_is_bounded(tmp_path: Path) -> None:
    """A million addresses cost no memory; those beyond the table share one count."""
    token = AdminToken(token_file(tmp_path, GOOD))
    for number in range(MAX_GUESSERS + 100):
        token.accepts("x", f"address {number}", NOW)
    assert len(token._guesses) == MAX_GUESSERS + 1
    assert token.accepts(GOOD, "another address", NOW)[0] is False
