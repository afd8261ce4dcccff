"""The token of the operator's channel over TCP: one worth having, compared in constant time, not to be guessed."""

from __future__ import annotations

import hmac
import os
from hashlib import sha256

from guard.errors import InstallError

MIN_TOKEN_BYTES = 32
MIN_DISTINCT_BYTES = 8
WRONG_TOKENS = 5
WRONG_PERIOD_S = 60.0
MAX_GUESSERS = 1024
# What shows up in tokens that nobody drew at random.
DEFAULT_WORDS = (
    b"changeme",
    b"change-me",
    b"change_me",
    b"default",
    b"example",
    b"password",
    b"secret",
    b"token",
    b"admin",
)


class AdminToken:
    """Holds the digest of the token in a file, and who guessed wrong lately, in a bounded table.

    An address with five wrong tokens in a minute isn't listened to until the minute is over; addresses beyond the table
    share one count. Raises ``InstallError`` for a file or token that won't do.
    """

    __slots__ = ("_digest", "_guesses", "_period", "wrong")

    def __init__(self, path: str) -> None:
        self.wrong = 0
        """Wrong tokens so far, those that were not even looked at included."""
        self._digest = sha256(read_token(path)).digest()
        self._guesses: dict[str, int] = {}
        self._period = 0.0

    def accepts(self, token: object, address: str, now: float) -> tuple[bool, bool]:
        """Whether that is the token, and whether it was the first wrong one of this address in this minute.

        Digests are compared, so both sides are equally long whatever was sent.
        """
        if now - self._period >= WRONG_PERIOD_S:
            self._guesses.clear()
            self._period = now
        slot = address if address in self._guesses or len(self._guesses) < MAX_GUESSERS else "others"
        guesses = self._guesses.get(slot, 0)
        if guesses < WRONG_TOKENS:
            given = sha256(token.encode("utf-8", "surrogatepass") if isinstance(token, str) else b"").digest()
            if hmac.compare_digest(given, self._digest):
                return True, False
            self._guesses[slot] = guesses + 1
        self.wrong += 1
        return False, guesses == 0


def read_token(path: str) -> bytes:
    """The token in a file that only its owner may read. Raises ``InstallError`` for a file or token that won't do."""
    remedy = "write a new one: (umask 077; head -c 32 /dev/urandom | base64 > TOKEN_FILE)"
    if not path:
        raise InstallError(f"[admin] tcp needs token_file; {remedy}")
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            token = file.read(4096).strip()
    except OSError as error:
        raise InstallError(f"the token file {path} can't be read: {error.strerror}; {remedy}") from error
    if mode & 0o077:
        raise InstallError(f"others may read the token file {path}: chmod 600 it, and {remedy}")
    if len(token) < MIN_TOKEN_BYTES:
        raise InstallError(
            f"the token in {path} has {len(token)} bytes, at least {MIN_TOKEN_BYTES} are needed; {remedy}"
        )
    if len(set(token)) < MIN_DISTINCT_BYTES or _repeats(token) or any(word in token.lower() for word in DEFAULT_WORDS):
        raise InstallError(f"the token in {path} can be guessed; {remedy}")
    return token


def _repeats(token: bytes) -> bool:
    """Whether it is a shorter text over and over."""
    lengths = range(1, len(token) // 2 + 1)
    return any(token == (token[:length] * (len(token) // length + 1))[: len(token)] for length in lengths)
