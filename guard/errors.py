"""Every error guard raises on purpose.

    GuardError
    ├── PolicyError            a policy that can't be used; carries every problem at once
    ├── InstallError           guard is set up in a way that can't work; the message says what to do
    ├── BadExchange            a request on a protected route that guard can't judge; becomes a 4xx in the dialect's shape
    ├── ExchangeLogError       a line of an exchange log that can't be replayed; carries the line's number
    ├── StateError             what stands in ``state_dir`` can't be read or written
    └── AdminError             the operator's channel refused or could not be reached

Foreign errors are translated into these at one edge each: JSON and compression in ``body.py``, TOML and pydantic in
``config.py``, sockets in ``admin.py``, files in ``recorder.py`` and ``stores/``.
"""

from __future__ import annotations

from dataclasses import dataclass


class GuardError(Exception):
    """Base of all errors of this package."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a policy file.

    ``place`` is the path in the file (``limit[0].requests``), ``line`` its line (0: the whole file), ``value`` what
    stands there, shortened, and ``hint`` what would be right, such as the nearest valid name.
    """

    place: str
    message: str
    value: str = ""
    hint: str = ""
    line: int = 0

    def __str__(self) -> str:
        where = f"line {self.line}: {self.place}" if self.line else self.place
        shown = f" (found {self.value})" if self.value else ""
        hint = f"; {self.hint}" if self.hint else ""
        return f"{where}: {self.message}{shown}{hint}"


class PolicyError(GuardError):
    """A policy that can't be used. ``problems`` holds every mistake, in the order of the file."""

    def __init__(self, source: str, problems: tuple[Problem, ...]) -> None:
        self.source = source
        self.problems = problems
        lines = "".join(f"\n  {problem}" for problem in problems)
        super().__init__(f"{source}: {len(problems)} mistake{'s' * (len(problems) != 1)}{lines}")


class InstallError(GuardError):
    """guard is installed in a way that can't work. The message ends with the remedy."""


class BadExchange(GuardError):  # noqa: N818 - the vocabulary's word, and it is answered rather than reported
    """A request on a protected route that can't be judged.

    ``status`` is the HTTP status to answer (400, 405, 408, 413, 415, …), ``reason`` a short stable name for records and
    metrics, ``public`` the sentence the client may read, ``private`` what the operator needs beyond it. Neither ever
    quotes the request.
    """

    def __init__(self, status: int, reason: str, public: str, private: str = "") -> None:
        self.status = status
        self.reason = reason
        self.public = public
        self.private = private or public
        super().__init__(f"{status} {reason}: {self.private}")


class ExchangeLogError(GuardError):
    """A line of an exchange log that can't be replayed; ``n`` counts from 0."""

    def __init__(self, n: int, message: str) -> None:
        self.n = n
        self.message = message
        super().__init__(f"line {n}: {message}")


class StateError(GuardError):
    """What stands in ``state_dir`` can't be read, written or locked. The message ends with the remedy."""


class AdminError(GuardError):
    """The operator's channel could not be reached, refused the call, or answered with an error."""
