"""What a refusal says: the problem details of RFC 9457 and the response's headers.

Problem types and the RateLimit fields are those of draft-ietf-httpapi-ratelimit-headers-11. Nothing here tells a score, a
band or a signal: a client reads which limit ran out, how long to wait, and a reference for the operator.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Final
from zlib import crc32

from guard.fields import LARGEST_INTEGER, Item, write_list
from guard.types import Decision, Headers, JSONObject, Quota

_TYPES: Final = "https://iana.org/assignments/http-problem-types#"
QUOTA_EXCEEDED: Final = _TYPES + "quota-exceeded"
ABNORMAL_USAGE: Final = _TYPES + "abnormal-usage-detected"
BLANK: Final = "about:blank"
# SDKs sleep as long as they are told, so they are never told more than this.
MAX_RETRY_AFTER_S: Final = 60
_CUT_SPREAD_S: Final = 7
_TITLES: Final = {
    QUOTA_EXCEEDED: "Request cannot be satisfied as assigned quota has been exceeded",
    ABNORMAL_USAGE: "Request not satisfied due to detection of abnormal request pattern",
}
_JOINT: Final = (("ceiling",), ("pool",))
_UNITS: Final = {"requests": "requests", "tokens": "tokens", "concurrent": "concurrent-requests"}


def problem(decision: Decision) -> JSONObject:
    """The problem object of a decision, for the body of its refusal."""
    kind = problem_type(decision)
    details: JSONObject = {
        "type": kind,
        "title": _TITLES.get(kind) or _phrase(decision.status),
        "status": decision.status,
        "detail": decision.public,
        "reference": decision.reference,
    }
    if decision.verify_at:
        details["verify_at"] = decision.verify_at
    if kind == QUOTA_EXCEEDED:
        details["violated-policies"] = list(violated(decision))
    return details


def problem_type(decision: Decision) -> str:
    """``QUOTA_EXCEEDED`` where a limit ran out (the action is ``limit`` and no rule named it), ``ABNORMAL_USAGE`` where a
    rule acted on an account above the band ``low``, ``BLANK`` for everything else."""
    if decision.action == "limit" and not decision.rule:
        return QUOTA_EXCEEDED
    return ABNORMAL_USAGE if decision.rule and decision.band not in ("", "low") else BLANK


def violated(decision: Decision) -> tuple[str, ...]:
    """The names of the limits that ran out, as the RateLimit fields call them.

    The decision's reasons name the limit (``id``) and its unit (``limit_unit``); of several windows those with nothing left.
    Without such reasons it is every limit with nothing left. What accounts without standing may take together (``ceiling``,
    ``pool``) has no unit and is named as it is.
    """
    reasons = set(decision.reasons)
    if decision.reasons in _JOINT:
        return decision.reasons
    named = list(zip(_names(decision.quotas), decision.quotas, strict=True))
    hit = [(name, quota) for name, quota in named if quota.limit in reasons]
    hit = [(name, quota) for name, quota in hit if f"limit_{quota.unit}" in reasons] or hit
    spent = [name for name, quota in hit or named if _spent(quota)]
    return tuple(spent or (name for name, _ in hit))


def refusal_headers(decision: Decision) -> Headers:
    """The headers of guard's own answer: content type, reference, and for a 429 how long to wait.

    ``Retry-After`` stands on every 429 (1 to 60 seconds) and wherever the decision names a wait; the RateLimit fields only
    where a limit ran out, so that nobody reads suspicion from them.
    """
    headers = [
        (b"content-type", b"application/json"),
        (b"cache-control", b"no-store"),
        (b"x-guard-reference", decision.reference.encode("ascii", "ignore")),
    ]
    if decision.status == HTTPStatus.TOO_MANY_REQUESTS or decision.retry_after_s > 0:
        wait_s = retry_after_s(decision.retry_after_s, decision.reference)
        headers.append((b"retry-after", b"%d" % wait_s))
        if problem_type(decision) == QUOTA_EXCEEDED:
            headers.extend(rate_limit_fields(decision.quotas, latest_s=wait_s))
    return tuple(headers)


def retry_after_s(wait_s: float, reference: str = "") -> int:
    """A wait as whole seconds for ``Retry-After``: rounded up, 1 to 60.

    A longer one is told as 54 to 60, by the exchange's reference: else all whose day is used up came back in one second.
    """
    if wait_s > MAX_RETRY_AFTER_S:
        return MAX_RETRY_AFTER_S - crc32(reference.encode()) % _CUT_SPREAD_S
    return math.ceil(max(wait_s, 1))


def rate_limit_fields(quotas: Sequence[Quota], *, latest_s: int = LARGEST_INTEGER) -> Headers:
    """``RateLimit-Policy`` and ``RateLimit`` for the limits that can be told in whole units (all but cost); empty without one.

    ``latest_s``: an effective window that ends later is left out (``t`` is optional). In a refusal that is the
    ``Retry-After``, which must not end before a window that is told.
    """
    policies, states = [], []
    for name, quota in zip(_names(quotas), quotas, strict=True):
        unit = _UNITS.get(quota.unit)
        if unit is None:
            continue
        label = "".join(c for c in name if " " <= c <= "~")  # ids are checked when the policy is read
        policy: dict[str, object] = {"q": _integer(math.floor(quota.amount))}
        if unit != "requests":
            policy["qu"] = unit
        if quota.window_s > 0:
            policy["w"] = _integer(quota.window_s, 1)
        policies.append(Item(label, policy))
        state = {"r": _integer(math.floor(quota.remaining))}
        reset_s = _integer(quota.reset_s)
        if reset_s <= latest_s:
            state["t"] = reset_s
        states.append(Item(label, state))
    if not policies:
        return ()
    return (b"ratelimit-policy", write_list(policies).encode()), (b"ratelimit", write_list(states).encode())


def _spent(quota: Quota) -> bool:
    return quota.remaining <= 0 if quota.unit == "cost" else quota.remaining < 1


def _names(quotas: Iterable[Quota]) -> list[str]:
    """One name for each: the limit's id, with unit and window where a limit has several."""
    quotas = tuple(quotas)
    times = Counter(quota.limit for quota in quotas)
    return [
        quota.limit if times[quota.limit] == 1 else f"{quota.limit}:{quota.unit}/{math.ceil(quota.window_s)}"
        for quota in quotas
    ]


def _integer(value: float, least: int = 0) -> int:
    """A number as an sf-integer from ``least`` on; seconds are rounded up."""
    return math.ceil(min(max(value, least), LARGEST_INTEGER))


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Request refused"
