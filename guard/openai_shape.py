"""What OpenAI's APIs have in common: the object that their clients make an exception of, and the report of what was used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from guard.counting import report_input, report_output
from guard.problem import problem
from guard.types import Decision, JSONObject, Tally

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


class OpenAIErrors:
    """What a dialect of OpenAI's says in the place of an answer, and at the end of one that is cut."""

    def error(self, decision: Decision) -> bytes:
        return orjson.dumps({"error": refusal(decision)})

    def error_event(self, decision: Decision) -> bytes:
        return b"data: " + self.error(decision) + b"\n\ndata: [DONE]\n\n"


def count_usage(payload: Mapping[str, Any], tally: Tally) -> None:
    """Takes the report of chat completions and completions, where there is one."""
    usage = payload.get("usage")
    if type(usage) is dict:
        report_input(usage.get("prompt_tokens"), tally)
        report_output(usage.get("completion_tokens"), tally)
