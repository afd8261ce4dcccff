"""The policy stage: rules from top to bottom → what is to be done with an exchange, and which rule says so.

The first rule in ``enforce`` whose conditions all hold names the action; without one it is ``allow``. Every rule in
``shadow`` whose conditions hold is recorded with what it would have done, wherever it stands.

A grant is the operator's answer to suspicion: for a granted account a rule that asks for evidence (band, score, signal,
cluster, standing) does no more than ``tag``, and the rules below it are still asked. Rules on facts (country, tier, model,
…) hold for everybody. Limits are judged elsewhere; the pipeline takes the more severe of both.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, NamedTuple

from guard.conditions import SUSPICION, View, mentions, predicate
from guard.degrading import PACE
from guard.registry import discover
from guard.settings import Policy, Rule
from guard.types import ACTIONS

_SEVERITY = MappingProxyType({action: severity for severity, action in enumerate(ACTIONS)})
_NOTHING_BUT_PACE = frozenset({PACE})
_NO_OPTIONS: MappingProxyType[str, Any] = MappingProxyType({})
# A client that is refused by a limiting rule has no window to wait for; half a minute keeps its retries cheap.
_RETRY_AFTER_S = 30


class Judgement(NamedTuple):
    """What the rules say. ``rule`` is the id of the rule that named the action, ``""``: none did (``allow``).

    ``reasons`` are that rule's id and the signals that gave evidence, empty for ``allow``; ``public`` is the operator's own
    sentence to the client, ``""``: guard's. ``shadow``: (rule, action) of every rule in shadow that would have acted.
    ``options`` are the action's own, as ``settings.Rule`` has them; ``retry_after_s`` is 0 unless the action is ``limit``.
    """

    action: str = "allow"
    rule: str = ""
    public: str = ""
    reasons: tuple[str, ...] = ()
    shadow: tuple[tuple[str, str], ...] = ()
    options: MappingProxyType[str, Any] = _NO_OPTIONS
    retry_after_s: int = 0


class _Compiled(NamedTuple):
    holds: Callable[[View], bool]
    rule: Rule
    suspicion: bool


_NOTHING = Judgement()


class Judge:
    """Judges exchanges by one policy. Make it of a bound one (``conditions.bind``), or names never fit."""

    __slots__ = ("_able", "_enforced", "_shadow")

    def __init__(self, policy: Policy) -> None:
        rules = [
            _Compiled(predicate(rule.when, rule.action == "allow"), rule, mentions(rule.when, SUSPICION))
            for rule in policy.rules
            if rule.mode != "off"
        ]
        self._able = {name: plugin.able | _NOTHING_BUT_PACE for name, plugin in discover("reductions").items()}
        self._enforced = tuple(entry for entry in rules if entry.rule.mode == "enforce")
        self._shadow = tuple(entry for entry in rules if entry.rule.mode == "shadow")

    def judge(self, view: View) -> Judgement:
        """The judgement of one exchange. Never raises; about 1 µs for six rules."""
        shadow = self._in_shadow(view) if self._shadow else ()
        if view.granted:
            rule, action = self._granted(view)
        else:
            rule, action = None, "allow"
            for entry in self._enforced:
                if entry.holds(view):
                    rule, action = entry.rule, entry.rule.action
                    break
        if rule is None:
            return Judgement(shadow=shadow) if shadow else _NOTHING
        if action == "allow":
            return Judgement(rule=rule.id, shadow=shadow)
        signals = [evidence.signal for evidence in view.assessment.evidence]
        if action == "degrade" and not self._reducible(rule, view.exchange.features.dialect):
            # What can't be reduced must not pass unreduced.
            return Judgement(
                "limit", rule.id, rule.public, (rule.id, "irreducible", *signals), shadow, _NO_OPTIONS, _RETRY_AFTER_S
            )
        return Judgement(
            action,
            rule.id,
            rule.public,
            (rule.id, *signals),
            shadow,
            rule.options if action == rule.action else _NO_OPTIONS,
            rule.options.get("retry_after_s", _RETRY_AFTER_S) if action == "limit" else 0,
        )

    def _reducible(self, rule: Rule, dialect: str) -> bool:
        """Whether all that the rule reduces can be reduced in that API."""
        return bool(self._able.get(dialect, _NOTHING_BUT_PACE).issuperset(rule.options.get("reductions", ())))

    def _granted(self, view: View) -> tuple[Rule | None, str]:
        tagged: Rule | None = None
        for entry in self._enforced:
            if not entry.holds(view):
                continue
            action = entry.rule.action
            if not entry.suspicion or action == "allow":
                # An ``allow`` below a tag doesn't take the tag away: the rule above stands first.
                return (tagged, "tag") if tagged is not None and action == "allow" else (entry.rule, action)
            tagged = tagged or entry.rule
        return (tagged, "tag") if tagged is not None else (None, "allow")

    def _in_shadow(self, view: View) -> tuple[tuple[str, str], ...]:
        return tuple(
            (rule.id, _clipped(rule.action) if suspicion and view.granted else rule.action)
            for holds, rule, suspicion in self._shadow
            if holds(view)
        )


def _clipped(action: str) -> str:
    return action if _SEVERITY[action] <= _SEVERITY["tag"] else "tag"
