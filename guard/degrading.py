"""The words of degrading: what a decision reduces, and what of it is left to be taken out of the answer.

None of it lies: a shorter answer is a shorter answer, and what is left out is left out, never replaced by something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from guard.types import Decision, JSONObject

PACE: Final = "pace"
"""The one reduction that needs no dialect: it holds bytes back, whatever they say."""
CONCISE: Final = "Give only the answer, in a few sentences. Do not write out how it was worked out."
LOWEST_EFFORT: Final = "low"
"""The lowest effort that every model with efforts knows; only some know less."""
_LOWER: Final = frozenset({"none", "minimal", "low"})
THINKING_FLOOR_TOKENS: Final = 256
"""What an answer has at least beyond the tokens that may be thought."""
_VALUES: Final = {"budget": "budget_tokens", "model": "model", PACE: "tokens_per_s"}


class Wanted(NamedTuple):
    """What is to be reduced. 0, ``""`` and False: that is not."""

    budget_tokens: int = 0
    logprobs: bool = False
    reasoning: bool = False
    model: str = ""
    concise: bool = False
    tokens_per_s: float = 0.0

    @property
    def rewrites(self) -> bool:
        """Whether the request is changed."""
        return bool(self.budget_tokens or self.logprobs or self.reasoning or self.model or self.concise)


class Watch(NamedTuple):
    """What must not stand in the answer, because the request alone can't keep it out."""

    logprobs: bool = False
    reasoning: bool = False
    tools: bool = False
    """Whether the request offers tools: then reasoning that leads to a call is left, or the loop would break."""

    @property
    def needed(self) -> bool:
        """Whether the answer has to be read at all."""
        return self.logprobs or self.reasoning


def reductions(options: Mapping[str, Any]) -> tuple[tuple[str, object], ...]:
    """A rule's options → the reductions as a decision names them: budget, model and pace with their value, others True."""
    names = options.get("reductions", ())
    return tuple((name, options[_VALUES[name]] if name in _VALUES else True) for name in names)


def wanted(decision: Decision) -> Wanted:
    """What a decision reduces."""
    named: dict[str, Any] = dict(decision.reductions)
    return Wanted(
        named.get("budget", 0),
        "logprobs" in named,
        "reasoning" in named,
        named.get("model", ""),
        "concise" in named,
        named.get(PACE, 0.0),
    )


def lower_effort(holder: JSONObject, key: str) -> None:
    """Sets the effort under ``key`` to the lowest where one is stated that is higher, or unknown."""
    stated = holder.get(key)
    if stated is not None and stated not in _LOWER:
        holder[key] = LOWEST_EFFORT


def capped(stated: Any, budget_tokens: int, thinking: Any) -> int:
    """The budget that is left of ``stated`` (an int; else none was): never more than it, never too little to think in.

    ``thinking`` is the request's object of that name, where it has one that is on.
    """
    most = budget_tokens
    if type(thinking) is dict and type(thought := thinking.get("budget_tokens")) is int:
        most = max(most, thought + THINKING_FLOOR_TOKENS)
    return min(most, stated) if type(stated) is int else most
