"""What the stages said → one ``Decision``: the more severe of rule and limit, in words for the client and the operator.

The reference names an exchange to both. It is a counter under a keyed permutation: it tells nobody how many exchanges
there were, and two replays of one log give the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

from guard.degrading import reductions
from guard.errors import BadExchange
from guard.hashing import HashKey
from guard.types import Assessment, Decision, Quota

CONTAINING = frozenset({"limit", "challenge", "refuse"})
_STATUS = MappingProxyType({"limit": 429, "challenge": 403, "refuse": 403})
_PUBLIC = MappingProxyType(
    {
        "limit": "This request was limited because of how this account or its kind is used.",
        "challenge": "This account has to be verified before it can go on.",
        "refuse": "This request was refused by the operator's rules.",
    }
)
_WAY_BACK = " If you think this is a mistake, contact the operator and name the reference {reference}."
JOINT = MappingProxyType(
    {
        "ceiling": "Many new accounts send requests of this kind at the moment, and what they may take together is used up. "
        "Try again in {wait} s.",
        "pool": "What new accounts may take together is used up at the moment. Try again in {wait} s.",
    }
)
"""Joint limits of accounts without standing (``recognition/ceilings.py``): why, in words for the client."""
RETRY_UNREDUCED_S = 30
_MASK = (1 << 48) - 1


class References:
    """Numbers the exchanges of one run. ``start`` separates runs (seconds since 1970; 0 in a replay)."""

    __slots__ = ("_add", "_count", "_factor")

    def __init__(self, key: HashKey, start: float) -> None:
        seed = key.identifier("reference", repr(start).encode())
        self._factor = int(seed[:12], 16) | 1  # odd: then multiplying is a permutation of 48 bits
        self._add = int(seed[12:24], 16)
        self._count = 0

    def next(self) -> str:
        """Twelve hex digits, different for each of the 2^48 exchanges of a run."""
        self._count += 1
        return f"{(self._count * self._factor + self._add) & _MASK:012x}"


class Found(NamedTuple):
    """What the stages found. Of ``limited`` (a limit's id, ``""``: none) and ``action`` the more severe is taken."""

    assessment: Assessment
    action: str = "allow"
    rule: str = ""
    public: str = ""
    reasons: tuple[str, ...] = ()
    shadow: tuple[tuple[str, str], ...] = ()
    options: Mapping[str, Any] = MappingProxyType({})
    retry_after_s: float = 0.0
    limited: str = ""
    unit: str = ""
    limit_retry_after_s: float = 0.0
    quotas: tuple[Quota, ...] = ()
    grant: str = ""
    told: bool = True


def allowed(assessment: Assessment, reference: str, rule: str, *, enforced: bool) -> Decision:
    """The decision on an exchange of which there is nothing to say: what ``decide`` makes of it, without the detour."""
    return Decision(
        "allow",
        enforced,
        200,
        reference,
        assessment.score,
        assessment.band,
        rule,
        cluster=assessment.cluster,
        evidence=assessment.evidence,
        merged=assessment.merged,
    )


def decide(found: Found, reference: str, *, enforced: bool) -> Decision:
    """The decision on an exchange that could be judged."""
    action, rule, reasons, public, retry_after_s = (
        found.action,
        found.rule,
        found.reasons,
        found.public,
        found.retry_after_s,
    )
    private = f"rule {rule}" if rule else ""
    # A limit of the policy may have the same name; it names its unit. Degrading is more severe than a limit, but lets the request
    # through: what a limit has no room for must not go that way.
    if found.limited in JOINT and not found.unit and action not in CONTAINING:
        action, rule, reasons = "limit", "", (found.limited,)
        retry_after_s = found.limit_retry_after_s
        public = JOINT[found.limited].format(wait=max(1, -int(-retry_after_s // 1))) + _WAY_BACK.format(
            reference=reference
        )
        private = f"{found.limited}: what accounts without standing may take together is used up"
    elif found.limited and action not in CONTAINING:
        # No rule stands behind it, so none is named: the client is told of a quota, not of suspicion.
        action, rule, reasons = "limit", "", (found.limited, f"limit_{found.unit}")
        retry_after_s = found.limit_retry_after_s
        public = _quota_sentence(found.unit, retry_after_s)
        private = f"limit {found.limited}: no room for {found.unit}"
    elif action in CONTAINING:
        public = public or _PUBLIC[action]
        if action == "challenge":
            public += f" Verify it at {found.options.get('url', '')}."
        public += _WAY_BACK.format(reference=reference)
    return Decision(
        action=action,
        enforced=enforced,
        status=_STATUS.get(action, 200),
        reference=reference,
        score=found.assessment.score,
        band=found.assessment.band,
        rule=rule,
        reasons=reasons,
        public=public,
        private=private,
        retry_after_s=max(1, -int(-retry_after_s // 1)) if action == "limit" else 0,
        cluster=found.assessment.cluster,
        evidence=found.assessment.evidence,
        merged=found.assessment.merged,
        shadow=found.shadow,
        quotas=found.quotas,
        grant=found.grant,
        told=found.told,
        delay_s=found.options.get("delay_s", 0.0) if action == "delay" else 0.0,
        reductions=reductions(found.options) if action == "degrade" else (),
        notice=found.options.get("notice", "none") if action in {"delay", "degrade"} else "none",
        verify_at=found.options.get("url", "") if action == "challenge" else "",
    )


def crowded(decision: Decision) -> Decision:
    """What becomes of a delay for which there is no room: limited, for as long as it would have waited."""
    retry_after_s = max(1, -int(-decision.delay_s // 1))
    return replace(
        decision,
        action="limit",
        status=_STATUS["limit"],
        reasons=(*decision.reasons, "waiting_room"),
        public=f"Too many requests are waiting. Try again in {retry_after_s} s.",
        private="delay: no more may wait at once",
        retry_after_s=retry_after_s,
        delay_s=0.0,
        notice="none",
    )


def unreduced(decision: Decision) -> Decision:
    """What becomes of an exchange that was to be degraded and can't be: it is limited."""
    return replace(
        decision,
        action="limit",
        status=_STATUS["limit"],
        reasons=(*decision.reasons, "irreducible"),
        public=_PUBLIC["limit"] + _WAY_BACK.format(reference=decision.reference),
        private="degrade: this exchange can't be reduced",
        retry_after_s=RETRY_UNREDUCED_S,
        reductions=(),
        delay_s=0.0,
        notice="none",
    )


def refuse_fault(fault: BadExchange, assessment: Assessment, reference: str, *, enforced: bool) -> Decision:
    """The decision on an exchange that can't be judged: refused with the fault's own status."""
    return Decision(
        action="refuse",
        enforced=enforced,
        status=fault.status,
        reference=reference,
        score=assessment.score,
        band=assessment.band,
        reasons=(fault.reason,),
        public=fault.public,
        private=fault.private,
        retry_after_s=5 if fault.status == 503 else 0,
    )


def _quota_sentence(unit: str, retry_after_s: float) -> str:
    what = {"requests": "requests", "tokens": "tokens", "cost": "spending", "concurrent": "requests at the same time"}
    wait = f" Try again in {max(1, -int(-retry_after_s // 1))} s." if unit != "concurrent" else " Wait for one to end."
    return f"The limit on {what.get(unit, unit)} is used up.{wait}"
