"""What the client is told of a delay or a degraded answer: a header, and where the policy says so a field of the answer.

The header is a dictionary of RFC 9651 with the words of the decision log: ``budget=512, logprobs, reasoning`` or ``delay=1.5``.
A grant that is told is told, whatever the rule says: whoever measures the model with the operator's word has to know that
this was not the model as it is.
"""

from __future__ import annotations

from guard.fields import Display, write_dictionary
from guard.types import Decision, Headers, JSONObject

NOTICE = b"x-guard-notice"
REFERENCE = b"x-guard-reference"
_DEGRADED = "This answer was reduced by the operator's rules."
_DELAYED = "This answer was delayed by the operator's rules."
_WAY_BACK = " If you think this is a mistake, contact the operator and name the reference."


def notice(decision: Decision) -> str:
    """How the client is told: ``header``, ``body`` (both) or ``none``."""
    return "header" if decision.notice == "none" and decision.grant and decision.told else decision.notice


def notice_headers(decision: Decision) -> Headers:
    """The header that tells it, and the reference; none where the client is not told."""
    if notice(decision) == "none":
        return ()
    return (
        (REFERENCE, decision.reference.encode("ascii", "ignore")),
        (NOTICE, write_dictionary({name: _written(value) for name, value in _done(decision).items()}).encode()),
    )


def notice_body(decision: Decision) -> JSONObject | None:
    """What goes into the answer under ``guard``; None: nothing does."""
    if notice(decision) != "body":
        return None
    sentence = decision.public or (_DEGRADED if decision.reductions else _DELAYED) + _WAY_BACK
    return {"reference": decision.reference, "action": decision.action, **_done(decision), "message": sentence}


def _done(decision: Decision) -> dict[str, object]:
    done = dict(decision.reductions)
    if decision.delay_s:
        done["delay"] = round(decision.delay_s, 3)
    return done


def _written(value: object) -> object:
    """A model's name may be any text."""
    return Display(value) if isinstance(value, str) and not value.isascii() else value
