"""In how many countries an account was seen within a day: evidence for a person or a rule, never a verdict.

People travel, roam and use relays, so it weighs nothing in the score (0 nats): it stands in the record, and a rule may ask for
it by name. Of an account the countries of the last day are kept and when each was seen last, nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from guard.countries import TOR, is_code
from guard.recent import Recent
from guard.settings import Policy
from guard.types import UNKNOWN, Assessment, Evidence, Exchange

SIGNAL = "country_velocity"
DAY_S = 86_400.0
MANY = 3
"""So many countries in a day are evidence: home, work and a phone's carrier may well be two."""
_STEP_S = 60.0
_MOST_COUNTRIES = 8
_MOST_ACCOUNTS = 20_000
_STEP_PIECES = 500

# The country seen last first: (country, seconds since 1970).
Trail = tuple[tuple[str, float], ...]


class Travels:
    """The trails of accounts. Bounded; whoever was idle longest is forgotten first."""

    __slots__ = ("_trails", "active")

    def __init__(self) -> None:
        self.active = False
        """Whether anything says where a request comes from."""
        self._trails: Recent[str, Trail] = Recent(_MOST_ACCOUNTS)

    def use(self, policy: Policy) -> None:
        self.active = bool(policy.trust.country or policy.region.country)
        self._trails = self._trails if self.active else Recent(_MOST_ACCOUNTS)

    def seen(self, exchange: Exchange, assessment: Assessment, now: float) -> Assessment:
        """Notes where the account is seen; the assessment, with the evidence where there is some. Never raises."""
        if not self.active:
            return assessment
        country, account = exchange.peer.country, exchange.account
        if country in (UNKNOWN, TOR) or account.status != "accepted":
            return assessment
        trail = self._trails.get(account.key) or ()
        if not (trail and trail[0][0] == country and now - trail[0][1] < _STEP_S):
            kept = [seen for seen in trail if seen[0] != country and now - seen[1] < DAY_S]
            trail = ((country, now), *kept[: _MOST_COUNTRIES - 1])
            self._trails.put(account.key, trail)
        if len(trail) < MANY:
            return assessment
        home = f", registered in {account.country}" if account.country else ""
        reason = f"seen in {len(trail)} countries within a day: {' '.join(seen[0] for seen in trail)}{home}"
        found = Evidence(SIGNAL, "infrastructure", 0.0, reason)
        return Assessment(
            assessment.score,
            assessment.band,
            assessment.standing,
            assessment.factor,
            (*assessment.evidence, found),
            assessment.cluster,
            assessment.merged,
        )

    def forget(self, account: str) -> int:
        """Forgets an account; 1 where something was held."""
        held = account in self._trails
        self._trails.drop(account)
        return int(held)

    def pieces(self) -> Iterator[dict[str, Any]]:
        """The trails as plain data for ``restore``, piece by piece. One country alone is no trail, and not kept."""
        piece: dict[str, Trail] = {}
        for number, account in enumerate(list(self._trails), 1):
            trail = self._trails.get(account) or ()
            if len(trail) > 1:
                piece[account] = trail
            if piece and number % _STEP_PIECES == 0:
                yield {"trails": piece}
                piece = {}
        if piece:
            yield {"trails": piece}

    def restore(self, piece: Mapping[str, Any], now: float) -> None:
        """Takes up a piece. Raises ``ValueError``, ``TypeError`` or ``KeyError`` where it is none."""
        for account, trail in piece["trails"].items():
            seen = tuple((str(country), min(float(at), now)) for country, at in trail[:_MOST_COUNTRIES])
            if all(is_code(country) for country, _ in seen):
                self._trails.put(str(account), seen)
