"""Limits per cluster: what an account that is held to be a cluster's takes counts for all of the cluster.

They concern accounts without a grant of which recognition names a cluster, and need no store: levels are sums over members, which
``unions.py`` keeps in this process. What several accounts share is not multiplied by the f of one. Concurrency isn't counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from guard.charges import Metered, Spent
from guard.conditions import View
from guard.settings import Limit
from guard.tariffs import Group, groups, subject
from guard.types import Assessment, Exchange
from guard.unions import Member, Unions


class Shared(NamedTuple):
    """What one exchange has reserved on the meters of its account's cluster."""

    member: Member
    meters: tuple[Metered, ...]
    costs: tuple[float, float, float]


class Looked(NamedTuple):
    """``limit`` and ``unit`` name what has no room, ``""``: there is room for all of ``shared``. ``shadow``: the limits in shadow
    that would have refused, of which nothing is taken."""

    limit: str = ""
    unit: str = ""
    retry_after_s: float = 0.0
    shared: tuple[Shared, ...] = ()
    shadow: tuple[str, ...] = ()


class Together:
    """The limits per cluster of one policy, on unions that outlive it."""

    __slots__ = ("_groups", "_unions", "any")

    def __init__(self, limits: Sequence[Limit], unions: Unions) -> None:
        self._groups: tuple[Group, ...] = tuple(groups([limit for limit in limits if "cluster" in limit.per]))
        self._unions = unions
        self.any = bool(self._groups)

    def look(self, exchange: Exchange, assessment: Assessment, costs: tuple[float, float, float], now: float) -> Looked:
        """Whether the cluster of an exchange has room for it. Books nothing."""
        view = View(exchange, assessment, now, granted=False)
        shared: list[Shared] = []
        shadow: list[str] = []
        for group in self._groups:
            tariffs = group.tariffs(view)
            if tariffs is None:
                continue
            meters = tariffs.account.meters
            rest = "" if group.per == ("cluster",) else f"{group.kind}:{subject(group.per, exchange)[0]}"
            member = Member(rest, assessment.cluster or "", exchange.account.key)
            lacking = self._unions.look(member, assessment.merged, meters, costs, now)
            refused = [(wait_s, number) for number, wait_s in lacking if not meters[number].shadow]
            if refused:
                wait_s, number = max(refused)
                return Looked(meters[number].limit, meters[number].unit, wait_s, (), tuple(shadow))
            over = {meters[number].limit: None for number, _ in lacking}
            shadow += over
            kept = tuple([meter for meter in meters if meter.limit not in over]) if over else meters
            shared.append(Shared(member, kept, costs))
        return Looked(shared=tuple(shared), shadow=tuple(shadow))

    def take(self, shared: Sequence[Shared], now: float) -> None:
        """Books what was looked for."""
        for member, meters, costs in shared:
            self._unions.add(member, meters, costs, now)

    def settle(self, shared: Sequence[Shared], spent: Spent, now: float) -> None:
        """Corrects what was booked to what the exchange came to."""
        for member, meters, costs in shared:
            owed = [came_to - cost for came_to, cost in zip(spent, costs, strict=True)]
            self._unions.add(member, meters, owed, now)
