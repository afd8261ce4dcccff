"""What is only wrong in company: ids that stand twice, rules that can never decide, costs without a price, and so on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from guard.conditions import has_wildcard, mentions
from guard.degrading import PACE
from guard.mistakes import Mistakes
from guard.registry import discover
from guard.routes import FLAT
from guard.settings import Condition, Policy
from guard.types import UNKNOWN

_ACCOUNT_FACTS = ("tier", "tag", "verified", "account_country", "owner_country", "half_owned_from", "org")


def check(policy: Policy, raw: Mapping[str, Any], places: Mapping[str, list[int]], mistakes: Mistakes) -> None:
    """Looks at the whole policy. ``places``: for ``limit`` and ``rule`` the index in the file of each entry."""
    for kind in ("limit", "rule"):
        _check_ids(kind, raw.get(kind), mistakes)
    _check_reachable(policy, places["rule"], mistakes)
    _check_prices(policy, raw, places["limit"], mistakes)
    _warn_of_missing_facts(policy, raw, places, mistakes)
    _warn_of_irreducible(policy, places["rule"], mistakes)
    modes = [limit.mode for limit in policy.limits] + [rule.mode for rule in policy.rules]
    if policy.mode == "enforce" and "enforce" not in modes:
        what = "nothing" if policy.ceilings.mode != "enforce" else "nothing but ceilings"
        mistakes.warn(("mode",), f"enforces {what}: no limit and no rule is in mode enforce")
    if policy.record.bodies and not policy.record.file:
        mistakes.warn(("record", "bodies"), "records nothing: no file is named", 'add file = "…"')


def warn_of_expired(policy: Policy, now: float, mistakes: Mistakes) -> None:
    """Grants that have ended."""
    for grant in policy.grants:
        if 0.0 < grant.until <= now:
            mistakes.warn(
                ("grants", grant.subject, "until"), "has passed: the grant no longer holds", "renew or remove it"
            )


def _check_ids(kind: str, entries: Any, mistakes: Mistakes) -> None:
    first: dict[str, int] = {}
    for at, entry in enumerate(entries if isinstance(entries, list) else []):
        name = entry.get("id") if isinstance(entry, dict) else None
        if not isinstance(name, str):
            continue
        if name in first:
            mistakes.add(
                (kind, at, "id"), f"the id stands twice, first at {kind}[{first[name]}]", "ids are unique", name
            )
        first.setdefault(name, at)


def _check_reachable(policy: Policy, places: list[int], mistakes: Mistakes) -> None:
    # A rule with a mistake is not what was meant; what follows from it would only confuse.
    enforced = [
        (at, rule)
        for at, rule in zip(places, policy.rules, strict=True)
        if rule.mode == "enforce" and not mistakes.within(("rule", at))
    ]
    for number, (at, rule) in enumerate(enforced):
        for _, earlier in enforced[:number]:
            if implies(rule.when, earlier.when):
                mistakes.add(
                    ("rule", at),
                    f'can never decide: "{earlier.id}" above it holds wherever this one does',
                    "put the narrower rule first",
                )
                break


def _check_prices(policy: Policy, raw: Mapping[str, Any], places: list[int], mistakes: Mistakes) -> None:
    patterns = [price.pattern for price in policy.prices]
    models = raw.get("models")
    written = [key for key in models if key != "default_output_tokens"] if isinstance(models, dict) else []
    for number, pattern in enumerate(patterns):
        wider = next((other for other in patterns[:number] if covers(other, pattern)), None)
        if wider is not None:
            mistakes.add(
                ("models", written[number]) if len(written) == len(patterns) else ("models",),
                f'is never used: "{wider}" above it fits first',
                "put the narrower pattern first",
            )
    for at, limit in zip(places, policy.limits, strict=True):
        judged = not mistakes.within(("limit", at)) and not mistakes.within(("models",))
        if not limit.cost or limit.mode == "off" or not judged:
            continue
        for model in _models_of(limit.when):
            if not any(covers(pattern, model) for pattern in patterns):
                what = "all models" if model == "*" else f'"{model}"'
                hint = f'add [models."{model}"] with input and output'
                mistakes.add(("limit", at, "cost"), f"{what} may have no price", hint)


def _models_of(when: Condition) -> tuple[str, ...]:
    """The patterns of the models that a condition is for; all models where it names none."""
    for field, kind, operand in when.tests:
        if field == "model" and kind == "like":
            patterns: tuple[str, ...] = operand
            return patterns
    return ("*",)


def _warn_of_missing_facts(
    policy: Policy, raw: Mapping[str, Any], places: Mapping[str, list[int]], mistakes: Mistakes
) -> None:
    trust, region = policy.trust, policy.region
    sources = {
        fact: (bool(getattr(trust, fact) or files), f"[trust] {fact} names no header, [region] {key} no file")
        for fact, key, files in (
            ("country", "country", region.country),
            ("subdivision", "country", region.country),
            ("asn", "asn", region.asn),
            ("asn_kind", "kinds", region.kinds),
        )
    }
    identity = raw.get("identity")
    describe = isinstance(identity, dict) and bool(identity.get("describe"))
    sources |= {fact: (describe, "[identity] describe names no callable") for fact in _ACCOUNT_FACTS}
    conditions = [
        ("limit", at, limit.when, limit.mode) for at, limit in zip(places["limit"], policy.limits, strict=True)
    ]
    conditions += [("rule", at, rule.when, rule.mode) for at, rule in zip(places["rule"], policy.rules, strict=True)]
    for kind, at, when, mode in conditions:
        if mode == "off":
            continue
        for field, (known, reason) in sources.items():
            if not known and mentions(when, frozenset({field})):
                mistakes.warn((kind, at, "when"), f"{field} is always {UNKNOWN}: {reason}")


def _warn_of_irreducible(policy: Policy, places: list[int], mistakes: Mistakes) -> None:
    """Rules that degrade what some protected route has no way to reduce: there they limit instead."""
    able = {name: plugin.able for name, plugin in discover("reductions").items()}
    dialects = {route.dialect for route in policy.protect.routes if route.dialect not in ("", FLAT)}
    for at, rule in zip(places, policy.rules, strict=True):
        reductions = set(rule.options.get("reductions", ())) - {PACE}
        if not reductions or rule.mode == "off" or mentions(rule.when, frozenset({"dialect", "path"})):
            continue
        for dialect in sorted(dialects):
            lacking = ", ".join(sorted(reductions - able.get(dialect, frozenset())))
            if lacking:
                mistakes.warn(
                    ("rule", at, "action"), f"limits instead of degrading on routes of {dialect}: no {lacking} there"
                )


def implies(narrow: Condition, wide: Condition) -> bool:
    """Whether ``wide`` is sure to hold wherever ``narrow`` does. False also where that can't be shown."""
    return all(any(_stronger(mine, theirs) for mine in narrow.tests) for theirs in wide.tests)


def _stronger(mine: tuple[str, str, Any], theirs: tuple[str, str, Any]) -> bool:
    (field, kind, narrow), (other_field, other_kind, wide) = mine, theirs
    if (field, kind) != (other_field, other_kind):
        return False
    if kind == "not":
        return implies(wide, narrow)
    if kind == "between":
        covered = all(any(low <= a and b <= high for low, high in wide.spans) for a, b in narrow.spans)
        return covered and wide.unknown >= narrow.unknown
    if kind == "like":
        return all(any(covers(pattern, p) for pattern in wide) for p in narrow)
    return bool(narrow <= wide)


def covers(wide: str, narrow: str) -> bool:
    """Whether the shell pattern ``wide`` is sure to match whatever ``narrow`` matches.

    A wildcard of ``narrow`` may stand for any text, which only a ``*`` of ``wide`` is sure to match.
    """
    if wide in ("*", narrow):
        return True
    if not has_wildcard(narrow):
        return fnmatchcase(narrow, wide)
    if "?" in wide or "[" in wide:
        return False
    return fnmatchcase(re.sub(r"\[.[^\]]*\]|[*?]", "\0", narrow), wide)
