"""What a changed policy protects less than the one before: said aloud at every reload.

Compares by meaning only where that is certain (modes, missing or raised limits, missing rules, the operator's channel); a
rule whose conditions were narrowed is beyond it.
"""

from __future__ import annotations

from collections.abc import Iterator

from guard.settings import Limit, Network, Policy, Window
from guard.types import ACTIONS

_MODES = ("off", "observe", "enforce")
_RULE_MODES = ("off", "shadow", "enforce")


def loosened(before: Policy, after: Policy) -> tuple[str, ...]:
    """Sentences without a full stop, ``()``: nothing got weaker as far as can be told."""
    return tuple(_differences(before, after))


def _differences(before: Policy, after: Policy) -> Iterator[str]:
    if _MODES.index(after.mode) < _MODES.index(before.mode):
        yield f"mode {before.mode} → {after.mode}"
    routes = {route.pattern for route in after.protect.routes}
    for route in before.protect.routes:
        if routes and route.pattern not in routes:
            yield f"route {route.pattern} is no longer protected"
    if before.protect.unknown == "refuse" and after.protect.unknown != "refuse":
        yield "paths without a dialect are no longer refused"
    if before.protect.websockets == "deny" and after.protect.websockets == "allow":
        yield "WebSockets are let through"
    if before.identity.anonymous == "refuse" and after.identity.anonymous != "refuse":
        yield "requests without a credential are no longer refused"
    if not all(any(_within(hop, known) for known in before.trust.hops) for hop in after.trust.hops):
        yield "more hops are trusted"
    if any(set(getattr(before.region, key)) - set(getattr(after.region, key)) for key in ("country", "asn", "kinds")):
        yield "fewer files say where requests come from"
    if before.region.max_age_s < after.region.max_age_s:
        yield "older databases say where requests come from"
    rules = {rule.id: rule for rule in after.rules}
    for rule in before.rules:
        now = rules.get(rule.id)
        if now is None or _RULE_MODES.index(now.mode) < _RULE_MODES.index(rule.mode):
            yield f"rule {rule.id}: {rule.mode} → {now.mode if now else 'removed'}"
        elif ACTIONS.index(now.action) < ACTIONS.index(rule.action):
            yield f"rule {rule.id}: {rule.action} → {now.action}"
    limits = {limit.id: limit for limit in after.limits}
    for limit in before.limits:
        if limit.mode == "off":
            continue
        new = limits.get(limit.id)
        if new is None or _RULE_MODES.index(new.mode) < _RULE_MODES.index(limit.mode):
            yield f"limit {limit.id}: {limit.mode} → {new.mode if new else 'removed'}"
        elif _is_wider(limit, new):
            yield f"limit {limit.id} allows more"
    if _RULE_MODES.index(after.ceilings.mode) < _RULE_MODES.index(before.ceilings.mode):
        yield f"ceilings: {before.ceilings.mode} → {after.ceilings.mode}"
    known = {grant.subject for grant in before.grants}
    if added := sum(grant.subject not in known for grant in after.grants):
        yield f"{added} grant{'s' * (added != 1)} more"
    if before.admin.token_file and after.admin.tcp and not after.admin.token_file:
        yield "the operator's channel has no token any more"
    if (before.audit.file or before.state.dir) and not (after.audit.file or after.state.dir):
        yield "no audit is written any more"


def _within(inner: Network, outer: Network) -> bool:
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type] # the same version


def _is_wider(before: Limit, after: Limit) -> bool:
    """Whether some window of ``before`` is gone or has grown in ``after``."""
    if before.concurrent and (not after.concurrent or after.concurrent > before.concurrent):
        return True
    return any(
        not _covers(new, old)
        for old, new in (
            (before.requests, after.requests),
            (before.tokens, after.tokens),
            (before.cost, after.cost),
        )
    )


def _covers(windows: tuple[Window, ...], wanted: tuple[Window, ...]) -> bool:
    """Whether each wanted window is kept by one that is no longer, holds no more and drains no faster."""
    return all(
        any(
            window.amount <= want.amount and window.amount / window.window_s <= want.amount / want.window_s
            for window in windows
        )
        for want in wanted
    )
