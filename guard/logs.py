"""What guard writes to the standard ``logging`` module: logger ``guard``, one line an event, stable names.

Operators' alerts hang on these lines, so names and field names are an interface: they are listed in ``EVENTS`` and never
change their meaning. A line is ``event field=value …`` with JSON values in ASCII, so no value can start a second line or
move a terminal's cursor. An event is written at most once a second; what was left out is told by the next line
(``repeated=…``). Those of ``SETUP`` are excepted: they come from starting and reloading, never from traffic. Fields never hold a prompt, an answer, a credential, an address or a raw id.

Nothing is configured here: level, format and destination are the application's.
"""

from __future__ import annotations

import json
import logging
from types import MappingProxyType

MIN_INTERVAL_S = 1.0
MAX_VALUE = 300

EVENTS = MappingProxyType(
    {
        "start": "guard protects an app; fields: mode, policy, digest",
        "stop": "guard ends",
        "routes": 'at start-up, a line for each route of the app; fields: path, dialect (or "not protected")',
        "warning": "guard runs, but something about its surroundings will cost the operator; field: what",
        "reload": "a changed policy is in force; fields: policy, digest, loosened",
        "reload_failed": "a changed policy has mistakes; the last good one stays in force; field: why",
        "loosened": "a change made the protection weaker; fields: by, what",
        "mode": "the operator changed the mode; fields: mode, until, by",
        "stage_error": "a part of guard failed and the fail mode of that part was taken; fields: stage, error",
        "audit_failed": "the audit file can't be written; fields: file, why, lost",
        "record_failed": "the exchange log can't be written; fields: file, why, lost",
        "snapshot_failed": "state could not be saved; field: why",
        "store": "the shared store went (state: local), is back (up), or fails now and then; fields: state, since, errors",
        "upstream": "a gateway's upstream failed and the client was told so; fields: what, error",
        "admin": "the operator's channel: listening, refused, closed; field: what",
        "admin_denied": "somebody gave the operator's channel a wrong token; field: times",
    }
)


SETUP = frozenset({"start", "stop", "routes", "warning", "reload"})


class Log:
    """Writes events. One for each guard; time is the caller's."""

    __slots__ = ("_last", "_logger", "_repeated")

    def __init__(self) -> None:
        self._logger = logging.getLogger("guard")
        self._last: dict[str, float] = {}
        self._repeated: dict[str, int] = {}

    def event(
        self, name: str, now: float, level: int = logging.INFO, *, every_s: float = 0.0, **fields: object
    ) -> bool:
        """Writes one line, unless traffic's same event was written within the last second (or ``every_s``, if that is longer).

        ``name`` is a key of ``EVENTS`` (another one is a ``KeyError``). Returns whether it was written.
        """
        EVENTS[name]
        if not self._logger.isEnabledFor(level):
            return False
        last = self._last.get(name)
        if name not in SETUP and last is not None and 0.0 <= now - last < max(MIN_INTERVAL_S, every_s):
            self._repeated[name] = self._repeated.get(name, 0) + 1
            return False
        self._last[name] = now
        repeated = self._repeated.pop(name, 0)
        if repeated:
            fields["repeated"] = repeated
        self._logger.log(level, "%s", line(name, fields))
        return True


def line(name: str, fields: dict[str, object]) -> str:
    """``name field=value …`` in printable ASCII."""
    return " ".join([name, *(f"{field}={_shown(value)}" for field, value in fields.items())])


def _shown(value: object) -> str:
    if isinstance(value, str):
        return json.dumps(value[:MAX_VALUE]).replace("\x7f", "\\u007f")
    return json.dumps(value, default=str)[: MAX_VALUE * 4].replace("\x7f", "\\u007f")
