"""A refusal as OpenAI's APIs say it: the object that their clients make an exception of."""

from __future__ import annotations

from typing import Final

from guard.problem import problem
from guard.types import Decision, JSONObject

# Status → (type, code).
_ERRORS: Final = {
    400: ("invalid_request_error", "invalid_request"),
    401: ("authentication_error", "invalid_api_key"),
    403: ("permission_error", "request_refused"),
    404: ("invalid_request_error", "not_found"),
    405: ("invalid_request_error", "method_not_allowed"),
    408: ("invalid_request_error", "request_timeout"),
    413: ("invalid_request_error", "request_too_large"),
    415: ("invalid_request_error", "unsupported_media_type"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
}
_OTHER: Final = ("server_error", "unavailable")


def refusal(decision: Decision) -> JSONObject:
    """``message``, ``type``, ``param`` and ``code``, and the problem details of RFC 9457 beside them."""
    kind, code = _ERRORS.get(decision.status, _OTHER)
    return {
        "message": decision.public,
        "type": kind,
        "param": None,
        "code": code,
        "problem": problem(decision),
    }
